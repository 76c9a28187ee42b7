"""Training regularly: alone or together, on what, and where its versions go."""

from tests.chart.rendering import Object, container, environment, objects, of

ALONE = ("training.workers=1", "training.gpu.count=1")


def spec(scenario: str, *settings: str) -> Object:
    return of(scenario, "CronJob", "training", *settings)["spec"]["jobTemplate"]["spec"]


def training(scenario: str, *settings: str) -> Object:
    return container(scenario, "training", *settings, kind="CronJob")


def test_one_process_needs_no_torchrun() -> None:
    command = training("gpu-production", *ALONE, "training.recipe=small")["command"]
    assert command == ["nextclick", "train", "--recipe=small", "--export"]
    services = {item["metadata"]["name"] for item in objects("gpu-production", *ALONE) if item["kind"] == "Service"}
    assert "shop-training" not in services


def test_gpus_decide_where_it_trains() -> None:
    assert environment(training("gpu-production"))["DEVICE"]["value"] == "cuda"
    assert environment(training("tls"))["DEVICE"]["value"] == "cpu"


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
        triton = container(scenario, "triton")
        variables = environment(training(scenario))
        assert f"--model-repository={variables['MODEL_REPOSITORY']['value']}" in triton["args"]
        gateway = container(scenario, "gateway")
        assert variables["TRITON_GRPC_URL"] == environment(gateway)["TRITON_GRPC_URL"]


def test_the_instance_group_comes_from_values() -> None:
    variables = environment(training("gpu-production"))
    assert (variables["TRITON_DEVICE"]["value"], variables["TRITON_INSTANCES"]["value"]) == ("gpu", "2")


def test_models_in_an_image_are_not_published() -> None:
    trained = training("tls", "storage.models.kind=image")
    assert "--export" not in trained["command"]
    assert not {"MODEL_REPOSITORY", "TRITON_GRPC_URL"} & environment(trained).keys()


def test_the_catalogue_lies_on_the_archives_claim() -> None:
    assert environment(training("tls"))["ITEMS_PATH"]["value"] == "/archive/items.parquet"
    assert "ITEMS_PATH" not in environment(training("gpu-production"))


def test_a_run_that_takes_long_is_not_joined_by_the_next_and_a_late_one_still_starts() -> None:
    cron = of("tls", "CronJob", "training", "training.schedule=15 2 * * 0")["spec"]
    assert cron["schedule"] == "15 2 * * 0"
    assert cron["concurrencyPolicy"] == "Forbid"
    assert cron["startingDeadlineSeconds"] >= 600
