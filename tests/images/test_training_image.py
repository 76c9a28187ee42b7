"""The training image, some 7 GB, so only where NEXTCLICK_TRAINING_IMAGE is set: `make test-cluster TRAINING=1`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from feature_repo.schema import ENSEMBLE
from nextclick.stack.addresses import Addresses
from tests.chart.rendering import Object, of
from tests.images.build import built_or_skipped
from tests.images.conftest import mounted
from tests.images.kubelet import Kubelet, MountedImage
from tests.support.planted_sessions import planted_events, write_archive
from training.settings import TrainingSettings

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        "NEXTCLICK_TRAINING_IMAGE" not in os.environ, reason="takes minutes and 7 GB: `make test-cluster TRAINING=1`"
    ),
]


@pytest.fixture(scope="module")
def training_image() -> Iterator[MountedImage]:
    with mounted(built_or_skipped("training")) as image:
        yield image


@pytest.fixture
def kubelet(stack: Addresses, training_image: MountedImage, tmp_path: Path) -> Kubelet:
    """Its claim of models is the folder that this machine's Triton reads."""
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "shop-models").symlink_to(stack.model_repository)
    return Kubelet(training_image, tmp_path, {})


@pytest.fixture
def job(stack: Addresses) -> Object:
    """Of the try-out, on CPUs."""
    triton_elsewhere = ("triton.enabled=false", f"triton.externalUrl={stack.triton_grpc_url}")
    return of("embedded", "CronJob", "training", "training.recipe=tiny", *triton_elsewhere)


def test_the_job_trains_on_the_archive_and_has_triton_serve_the_result(
    kubelet: Kubelet, job: Object, stack: Addresses, tmp_path: Path
) -> None:
    archive = kubelet.claim("shop-archive")
    write_archive(TrainingSettings(archive_path=archive, items_path=tmp_path / "items.parquet"), planted_events())

    ended = kubelet.run(job)

    assert ended.returncode == 0, ended.log
    assert list(kubelet.claim("shop-runs").iterdir())
    with triton.InferenceServerClient(stack.triton_grpc_url) as client:
        assert client.is_model_ready(ENSEMBLE)


def test_pytorch_in_the_image_has_its_cuda_libraries_and_runs_without_a_gpu(kubelet: Kubelet, job: Object) -> None:
    code = "import torch; print(torch.version.cuda, torch.ones(2).sum().item(), torch.cuda.is_available())"
    ended = kubelet.run(job, ["python", "-c", code])
    cuda, total, available = ended.log.split()[-3:]
    assert ended.returncode == 0, ended.log
    assert cuda != "None"
    assert (total, available) == ("2.0", "False")


def test_torchrun_is_on_the_path(kubelet: Kubelet, job: Object) -> None:
    ended = kubelet.run(job, ["torchrun", "--help"])
    assert ended.returncode == 0, ended.log
