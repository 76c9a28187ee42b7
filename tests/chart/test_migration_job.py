"""The Job that brings the registry up to date before the pods that share it."""

from tests.chart.rendering import container, environment, objects, of, pod

HOOK = "helm.sh/hook"


def test_it_runs_before_an_install_and_before_an_upgrade_with_an_account_that_is_there() -> None:
    job, account = (of("tls", kind, "migration")["metadata"]["annotations"] for kind in ("Job", "ServiceAccount"))
    assert job[HOOK] == account[HOOK] == "pre-install,pre-upgrade"
    assert int(account["helm.sh/hook-weight"]) < int(job.get("helm.sh/hook-weight", 0))


def test_nothing_of_it_is_left_once_it_has_succeeded() -> None:
    for kind in ("Job", "ServiceAccount"):
        policy = of("tls", kind, "migration")["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert policy == "before-hook-creation,hook-succeeded"


def test_it_mounts_nothing_that_the_release_itself_brings() -> None:
    volumes = pod("tls", "migration", kind="Job")["volumes"]
    assert {kind for volume in volumes for kind in volume.keys() - {"name"}} == {"emptyDir", "secret"}
    assert not [item for item in objects("tls") if item["kind"] == "Secret"], "a Secret has to be there before"


def test_it_needs_the_registry_and_no_online_store() -> None:
    names = environment(container("tls", "migration", kind="Job")).keys()
    assert "REGISTRY_URL" in names
    assert not {name for name in names if name.startswith(("REDIS_", "KAFKA_"))}


def test_without_a_registry_to_share_there_is_none() -> None:
    for rendered in (objects("minimal"), objects("embedded"), objects("tls", "migration.enabled=false")):
        assert "migration" not in {item["metadata"]["labels"]["app.kubernetes.io/component"] for item in rendered}
