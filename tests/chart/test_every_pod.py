"""What holds for every pod of the chart, whichever component it is."""

import re

import pytest

from tests.chart.rendering import SCENARIOS, Object, containers, objects, of, pod_templates, pods_among

IMAGE = re.compile(r"^[a-z0-9./_-]+:[A-Za-z0-9_][A-Za-z0-9_.-]*$")
ALLOWED_VOLUMES = {"emptyDir", "persistentVolumeClaim", "secret", "configMap", "projected", "downwardAPI", "ephemeral"}
"""Of the `restricted` Pod Security Standard, which no host path is part of."""


def test_there_is_a_pod_of_every_component() -> None:
    components = {component for component, _ in pod_templates()}
    assert components == {
        *("gateway", "streaming", "catalogue", "archive", "compaction", "triton", "training", "migration"),
        *("kafka", "redis"),
    }


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_pod_meets_the_restricted_standard(scenario: str) -> None:
    for component, pod in pod_templates(scenario):
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), component
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in spec.get("volumes", []):
            assert volume.keys() - {"name"} <= ALLOWED_VOLUMES, f"{component}: {volume}"
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, component
            assert not any("hostPort" in port for port in container.get("ports", []))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_a_pod_keeps_on_its_node_has_a_limit(scenario: str) -> None:
    volumes = [
        (component, volume)
        for component, pod in pod_templates(scenario)
        for volume in pod["spec"].get("volumes", [])
        if "emptyDir" in volume
    ]
    assert volumes
    assert [each for each in volumes if not (each[1]["emptyDir"] or {}).get("sizeLimit")] == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_pod_holds_a_token_or_variables_of_other_services(scenario: str) -> None:
    accounts = {item["metadata"]["name"]: item for item in objects(scenario) if item["kind"] == "ServiceAccount"}
    for component, pod in pod_templates(scenario):
        assert pod["spec"]["automountServiceAccountToken"] is False, component
        assert pod["spec"]["enableServiceLinks"] is False, component
        assert accounts[pod["spec"]["serviceAccountName"]]["automountServiceAccountToken"] is False, component


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_pod_has_an_account_that_no_other_component_shares(scenario: str) -> None:
    used = {(component, pod["spec"]["serviceAccountName"]) for component, pod in pod_templates(scenario)}
    assert len({account for _, account in used}) == len(used)
    accounts = {item["metadata"]["name"] for item in objects(scenario) if item["kind"] == "ServiceAccount"}
    assert accounts == {account for _, account in used}


def test_every_image_has_a_tag_and_none_of_them_moves() -> None:
    for component, container in containers():
        assert IMAGE.match(container["image"]), component
        assert not container["image"].endswith(":latest"), component


def test_every_container_says_what_it_needs_and_how_much_memory_it_may_take() -> None:
    for component, container in containers():
        resources = container["resources"]
        assert resources["requests"]["cpu"], component
        assert resources["requests"]["memory"], component
        assert resources["limits"]["memory"], component


def test_cpus_can_be_limited_where_a_quota_asks_for_it() -> None:
    """The chart's README says why it limits none by itself."""
    parts = ("gateway", "streaming", "catalogue", "archive", "triton", "training", "migration")
    servers = ("kafka.embedded", "redis.embedded")
    limits = [f"{part}.resources.limits.cpu=3" for part in (*parts, *servers)]
    enabled = [f"{server}.enabled=true" for server in servers]
    limited = {
        component: container["resources"]["limits"]["cpu"]
        for component, pod in pods_among(objects("", *limits, *enabled))
        for container in pod["spec"]["containers"]
    }
    assert limited == dict.fromkeys((*parts, "compaction", "kafka", "redis"), 3)


def test_gpus_are_limits_of_the_pods_that_ask_for_them() -> None:
    with_gpu = {name for name, container in containers("gpu-production") if _gpus(container)}
    assert with_gpu == {"triton", "training"}
    assert not [name for name, container in containers("minimal", "tls", "keda", "embedded") if _gpus(container)]


def test_nodes_with_gpus_are_open_to_pods_that_need_one_and_to_no_others() -> None:
    for scenario in SCENARIOS:
        for component, pod in pod_templates(scenario):
            tolerated = [each["key"] for each in pod["spec"].get("tolerations", [])]
            needs = any(_gpus(container) for container in pod["spec"]["containers"])
            assert tolerated == ["nvidia.com/gpu"] * needs, f"{scenario}: {component}"


def _gpus(container: Object) -> int:
    return int(container["resources"]["limits"].get("nvidia.com/gpu", 0))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_volume_is_mounted_and_every_mount_has_a_volume(scenario: str) -> None:
    for component, pod in pod_templates(scenario):
        volumes = [volume["name"] for volume in pod["spec"].get("volumes", [])]
        mounts = [mount for container in pod["spec"]["containers"] for mount in container.get("volumeMounts", [])]
        assert len(volumes) == len(set(volumes)), component
        assert {mount["name"] for mount in mounts} == set(volumes), component
        paths = [mount["mountPath"] for mount in mounts]
        assert len(paths) == len(set(paths)), component


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_claim_that_a_pod_mounts_is_made_or_named_in_the_values(scenario: str) -> None:
    made = {item["metadata"]["name"] for item in objects(scenario) if item["kind"] == "PersistentVolumeClaim"}
    given = {"events"} if scenario == "keda" else set()
    mounted = {
        volume["persistentVolumeClaim"]["claimName"]
        for _, pod in pod_templates(scenario)
        for volume in pod["spec"].get("volumes", [])
        if "persistentVolumeClaim" in volume
    }
    assert mounted == made | given


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_job_that_hangs_ends_some_day(scenario: str) -> None:
    """With `concurrencyPolicy: Forbid` it would keep every later one from starting."""
    jobs = [item["spec"] for item in objects(scenario) if item["kind"] == "Job"]
    jobs += [item["spec"]["jobTemplate"]["spec"] for item in objects(scenario) if item["kind"] == "CronJob"]
    assert all(job["activeDeadlineSeconds"] >= 60 for job in jobs)


def test_every_server_has_probes_that_ask_a_port_of_its_own() -> None:
    for component, container in containers():
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        assert len(set(ports.values())) == len(ports), component
        if component in ("compaction", "migration", "training"):
            continue
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container[name]
            asked = [probe[how]["port"] for how in ("grpc", "httpGet", "tcpSocket") if how in probe]
            assert asked or "exec" in probe, f"{component}: {name}"
            assert all(port in ports or port in ports.values() for port in asked), f"{component}: {name}"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_service_leads_to_pods_that_serve_its_ports(scenario: str) -> None:
    pods = [pod for _, pod in pod_templates(scenario)]
    for service in (item for item in objects(scenario) if item["kind"] == "Service"):
        selected = [pod for pod in pods if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()]
        assert selected, service["metadata"]["name"]
        for pod in selected:
            named = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
            for port in service["spec"]["ports"]:
                # Only the gateway's Service listens where its callers like, say on 443.
                is_gateway = service["metadata"]["name"] == "shop-gateway"
                assert port["targetPort"] in named if is_gateway else named[port["targetPort"]] == port["port"]


def test_a_mesh_is_told_which_ports_speak_grpc_and_can_balance_calls() -> None:
    ports = [port for item in objects("minimal") if item["kind"] == "Service" for port in item["spec"]["ports"]]
    assert [port["name"] == "grpc" for port in ports] == [port.get("appProtocol") == "grpc" for port in ports]
    assert len([port for port in ports if port["name"] == "grpc"]) == 3


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_selectors_find_the_pods_of_their_own_component_only(scenario: str) -> None:
    pods = {component: pod["metadata"]["labels"] for component, pod in pod_templates(scenario)}
    for deployment in (item for item in objects(scenario) if item["kind"] == "Deployment"):
        labels = deployment["spec"]["selector"]["matchLabels"]
        found = {component for component, own in pods.items() if labels.items() <= own.items()}
        assert found == {deployment["metadata"]["labels"]["app.kubernetes.io/component"]}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_replicas_are_spread_over_zones_and_nodes_where_that_can_be(scenario: str) -> None:
    for deployment in (item for item in objects(scenario) if item["kind"] == "Deployment"):
        if deployment["metadata"]["labels"]["app.kubernetes.io/component"] in ("kafka", "redis"):
            continue
        spreads = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in spreads} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        for each in spreads:
            assert each["whenUnsatisfiable"] == "ScheduleAnyway"
            assert each["labelSelector"] == deployment["spec"]["selector"]


PLACED = (
    "priorityClassName=high",
    'nodeSelector={"disk": "fast"}',
    'tolerations=[{"key": "spot", "operator": "Exists"}]',
    'affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}',
    'podAnnotations={"example.com/a": "b"}',
)


def check_placed(pod: Object) -> None:
    assert pod["spec"]["priorityClassName"] == "high"
    assert pod["spec"]["nodeSelector"] == {"disk": "fast"}
    assert {"key": "spot", "operator": "Exists"} in pod["spec"]["tolerations"]
    assert "podAntiAffinity" in pod["spec"]["affinity"]
    assert pod["metadata"]["annotations"] == {"example.com/a": "b"}


@pytest.mark.parametrize("component", ["gateway", "streaming", "catalogue", "archive", "triton", "training"])
def test_values_decide_where_a_component_runs(component: str) -> None:
    settings = (
        *(f"{component}.{setting}" for setting in PLACED),
        f'{component}.serviceAccount.annotations={{"example.com/role": "{component}"}}',
    )
    rendered = objects("", *settings)
    [pod] = [
        (spec.get("jobTemplate", {}).get("spec") or spec)["template"]
        for item in rendered
        if item["kind"] in ("Deployment", "CronJob")
        and item["metadata"]["labels"]["app.kubernetes.io/component"] == component
        for spec in [item["spec"]]
    ]
    check_placed(pod)
    [account] = [
        item
        for item in rendered
        if item["kind"] == "ServiceAccount" and item["metadata"]["name"] == pod["spec"]["serviceAccountName"]
    ]
    assert account["metadata"]["annotations"] == {"example.com/role": component}


@pytest.mark.parametrize(
    ("component", "values", "on"),
    [
        ("migration", "migration", "migration.enabled=true"),
        ("kafka", "kafka.embedded", "kafka.embedded.enabled=true"),
        ("redis", "redis.embedded", "redis.embedded.enabled=true"),
    ],
)
def test_values_decide_where_the_migration_and_embedded_servers_run(component: str, values: str, on: str) -> None:
    kind = "Job" if component == "migration" else "Deployment"
    pod = of("", kind, component, on, *(f"{values}.{setting}" for setting in PLACED))["spec"]["template"]
    check_placed(pod)


def test_names_fit_into_kubernetes_limits_however_long_the_release_is_called() -> None:
    from tests.chart.rendering import CHART, KUBERNETES, helm

    done = helm("template", "a" * 53, str(CHART), f"--kube-version={KUBERNETES}", "--set=training.runNow=true")
    assert done.returncode == 0, done.stderr
    names = re.findall(r"^  name: (\S+)$", done.stdout, re.MULTILINE)
    assert names
    # A CronJob's pods carry its name, eleven characters more, and an index.
    assert max(map(len, names)) <= 63
    assert len(f"{'a' * 40}-training-12345678-99") <= 63
    assert f"{'a' * 40}-training" in names
