"""Training once, now; what its pods do, as those of the CronJob: test_training_cronjob.py."""

import json

from tests.chart.rendering import of


def test_training_now_is_the_same_job_beside_the_cron_job() -> None:
    job = of("gpu-production", "Job", "training", "training.runId=again")
    cron = of("gpu-production", "CronJob", "training")
    assert job["metadata"]["name"] == "shop-training-again"
    assert json.dumps(job["spec"], sort_keys=True) == json.dumps(cron["spec"]["jobTemplate"]["spec"], sort_keys=True)


def test_training_now_tells_whether_its_settings_have_changed() -> None:
    def checksum(*settings: str) -> str:
        return of("gpu-production", "Job", "training", *settings)["metadata"]["annotations"]["nextclick/spec-checksum"]

    assert checksum() == checksum("gateway.replicas=7")
    assert checksum() != checksum("training.recipe=small")
