"""How workers that train together find each other."""

import pytest

from tests.chart.rendering import container, environment, of


@pytest.mark.parametrize(("workers", "gpus", "processes"), [(2, 0, 1), (3, 2, 2), (1, 4, 4)])
def test_processes_of_all_workers_find_the_first_one(workers: int, gpus: int, processes: int) -> None:
    settings = (f"training.workers={workers}", f"training.gpu.count={gpus}")
    training = container("gpu-production", "training", *settings, kind="CronJob")
    words = training["command"]
    assert words[0] == "torchrun"
    options = dict(word.split("=", 1) for word in words if "=" in word)
    assert options["--nnodes"] == str(workers)
    assert options["--nproc-per-node"] == str(processes)
    job = of("gpu-production", "CronJob", "training", *settings)["spec"]["jobTemplate"]["spec"]
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"] == workers
    service = of("gpu-production", "Service", "training", *settings)
    assert options["--master-addr"] == f"$(JOB_NAME)-0.{service['metadata']['name']}"
    assert job["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert {"JOB_NAME", "JOB_COMPLETION_INDEX"} <= environment(training).keys()
