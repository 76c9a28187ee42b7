"""Containers that the chart describes, on real servers: they start, pass their probes, work, and end when told to."""

import copy
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import grpc
import pyarrow.dataset as ds
import pytest
from kafka import KafkaProducer

from feature_repo.schema import Event, EventType, Item
from nextclick.stack.addresses import Addresses
from serving.proto import recommender_pb2 as pb
from serving.proto.recommender_pb2_grpc import RecommenderStub
from streaming.catalogue.topic import send_items
from streaming.events.parser import event_to_json
from tests.chart.rendering import Object
from tests.images import probes
from tests.images.conftest import Release, registry_ca, registry_url
from tests.images.kubelet import Container, Kubelet, MountedImage
from tests.support.planted_ensemble import ITEMS, PlantedEnsemble
from tests.support.postgres_server import running_postgres
from tests.support.stored_rows import StoredRows
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(1200)
USER = ["10001"] * 4


def event(session_id: str, item_id: str) -> Event:
    return Event(uuid4().hex, EventType.VIEW, session_id, item_id, time.time_ns() // 1_000_000)


def send(release: Release, events: Iterable[Event]) -> None:
    with closing(KafkaProducer(bootstrap_servers=release.settings.kafka_bootstrap_servers)) as producer:
        for each in events:
            producer.send(release.settings.events_topic, key=each.session_id.encode(), value=event_to_json(each))
        producer.flush()


def ask(release: Release, gateway: Container, session_id: str) -> pb.RecommendResponse:
    address = f"localhost:{probes.port_of(gateway.description, 'grpc')}"
    if release.trusted is None:
        channel = grpc.insecure_channel(address)
    else:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(release.trusted))
    with channel:
        request = pb.RecommendRequest(session_id=session_id, page_size=5)
        return RecommenderStub(channel).Recommend(request, timeout=5, wait_for_ready=True)


def calling(gateway: Object, model: str) -> Object:
    """A gateway that calls another model than the default, which the tests of training write to the same Triton."""
    changed = copy.deepcopy(gateway)
    changed["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "TRITON_MODEL_NAME", "value": model})
    return changed


def assert_confined(container: Container) -> None:
    """What the kernel says of the process that runs now, whatever its description wanted."""
    lines = Path(f"/proc/{container.pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    assert status["Uid"].split() == USER
    assert status["Gid"].split() == USER
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"].strip() == "1"
    mounts = [line.split() for line in Path(f"/proc/{container.pid}/mountinfo").read_text().splitlines()]
    (root,) = (mount for mount in mounts if mount[4] == "/")
    assert "ro" in root[5].split(",")


def assert_drains(container: Container) -> None:
    assert probes.succeeds(container.description, "livenessProbe")
    assert_confined(container)
    ended = container.terminate()
    assert ended.returncode == 0, ended.log
    assert "Traceback" not in ended.log


@pytest.fixture
def planted(stack: Addresses) -> Iterator[PlantedEnsemble]:
    with closing(PlantedEnsemble(stack)) as ensemble:
        ensemble.export()
        yield ensemble


@pytest.mark.parametrize("scenario", ["plain", "encrypted"])
def test_what_the_consumer_folds_is_what_the_model_answers_from(
    scenario: str, request: pytest.FixtureRequest, planted: PlantedEnsemble
) -> None:
    release: Release = request.getfixturevalue(scenario)
    sent = event(uuid4().hex, ITEMS[41])
    kubelet = release.kubelet
    with (
        kubelet.running(release.workload("Deployment", "streaming")) as consumer,
        kubelet.running(calling(release.workload("Deployment", "gateway"), planted.name)) as gateway,
    ):
        consumer.wait_until_ready()
        send(release, [sent])
        with closing(StoredRows(release.settings)) as store:
            wait_until("the session in Redis", lambda: sent.session_id in store.read_sessions([sent.session_id]))
        gateway.wait_until_ready()

        answer = undegraded(release, gateway, sent.session_id)

        assert (answer.model_name, answer.model_version) == (planted.name, "1")
        assert (answer.session_length, answer.last_event_id) == (1, sent.event_id)
        assert [item.item_id for item in answer.items] == ITEMS[42:47]
        wait_until("the item among the popular ones", lambda: sent.item_id in popular(release, gateway))
        assert_drains(gateway)
        assert_drains(consumer)


def undegraded(release: Release, gateway: Container, session_id: str) -> pb.RecommendResponse:
    """The first answer without a reason why it is less than the model's best: a busy machine may miss the time."""
    answers: list[pb.RecommendResponse] = []

    def asked_well() -> bool:
        answers.append(ask(release, gateway, session_id))
        return answers[-1].degraded_reason == pb.DEGRADED_REASON_UNSPECIFIED

    wait_until("an answer that is not degraded", asked_well)
    return answers[-1]


def popular(release: Release, gateway: Container) -> list[str]:
    """What a session that nobody has seen is answered."""
    return [item.item_id for item in ask(release, gateway, uuid4().hex).items]


def test_the_catalogue_brings_an_item_into_redis(plain: Release) -> None:
    item_id = uuid4().hex
    with plain.kubelet.running(plain.workload("Deployment", "catalogue")) as catalogue:
        catalogue.wait_until_ready()
        send_items(plain.settings, [(item_id, Item(item_id, "books"))], 1)
        with closing(StoredRows(plain.settings)) as store:
            wait_until("the item in Redis", lambda: item_id in store.read_items([item_id]))
        assert_drains(catalogue)


def test_the_archive_writes_to_its_claim_and_compaction_merges_what_it_wrote(plain: Release) -> None:
    claim = plain.kubelet.claim("shop-archive")
    session_id = uuid4().hex
    sent: list[str] = []
    with plain.kubelet.running(plain.workload("Deployment", "archive")) as archive:
        archive.wait_until_ready()
        for number in range(3):  # a file each, as each waits for the one before
            sent.append(f"{session_id}-{number}")
            send(plain, [event(session_id, sent[-1])])
            wait_until("the event in the archive", lambda: sent == archived(claim, session_id))
        assert_drains(archive)
    files = files_of(claim)
    for file in files:
        os.utime(file, times=(time.time() - 7200,) * 2)

    compacted = plain.kubelet.run(plain.workload("CronJob", "compaction"))

    assert compacted.returncode == 0, compacted.log
    assert archived(claim, session_id) == sent
    assert len(files_of(claim)) < len(files)


def files_of(claim: Path) -> list[Path]:
    return sorted(claim.rglob("*.parquet"))


def archived(claim: Path, session_id: str) -> list[str]:
    """Items of a session, in the order of the offsets; each once, though it may stand in two files."""
    tables = [ds.dataset(file).to_table(["session_id", "item_id"]) for file in files_of(claim)]
    rows = [row for table in tables for row in table.to_pylist() if row["session_id"] == session_id]
    return sorted({row["item_id"] for row in rows})


def test_the_migration_brings_a_registry_in_postgresql_up_to_date(
    encrypted: Release, services_image: MountedImage, tmp_path: Path
) -> None:
    migration = encrypted.workload("Job", "migration")
    with running_postgres() as postgres, postgres.database() as database:
        secrets = {
            "nextclick": {"REGISTRY_URL": registry_url(postgres, database)},
            "nextclick-registry-ca": registry_ca(postgres),
        }
        kubelet = Kubelet(services_image, tmp_path, secrets)
        first, second = kubelet.run(migration), kubelet.run(migration)
    assert first.returncode == 0, first.log
    assert "feature definitions applied" in first.log
    assert (second.returncode, second.log) == (0, "feature definitions were up to date\n")
