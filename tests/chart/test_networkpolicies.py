"""Which connections the NetworkPolicies allow: all that a component's environment names, and no others."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.rendering import COMPONENT, SCENARIOS, environment, objects

EVERYWHERE = (*SCENARIOS, "")
"""The scenarios, and the chart's own values."""
POD_KINDS = ("Deployment", "StatefulSet", "CronJob", "Job")
TARGETS = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka",
    "KAFKA_OAUTH_TOKEN_URL": "https",
    "REGISTRY_URL": "registry",
    "TRITON_GRPC_URL": "triton",
}
"""Whom a process calls that has such a variable; REDIS_URL and URLs of storage are looked at more closely."""
PORTS = {"kafka": [9092, 9093], "redis": [6379], "registry": [5432], "https": [443], "triton": [8001]}
DNS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
Object = dict[str, Any]


def templates(rendered: list[Object]) -> Iterator[tuple[str, Object]]:
    """Every pod that may run, with its component."""
    for item in rendered:
        if item["kind"] in POD_KINDS:
            spec = item["spec"]
            template = spec.get("jobTemplate", {}).get("spec", spec)["template"]
            yield template["metadata"]["labels"][COMPONENT], template


def policies(rendered: list[Object]) -> dict[str, Object]:
    found = [item for item in rendered if item["kind"] == "NetworkPolicy"]
    return {item["metadata"]["labels"][COMPONENT]: item["spec"] for item in found}


def called(component: str, template: Object) -> set[str]:
    """Whom a pod calls, by its environment and arguments."""
    [container] = template["spec"]["containers"]
    env = {name: variable.get("value", "") for name, variable in environment(container).items()}
    words = [*container.get("command", []), *container.get("args", [])]
    found = {TARGETS[name] for name in env.keys() & TARGETS.keys()}
    # The migration names the store in what it writes and does not call it.
    if "REDIS_URL" in env and component != "migration":
        found.add("redis")
    # These three only agree on where the archive is.
    archive = "" if component in ("streaming", "catalogue", "migration") else env.get("ARCHIVE_PATH", "")
    if any("://" in text for text in (archive, env.get("MODEL_REPOSITORY", ""))) or "s3://" in " ".join(words):
        found.add("https")
    return found


def targets(rule: Object, component: str) -> set[str]:
    """Whom one egress rule lets a pod call."""
    ports = [each["port"] for each in rule.get("ports", [])]
    if ports == [53, 53]:
        return {"dns"}
    peers = [name for peer in rule.get("to", []) if "podSelector" in peer for name in selected(peer)]
    if peers:
        return {"each other"} if peers == [component] and not ports else set(peers)
    return {name for name, of_target in PORTS.items() if of_target == ports} or {f"port {ports}"}


def selected(peer: Object) -> list[str]:
    """The components of this release that a peer names."""
    assert set(peer["podSelector"]["matchLabels"]) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
    [expression] = peer["podSelector"]["matchExpressions"]
    assert (expression["key"], expression["operator"]) == (COMPONENT, "In")
    return expression["values"]


@pytest.mark.parametrize("scenario", EVERYWHERE)
def test_what_no_policy_allows_is_denied_to_every_pod(scenario: str) -> None:
    rendered = objects(scenario)
    everything = policies(rendered)["default-deny"]
    assert everything["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & everything.keys()
    [exception] = everything["podSelector"]["matchExpressions"]
    assert exception == {"key": COMPONENT, "operator": "NotIn", "values": ["migration"]}
    for component, template in templates(rendered):
        labels = template["metadata"]["labels"]
        assert everything["podSelector"]["matchLabels"].items() <= labels.items()
        own = policies(rendered)[component]
        assert own["podSelector"]["matchLabels"].items() <= labels.items()
        assert own["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize("scenario", EVERYWHERE)
def test_a_component_reaches_what_its_environment_names_and_nothing_else(scenario: str) -> None:
    rendered = objects(scenario)
    seen = set()
    for component, template in templates(rendered):
        egress = policies(rendered)[component].get("egress", [])
        allowed = set().union(*(targets(rule, component) for rule in egress)) - {"dns", "each other"}
        assert allowed == called(component, template), component
        seen |= allowed
    assert {"kafka", "redis", "triton"} <= seen


@pytest.mark.parametrize("scenario", EVERYWHERE)
def test_who_calls_by_name_may_ask_for_names(scenario: str) -> None:
    rendered = objects(scenario)
    for component, template in templates(rendered):
        egress = policies(rendered)[component].get("egress", [])
        asks = any(rule.get("ports") == DNS and "to" not in rule for rule in egress)
        assert asks or not called(component, template), component


@pytest.mark.parametrize("scenario", EVERYWHERE)
def test_whom_a_component_of_ours_calls_lets_it_in(scenario: str) -> None:
    rendered = objects(scenario)
    ours = {component for component, _ in templates(rendered)}
    for component, template in templates(rendered):
        for target in called(component, template) & ours:
            callers = [
                caller
                for rule in policies(rendered)[target]["ingress"]
                if [each["port"] for each in rule["ports"]] == PORTS[target][:1]
                for peer in rule["from"]
                for caller in selected(peer)
            ]
            assert component in callers, f"{component} → {target}"


@pytest.mark.parametrize("scenario", EVERYWHERE)
def test_every_port_that_is_open_is_one_that_a_container_has(scenario: str) -> None:
    rendered = objects(scenario)
    for component, template in templates(rendered):
        [container] = template["spec"]["containers"]
        served = {each["containerPort"] for each in container.get("ports", [])}
        rules = policies(rendered)[component].get("ingress", [])
        opened = {each["port"] for rule in rules for each in rule.get("ports", [])}
        assert opened <= served, component
        metrics = {each["containerPort"] for each in container.get("ports", []) if each["name"] == "metrics"}
        assert metrics <= opened, component


def test_names_are_asked_for_on_the_port_where_the_clusters_dns_listens() -> None:
    rendered = objects("", "networkPolicy.ports.dns=[5353]")
    elsewhere = [{**each, "port": 5353} for each in DNS]
    for component, policy in policies(rendered).items():
        assert not [rule for rule in policy.get("egress", []) if rule.get("ports") == DNS], component
    assert {"ports": elsewhere} in policies(rendered)["gateway"]["egress"]
    assert {"ports": elsewhere} in policies(rendered)["migration"]["egress"]


def test_workers_that_train_together_reach_each_other_on_every_port() -> None:
    training = policies(objects("", "training.workers=3"))["training"]
    [ingress] = training["ingress"]
    assert "ports" not in ingress
    assert [selected(peer) for peer in ingress["from"]] == [["training"]]
    assert any(targets(rule, "training") == {"each other"} for rule in training["egress"])
    assert "ingress" not in policies(objects(""))["training"]


def test_clients_and_prometheus_can_be_named() -> None:
    settings = (
        'networkPolicy.gatewayClients=[{"podSelector": {"matchLabels": {"app": "shop"}}}]',
        'networkPolicy.metricsClients=[{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]',
    )
    grpc, metrics = policies(objects("", *settings))["gateway"]["ingress"]
    assert grpc["from"] == [{"podSelector": {"matchLabels": {"app": "shop"}}}]
    assert metrics["from"] == [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]
    for rule in policies(objects(""))["gateway"]["ingress"]:
        assert rule["from"] == [{"namespaceSelector": {}}], "unnamed, every pod of the cluster and nobody outside"


def test_a_producer_can_be_let_into_the_embedded_kafka() -> None:
    shop = {"podSelector": {"matchLabels": {"app": "shop"}}}
    [closed] = policies(objects("embedded"))["kafka"]["ingress"]
    [opened] = policies(objects("embedded", f"networkPolicy.kafkaClients={json.dumps([shop])}"))["kafka"]["ingress"]
    assert opened["from"] == [*closed["from"], shop]
    assert opened["ports"] == closed["ports"]


def test_the_servers_of_others_can_be_named() -> None:
    block = {"ipBlock": {"cidr": "10.1.0.0/16"}}
    names = ("kafka", "redis", "registry", "storage")
    settings = [f"networkPolicy.{name}={json.dumps([block])}" for name in names]
    settings.append("storage.archive.url=s3://events/archive")
    allowed = policies(objects("", *settings))
    for component, name in (
        ("streaming", "kafka"),
        ("gateway", "redis"),
        ("streaming", "registry"),
        ("archive", "https"),
    ):
        [rule] = [rule for rule in allowed[component]["egress"] if name in targets(rule, component)]
        assert rule["to"] == [block], name


def test_brokers_are_reached_on_the_ports_of_their_addresses_and_on_those_that_are_listed() -> None:
    settings = ("kafka.bootstrapServers=b-1:9094,b-2:9096,b-3:9094", "networkPolicy.ports.kafka=[9093]")
    for component in ("streaming", "catalogue", "archive", "compaction"):
        rules = policies(objects("", *settings))[component]["egress"]
        opened = [[port["port"] for port in rule["ports"]] for rule in rules]
        assert [9093, 9094, 9096] in opened, component


def test_a_triton_elsewhere_is_reached_on_the_port_of_its_address() -> None:
    settings = ("triton.enabled=false", "triton.externalUrl=dns:///triton.ai.svc:9001")
    rendered = policies(objects("", *settings))
    assert "triton" not in rendered
    for component in ("gateway", "training"):
        rules = [rule for rule in rendered[component]["egress"] if "to" not in rule]
        assert {"protocol": "TCP", "port": 9001} in [port for rule in rules for port in rule["ports"]]


def test_tokens_for_kafka_are_fetched_over_https() -> None:
    settings = (
        "kafka.security.protocol=SASL_SSL",
        "kafka.security.saslMechanism=OAUTHBEARER",
        "kafka.security.existingSecret=kafka-login",
    )
    for component in ("streaming", "catalogue", "archive", "compaction"):
        egress = policies(objects("", *settings))[component]["egress"]
        assert {"ports": [{"protocol": "TCP", "port": 443}]} in egress
        named = ("networkPolicy.oauth[0].ipBlock.cidr=10.0.0.0/8", "networkPolicy.ports.oauth[0]=8443")
        egress = policies(objects("", *settings, *named))[component]["egress"]
        assert {"ports": [{"protocol": "TCP", "port": 8443}], "to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]} in egress


def test_policies_can_be_left_out() -> None:
    assert not policies(objects("", "networkPolicy.enabled=false"))
