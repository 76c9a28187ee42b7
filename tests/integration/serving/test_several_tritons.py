"""Two real Tritons on one repository, as in a cluster: each must get the version, and the gateway must use both."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import onnx
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.grpc import model_config_pb2 as pb

from feature_repo.schema import ENSEMBLE, SESSION_TRANSFORMER, Event, EventType
from nextclick.stack.ports import choose_ports
from serving.errors import ModelUnavailableError
from serving.triton.model import TritonModel
from tests.support.planted_ensemble import PlantedEnsemble
from tests.support.planted_sessions import planted_settings
from tests.support.project import PROJECT
from tests.support.tritons import RunningTriton, running_triton
from tests.support.waiting import wait_until
from training.errors import ExportError
from training.export.ensemble import ExportedVersion, build_graphs, export, next_version
from training.export.model_repository import open_repository
from training.export.triton_load import load
from training.runs import open_run
from training.settings import TrainingSettings

URL = "dns:///triton-pods:8001"
VISIT = [Event("e", EventType.VIEW, "s", "item 7", 1_700_000_000_000)]


@pytest.fixture(scope="module")
def tritons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningTriton, RunningTriton]]:
    """Started on a repository that is empty, as on the first day."""
    folder = tmp_path_factory.mktemp("tritons")
    (folder / "repository").mkdir()
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(running_triton(folder / name, folder / "repository")) for name in ("first", "second")
        )
        yield first, second


@pytest.fixture(scope="module")
def settings(tritons: tuple[RunningTriton, ...], tmp_path_factory: pytest.TempPathFactory) -> TrainingSettings:
    planted = planted_settings(tmp_path_factory)
    changes = {"model_repository": tritons[0].model_repository, "triton_instances": 2}
    return planted.model_copy(update=changes)


@pytest.fixture(scope="module")
def graphs(settings: TrainingSettings) -> dict[str, onnx.ModelProto]:
    return build_graphs(open_run(settings))


@pytest.fixture
def exported(
    settings: TrainingSettings, graphs: dict[str, onnx.ModelProto], monkeypatch: pytest.MonkeyPatch
) -> ExportedVersion:
    """A version of the test's own; the graphs are the same each time, and take seconds to make."""
    monkeypatch.setattr("training.export.ensemble.build_graphs", lambda run: graphs)
    return export(settings)


@pytest.fixture
def closed(tmp_path: Path) -> str:
    """An address where nobody listens."""
    return f"127.0.0.1:{choose_ports(tmp_path / 'ports.json', ['nobody'])['nobody']}"


def serves(triton: RunningTriton, version: int) -> bool:
    with closing(InferenceServerClient(triton.triton_grpc_url)) as client:
        return bool(client.is_model_ready(ENSEMBLE, str(version)))


# --- exporting ------------------------------------------------------------------------------------------------------


def test_tritons_that_began_without_a_model_serve_the_first_export(
    tritons: tuple[RunningTriton, ...], exported: ExportedVersion
) -> None:
    addresses = [triton.triton_grpc_url for triton in tritons]
    notes: list[str] = []
    assert load(URL, exported.version, note=notes.append, resolve=lambda url: addresses) == addresses
    assert all(serves(triton, exported.version) for triton in tritons)
    assert [note.partition(" loads")[0] for note in notes] == [f"Triton at {address}" for address in addresses]


def test_the_number_of_instances_is_what_the_setting_says(
    tritons: tuple[RunningTriton, ...], exported: ExportedVersion
) -> None:
    load(tritons[0].triton_grpc_url, exported.version)
    with closing(InferenceServerClient(tritons[0].triton_grpc_url)) as client:
        (group,) = client.get_model_config(SESSION_TRANSFORMER).config.instance_group
    assert (group.count, group.kind) == (2, pb.ModelInstanceGroup.KIND_CPU)


def test_a_server_that_appears_while_others_load_gets_the_version_too(
    tritons: tuple[RunningTriton, ...], exported: ExportedVersion
) -> None:
    first, second = (triton.triton_grpc_url for triton in tritons)
    answers = [[first], [first, second], [first, second]]
    assert load(URL, exported.version, resolve=lambda url: answers.pop(0)) == [first, second]
    assert all(serves(triton, exported.version) for triton in tritons)


def test_a_server_that_does_not_load_is_named_and_holds_up_no_other(
    tritons: tuple[RunningTriton, ...], exported: ExportedVersion, closed: str
) -> None:
    words = f"version {exported.version} is written, but Triton at {closed} did not load it"
    with pytest.raises(ExportError, match=words) as raised:
        load(URL, exported.version, resolve=lambda url: [closed, tritons[1].triton_grpc_url])
    assert tritons[1].triton_grpc_url not in str(raised.value)
    assert serves(tritons[1], exported.version)


def test_a_server_that_goes_while_others_load_is_no_error(
    tritons: tuple[RunningTriton, ...], exported: ExportedVersion, closed: str
) -> None:
    stays = tritons[0].triton_grpc_url
    answers = [[closed, stays], [stays]]
    assert load(URL, exported.version, resolve=lambda url: answers.pop(0)) == [stays]


def test_a_host_without_an_address_is_an_error_that_says_what_is_written(exported: ExportedVersion) -> None:
    with pytest.raises(ExportError, match=f"version {exported.version} is written, but no Triton is known at dns:///"):
        load("dns:///no-such-host.invalid:8001", exported.version)


def run_job(triton_grpc_url: str, settings: TrainingSettings, *command: str) -> "subprocess.CompletedProcess[str]":
    """The chart's training Job on a run that is trained already, so that only the rest is left to do."""
    env = {
        **os.environ,
        "NEXTCLICK_HOME": str(settings.nextclick_home),
        "MODEL_REPOSITORY": str(settings.model_repository),
        "TRITON_GRPC_URL": triton_grpc_url,
        "DEVICE": "cpu",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    train = ["nextclick", "train", "--resume", open_run(settings).name, "--export"]
    return subprocess.run([*command, *train], env=env, cwd=PROJECT, capture_output=True, text=True, timeout=240)


def test_of_two_processes_that_train_one_publishes(
    tritons: tuple[RunningTriton, ...], settings: TrainingSettings, tmp_path: Path
) -> None:
    before = next_version(open_repository(settings.model_repository))
    port = choose_ports(tmp_path / "ports.json", ["torchrun"])["torchrun"]
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    job = run_job(tritons[0].triton_grpc_url, settings, torchrun, "--nproc-per-node=2", f"--master-port={port}", "-m")
    assert job.returncode == 0, job.stderr
    assert job.stdout.count(f"version {before} is served") == 1
    assert next_version(open_repository(settings.model_repository)) == before + 1
    assert serves(tritons[0], before)


def test_training_that_cannot_load_its_version_has_written_it_and_fails(
    settings: TrainingSettings, closed: str, tmp_path: Path
) -> None:
    own = settings.model_copy(update={"model_repository": tmp_path})
    job = run_job(closed, own, sys.executable, "-m")
    assert job.returncode == 1
    assert f"error: version 1 is written, but Triton at {closed} did not load it" in job.stderr
    assert (tmp_path / ENSEMBLE / "config.pbtxt").exists()


# --- serving --------------------------------------------------------------------------------------------------------


@pytest.fixture
def planted(tritons: tuple[RunningTriton, ...]) -> Iterator[PlantedEnsemble]:
    """Version 1, on both."""
    with closing(PlantedEnsemble(tritons[0])) as planted:
        planted.export()
        with closing(InferenceServerClient(tritons[1].triton_grpc_url)) as client:
            client.load_model(planted.name)
            yield planted
            if tritons[1].process.poll() is None:
                client.unload_model(planted.name, unload_dependents=True)


async def answers_of(model: TritonModel, count: int) -> "Counter[str]":
    """The versions that answered so many requests."""
    rankings = [await model.rank(VISIT, True, time.monotonic() + 20) for _ in range(count)]
    return Counter(ranking.model_version for ranking in rankings)


def requests_at(triton: RunningTriton, name: str) -> int:
    with closing(InferenceServerClient(triton.triton_grpc_url)) as client:
        (stats,) = client.get_inference_statistics(name).model_stats
    return int(stats.inference_count)


def wait_for_requests(tritons: tuple[RunningTriton, ...], name: str, expected: list[int]) -> None:
    """A Triton counts a request a moment after it has answered it."""
    wait_until(f"{expected} requests", lambda: [requests_at(triton, name) for triton in tritons] == expected)


async def test_requests_are_spread_over_servers_and_newcomers_get_their_share(
    tritons: tuple[RunningTriton, ...], planted: PlantedEnsemble
) -> None:
    addresses = [tritons[0].triton_grpc_url]
    model = TritonModel(URL, planted.name, 0.0, resolve=lambda url: list(addresses))
    await model.check()
    assert sum((await answers_of(model, 6)).values()) == 6
    assert requests_at(tritons[1], planted.name) == 0
    addresses.append(tritons[1].triton_grpc_url)
    await model.check()
    await answers_of(model, 10)
    wait_for_requests(tritons, planted.name, [11, 5])
    addresses.pop(0)
    await model.check()
    await answers_of(model, 4)
    wait_for_requests(tritons, planted.name, [11, 9])
    await model.close()


async def test_no_request_fails_while_only_one_server_has_the_new_version(
    tritons: tuple[RunningTriton, ...], planted: PlantedEnsemble
) -> None:
    addresses = [triton.triton_grpc_url for triton in tritons]
    model = TritonModel(URL, planted.name, 0.0, resolve=lambda url: addresses)
    await model.check()
    planted.export(version=2)  # loads it into the first alone
    assert await answers_of(model, 20) == {"1": 10, "2": 10}
    await model.check()
    assert model.is_ready
    await model.close()


async def test_no_request_fails_when_a_server_has_no_model_or_the_host_no_address_any_more(
    tritons: tuple[RunningTriton, ...], planted: PlantedEnsemble
) -> None:
    addresses = [triton.triton_grpc_url for triton in tritons]

    def resolve(url: str) -> list[str]:
        if not addresses:
            raise OSError("the name service is away")
        return list(addresses)

    model = TritonModel(URL, planted.name, 0.0, resolve=resolve)
    await model.check()
    addresses.clear()
    with closing(InferenceServerClient(tritons[0].triton_grpc_url)) as client:
        client.unload_model(planted.name)
        assert sum((await answers_of(model, 10)).values()) == 10
        await model.check()
        assert model.is_ready
        assert sum((await answers_of(model, 10)).values()) == 10
        client.load_model(planted.name)
    await model.close()


async def test_a_host_that_never_had_an_address_is_a_model_that_is_not_there() -> None:
    model = TritonModel("dns:///no-such-host.invalid:8001", "any", 0.0)
    with pytest.raises(ModelUnavailableError, match="no address is known"):
        await model.check()
    with pytest.raises(ModelUnavailableError, match="no address is known"):
        await model.rank(VISIT, True, time.monotonic() + 5)
    await model.close()


async def test_a_server_that_is_killed_costs_no_answer(
    tritons: tuple[RunningTriton, ...], planted: PlantedEnsemble
) -> None:
    """The last test: one of the two is gone after it."""
    addresses = [triton.triton_grpc_url for triton in tritons]
    model = TritonModel(URL, planted.name, 0.0, resolve=lambda url: addresses)
    await model.check()
    asking = [asyncio.create_task(answers_of(model, 100)) for _ in range(4)]
    await answers_of(model, 10)
    assert requests_at(tritons[1], planted.name) > 0
    tritons[1].process.kill()
    found: Any = sum([await task for task in asking], Counter())
    assert sum(found.values()) == 400
    await model.check()
    assert model.is_ready
    await model.close()
