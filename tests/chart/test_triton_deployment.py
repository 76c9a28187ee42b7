"""Triton's pods: what they serve, from where, and for whom."""

import pytest

from tests.chart.rendering import container, of, of_component, pod


def arguments(scenario: str, *settings: str) -> dict[str, str]:
    words = container(scenario, "triton", *settings)["args"]
    assert words[0] == "tritonserver"
    return dict(word.removeprefix("--").split("=", 1) for word in words[1:])


def test_versions_are_loaded_when_training_asks_and_those_that_are_there_at_start() -> None:
    given = arguments("minimal")
    assert given["model-control-mode"] == "explicit"
    assert given["load-model"] == "*"


def test_a_first_install_without_any_model_starts() -> None:
    assert arguments("minimal")["exit-on-error"] == "false"


def test_it_serves_the_ports_that_its_services_name() -> None:
    settings = ("triton.grpcPort=9001", "triton.httpPort=9000", "triton.metricsPort=9002")
    given = arguments("minimal", *settings)
    triton = container("minimal", "triton", *settings)
    ports = {port["name"]: str(port["containerPort"]) for port in triton["ports"]}
    assert ports == {name: given[f"{name}-port"] for name in ("http", "grpc", "metrics")}


@pytest.mark.parametrize(
    ("settings", "repository"),
    [
        (("storage.models.kind=claim",), "/models"),
        (("storage.models.kind=url", "storage.models.url=s3://bucket/models"), "s3://bucket/models"),
        (("storage.models.kind=image", "storage.models.path=/opt/models"), "/opt/models"),
    ],
)
def test_models_come_from_a_claim_a_url_or_the_image(settings: tuple[str, ...], repository: str) -> None:
    assert arguments("minimal", *settings)["model-repository"] == repository
    mounts = {mount["mountPath"]: mount for mount in container("minimal", "triton", *settings)["volumeMounts"]}
    is_claim = repository == "/models"
    assert ("/models" in mounts) == is_claim
    if is_claim:
        assert mounts["/models"]["readOnly"] is True


def test_it_may_read_what_training_writes() -> None:
    training = pod("tls", "training", kind="CronJob")
    assert pod("tls", "triton")["securityContext"]["fsGroup"] == training["securityContext"]["fsGroup"]


def test_more_arguments_come_last() -> None:
    assert container("gpu-production", "triton")["args"][-1] == "--cuda-memory-pool-byte-size=0:268435456"


def test_a_pod_ends_after_its_requests_and_not_before() -> None:
    waits = int(container("minimal", "triton")["lifecycle"]["preStop"]["exec"]["command"][1])
    finishes = int(arguments("minimal")["exit-timeout-secs"])
    assert pod("minimal", "triton")["terminationGracePeriodSeconds"] >= waits + finishes


@pytest.mark.parametrize(("surge", "unavailable"), [(0, 1), (1, 0), (2, 0)])
def test_an_update_always_has_a_way_forward(surge: int, unavailable: int) -> None:
    strategy = of("minimal", "Deployment", "triton", f"triton.maxSurge={surge}")["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": surge, "maxUnavailable": unavailable}


def test_elsewhere_nothing_of_it_is_left_here() -> None:
    assert not of_component("keda", "triton")
