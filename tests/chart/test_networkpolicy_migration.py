"""The migration's own NetworkPolicy; which connections it allows: test_networkpolicies.py."""

from tests.chart.rendering import of_component


def test_the_migration_is_let_out_before_the_release_is_there() -> None:
    by_kind = {item["kind"]: item["metadata"]["annotations"] for item in of_component("", "migration")}
    policy, job = by_kind["NetworkPolicy"], by_kind["Job"]
    assert policy["helm.sh/hook"] == job["helm.sh/hook"]
    assert int(policy["helm.sh/hook-weight"]) < int(job.get("helm.sh/hook-weight", 0))
    assert "hook-succeeded" in policy["helm.sh/hook-delete-policy"]
