"""Each scenario on a cluster that held nothing before: what runs, where, and what the API made of it."""

from collections.abc import Iterator

from tests.cluster.api import Object
from tests.cluster.nodes import GPU
from tests.cluster.release import Release, conditions, is_ready_or_done, kept, matches

COMPONENT = "app.kubernetes.io/component"


def test_every_pod_runs_and_is_ready(release: Release) -> None:
    pods = release.items("pods")
    assert pods
    assert all(map(is_ready_or_done, pods))
    wanted = {item["metadata"]["name"]: item["spec"]["replicas"] for item in _workloads(release)}
    ready = {item["metadata"]["name"]: item["status"].get("readyReplicas", 0) for item in _workloads(release)}
    assert ready == wanted


def test_pods_with_gpus_and_no_others_run_on_gpu_nodes(release: Release) -> None:
    pods = release.items("pods") + _pods_of_cron_jobs(release)
    with_gpu = {_name(pod) for pod in pods if _gpus(pod)}
    assert {_name(pod) for pod in pods if pod["spec"]["nodeName"].startswith("gpu-")} == with_gpu


def test_the_api_knows_every_field_and_warns_of_nothing(release: Release) -> None:
    # Helm keeps hooks apart.
    parts = ("manifest", "hooks")
    got = [release.cluster.helm("get", part, "shop", "--namespace", release.namespace).stdout for part in parts]
    kubectl = [str(release.cluster.tools.kubernetes), "kubectl"]
    done = release.cluster.run(
        [*kubectl, "apply", "--dry-run=server", "--validate=strict", "--namespace", release.namespace, "-f", "-"],
        "\n---\n".join(got),
    )
    assert done.returncode == 0, done.stderr
    # Kubectl itself remarks that Helm and not kubectl made the objects.
    remarks = [line for line in done.stderr.splitlines() if "last-applied-configuration" not in line]
    assert remarks == []


def test_pods_of_a_priority_class_have_its_priority(release: Release) -> None:
    raised = {_component(pod) for pod in release.items("pods") if pod["spec"].get("priority", 0)}
    assert raised == ({"gateway", "triton"} if release.scenario == "gpu-production" else set())


def test_the_restricted_standard_refuses_no_pod(release: Release) -> None:
    _pods_of_cron_jobs(release)
    refused = [event["message"] for event in release.items("events") if event["reason"] == "FailedCreate"]
    assert refused == []


def test_what_pods_refer_to_is_there_with_its_keys(release: Release) -> None:
    held = {
        **{("Secret", _name(item)): set(item.get("data", {})) for item in release.items("secrets")},
        **{("ConfigMap", _name(item)): set(item.get("data", {})) for item in release.items("configmaps")},
        **{("Claim", _name(item)): {item["status"]["phase"]} for item in release.items("persistentvolumeclaims")},
        **{("Account", _name(item)): set() for item in release.items("serviceaccounts")},
    }
    pods = release.items("pods") + _pods_of_cron_jobs(release)
    wanted = {reference for pod in pods for reference in _references(pod)}
    assert wanted
    missing = {(kind, name, key) for kind, name, key in wanted if key not in {"", *held.get((kind, name), set())}}
    missing |= {(kind, name, key) for kind, name, key in wanted if (kind, name) not in held}
    assert missing == set()


def test_a_disruption_budget_covers_one_component_whole(release: Release) -> None:
    pods = release.items("pods")
    release.cluster.wait("budgets to count their pods", lambda: all(map(_counts_pods, _budgets(release))))
    for budget in _budgets(release):
        covered = [pod for pod in pods if matches(budget["spec"]["selector"], pod)]
        (component,) = {_component(pod) for pod in covered}
        assert {_name(pod) for pod in covered} == {_name(pod) for pod in pods if _component(pod) == component}
        assert budget["status"]["expectedPods"] == len(covered)
        assert budget["status"]["disruptionsAllowed"] >= 1


def test_an_autoscaler_finds_its_deployment_and_keeps_the_least_number(release: Release) -> None:
    release.cluster.wait(
        "autoscalers to find their targets",
        lambda: all(conditions(scaler).get("AbleToScale") == "True" for scaler in _autoscalers(release)),
    )
    for scaler in _autoscalers(release):
        target = _deployments(release)[scaler["spec"]["scaleTargetRef"]["name"]]
        assert target["spec"]["replicas"] >= scaler["spec"]["minReplicas"]


def test_a_scaled_object_names_a_deployment_that_is_there(release: Release) -> None:
    for scaled in release.items("scaledobjects", "apis/keda.sh/v1alpha1"):
        assert scaled["spec"]["scaleTargetRef"]["name"] in _deployments(release)


def test_every_service_has_pods_behind_it(release: Release) -> None:
    services = release.items("services")
    slices = release.items("endpointslices", "apis/discovery.k8s.io/v1")
    ready = {
        part["metadata"]["labels"]["kubernetes.io/service-name"]
        for part in slices
        if any(endpoint["conditions"].get("ready") for endpoint in part.get("endpoints") or [])
    }
    # Workers of a training run come and go with it.
    lasting = {_name(service) for service in services if _component(service) != "training"}
    assert lasting
    assert lasting <= ready


def test_a_monitor_finds_pods_and_their_ports(release: Release) -> None:
    pods = release.items("pods")
    for monitor in release.items("podmonitors", "apis/monitoring.coreos.com/v1"):
        picked = [pod for pod in pods if matches(monitor["spec"]["selector"], pod)]
        assert picked, _name(monitor)
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert all(endpoint["port"] in _ports(pod) for pod in picked)
    services = release.items("services")
    for monitor in release.items("servicemonitors", "apis/monitoring.coreos.com/v1"):
        picked = [service for service in services if matches(monitor["spec"]["selector"], service)]
        assert picked, _name(monitor)
        for endpoint in monitor["spec"]["endpoints"]:
            assert any(endpoint["port"] in {port["name"] for port in service["spec"]["ports"]} for service in picked)


def test_an_uninstall_leaves_what_it_is_told_to_keep_and_an_install_takes_that_up(release: Release) -> None:
    claims = _claims(release)
    release.uninstall()

    def left() -> set[str]:
        return {key for key, item in release.everything().items() if not kept(item)}

    release.cluster.wait("nothing to be left", lambda: not left())
    assert {key.partition("/")[0] for key in release.everything()} <= {"PersistentVolumeClaim"}
    assert _claims(release) == claims
    release.install()
    release.settled()
    assert _claims(release) == claims


def _claims(release: Release) -> dict[str, tuple[str, str]]:
    """Each claim: that it is the same one, and the volume it is bound to."""
    claims = release.items("persistentvolumeclaims")
    return {_name(claim): (claim["metadata"]["uid"], claim["spec"]["volumeName"]) for claim in claims}


def _workloads(release: Release) -> list[Object]:
    return release.items("deployments", "apis/apps/v1") + release.items("statefulsets", "apis/apps/v1")


def _deployments(release: Release) -> dict[str, Object]:
    return {_name(item): item for item in release.items("deployments", "apis/apps/v1")}


def _pods_of_cron_jobs(release: Release) -> list[Object]:
    """Starts each CronJob once, as its schedule would, and returns the pods when they are done."""
    started = {job["metadata"]["name"] for job in release.items("jobs", "apis/batch/v1")}
    names = []
    for cron in release.items("cronjobs", "apis/batch/v1"):
        name = f"{_name(cron)}-now"
        if name not in started:
            job = ("create", "job", name, f"--from=cronjob/{_name(cron)}")
            release.cluster.kubectl(*job, "--namespace", release.namespace)
        names.append(name)

    def jobs() -> list[Object]:
        return [job for job in release.items("jobs", "apis/batch/v1") if _name(job) in names]

    release.cluster.wait("jobs to complete", lambda: all(conditions(job).get("Complete") == "True" for job in jobs()))
    labels = [{"matchLabels": {"batch.kubernetes.io/job-name": name}} for name in names]
    pods = [pod for pod in release.items("pods") if any(matches(label, pod) for label in labels)]
    assert len(pods) >= len(names)
    return pods


def _references(pod: Object) -> Iterator[tuple[str, str, str]]:
    """Kind, name and key (or "") of what a kubelet would look up before it starts the pod."""
    spec = pod["spec"]
    yield "Account", spec["serviceAccountName"], ""
    for secret in spec.get("imagePullSecrets", []):
        yield "Secret", secret["name"], ".dockerconfigjson"
    for volume in spec.get("volumes", []):
        yield from _references_of_volume(volume)
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        for source in container.get("envFrom", []):
            for kind, wanted in (("Secret", source.get("secretRef")), ("ConfigMap", source.get("configMapRef"))):
                if wanted and not wanted.get("optional"):
                    yield kind, wanted["name"], ""
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            for kind, wanted in (("Secret", source.get("secretKeyRef")), ("ConfigMap", source.get("configMapKeyRef"))):
                if wanted and not wanted.get("optional"):
                    yield kind, wanted["name"], wanted["key"]


def _references_of_volume(volume: Object) -> Iterator[tuple[str, str, str]]:
    if claim := volume.get("persistentVolumeClaim"):
        yield "Claim", claim["claimName"], "Bound"
    for kind, wanted in (("Secret", volume.get("secret")), ("ConfigMap", volume.get("configMap"))):
        if wanted and not wanted.get("optional"):
            name = wanted.get("secretName") or wanted["name"]
            yield kind, name, ""
            yield from ((kind, name, item["key"]) for item in wanted.get("items", []))


def _gpus(pod: Object) -> int:
    return sum(int(part["resources"].get("limits", {}).get(GPU, 0)) for part in pod["spec"]["containers"])


def _ports(pod: Object) -> set[str]:
    return {port["name"] for part in pod["spec"]["containers"] for port in part.get("ports", []) if "name" in port}


def _budgets(release: Release) -> list[Object]:
    return release.items("poddisruptionbudgets", "apis/policy/v1")


def _counts_pods(budget: Object) -> bool:
    return int(budget["status"].get("currentHealthy", 0)) == int(budget["status"].get("expectedPods", -1))


def _autoscalers(release: Release) -> list[Object]:
    return release.items("horizontalpodautoscalers", "apis/autoscaling/v2")


def _component(item: Object) -> str:
    return str(item["metadata"].get("labels", {}).get(COMPONENT, ""))


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])
