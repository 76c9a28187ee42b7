"""Training: alone or together, regularly or now, and where its versions go."""

import json

import pytest

from tests.chart.rendering import Object, environment, objects, of

ALONE = ("training.workers=1", "training.gpu.count=1")


def spec(scenario: str, *settings: str) -> Object:
    return of(scenario, "CronJob", "training", *settings)["spec"]["jobTemplate"]["spec"]


def container(scenario: str, *settings: str) -> Object:
    return spec(scenario, *settings)["template"]["spec"]["containers"][0]


def test_one_process_needs_no_torchrun() -> None:
    command = container("gpu-production", *ALONE, "training.recipe=small")["command"]
    assert command == ["nextclick", "train", "--recipe=small", "--export"]
    services = {item["metadata"]["name"] for item in objects("gpu-production", *ALONE) if item["kind"] == "Service"}
    assert "shop-training" not in services


@pytest.mark.parametrize(("workers", "gpus", "processes"), [(2, 0, 1), (3, 2, 2), (1, 4, 4)])
def test_processes_of_all_workers_find_the_first_one(workers: int, gpus: int, processes: int) -> None:
    settings = (f"training.workers={workers}", f"training.gpu.count={gpus}")
    words = container("gpu-production", *settings)["command"]
    assert words[0] == "torchrun"
    options = dict(word.split("=", 1) for word in words if "=" in word)
    assert options["--nnodes"] == str(workers)
    assert options["--nproc-per-node"] == str(processes)
    job = spec("gpu-production", *settings)
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"] == workers
    service = of("gpu-production", "Service", "training", *settings)
    assert options["--master-addr"] == f"$(JOB_NAME)-0.{service['metadata']['name']}"
    assert job["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert {"JOB_NAME", "JOB_COMPLETION_INDEX"} <= environment(container("gpu-production", *settings)).keys()


def test_gpus_decide_where_it_trains() -> None:
    assert environment(container("gpu-production"))["DEVICE"]["value"] == "cuda"
    assert environment(container("tls"))["DEVICE"]["value"] == "cpu"


def test_a_pod_that_is_evicted_does_not_count_as_failed() -> None:
    [rule] = spec("gpu-production")["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore"
    assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert spec("gpu-production")["template"]["spec"]["restartPolicy"] == "Never"


def test_only_a_worker_that_is_alone_is_started_anew() -> None:
    assert spec("gpu-production", *ALONE)["backoffLimit"] == 1
    assert spec("gpu-production", "training.workers=2")["backoffLimit"] == 0


def test_versions_go_where_triton_reads_them() -> None:
    for scenario in ("gpu-production", "tls", "embedded"):
        triton = of(scenario, "Deployment", "triton")["spec"]["template"]["spec"]["containers"][0]
        variables = environment(container(scenario))
        assert f"--model-repository={variables['MODEL_REPOSITORY']['value']}" in triton["args"]
        gateway = of(scenario, "Deployment", "gateway")["spec"]["template"]["spec"]["containers"][0]
        assert variables["TRITON_GRPC_URL"] == environment(gateway)["TRITON_GRPC_URL"]


def test_the_instance_group_comes_from_values() -> None:
    variables = environment(container("gpu-production"))
    assert (variables["TRITON_DEVICE"]["value"], variables["TRITON_INSTANCES"]["value"]) == ("gpu", "2")


def test_models_in_an_image_are_not_published() -> None:
    training = container("tls", "storage.models.kind=image")
    assert "--export" not in training["command"]
    assert not {"MODEL_REPOSITORY", "TRITON_GRPC_URL"} & environment(training).keys()


def test_the_catalogue_lies_on_the_archives_claim() -> None:
    assert environment(container("tls"))["ITEMS_PATH"]["value"] == "/archive/items.parquet"
    assert "ITEMS_PATH" not in environment(container("gpu-production"))


def test_training_now_is_the_same_job_beside_the_cron_job() -> None:
    job = of("gpu-production", "Job", "training", "training.runId=again")
    assert job["metadata"]["name"] == "shop-training-again"
    assert json.dumps(job["spec"], sort_keys=True) == json.dumps(spec("gpu-production"), sort_keys=True)


def test_training_now_tells_whether_its_settings_have_changed() -> None:
    def checksum(*settings: str) -> str:
        return of("gpu-production", "Job", "training", *settings)["metadata"]["annotations"]["nextclick/spec-checksum"]

    assert checksum() == checksum("gateway.replicas=7")
    assert checksum() != checksum("training.recipe=small")
