"""Who the pods are to the cloud; that each has an account of its own, without a token: test_every_pod.py."""

import pytest

from tests.chart.rendering import COMPONENT, Object, of, of_kind


def annotations(account: Object) -> dict[str, str]:
    return account["metadata"].get("annotations", {})


@pytest.mark.parametrize("component", ["gateway", "streaming", "catalogue", "triton", "training"])
def test_an_identity_in_the_cloud_is_its_components_alone(component: str) -> None:
    setting = f'{component}.serviceAccount.annotations={{"example.com/role": "{component}"}}'
    accounts = of_kind("", "ServiceAccount", setting, "kafka.embedded.enabled=true")
    named = {account["metadata"]["labels"][COMPONENT] for account in accounts if component in str(annotations(account))}
    assert named == {component}


def test_compaction_is_to_the_cloud_what_the_archive_is() -> None:
    """It writes to the same bucket, in pods of its own."""
    archive, compaction = (of("gpu-production", "ServiceAccount", name) for name in ("archive", "compaction"))
    assert annotations(archive) == annotations(compaction) == {"example.com/role": "nextclick-archive"}
    assert archive["metadata"]["name"] != compaction["metadata"]["name"]
