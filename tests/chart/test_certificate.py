"""The gateway's certificate from cert-manager."""

from tests.chart.rendering import objects, of, pod

CERTIFICATE = (
    "gateway.tls.enabled=true",
    "gateway.tls.certManager.enabled=true",
    "gateway.tls.certManager.issuerName=company",
    'gateway.tls.certManager.dnsNames=["shop.example.com"]',
)


def test_the_certificate_holds_every_name_by_which_the_gateway_is_called() -> None:
    certificate = of("", "Certificate", "gateway", *CERTIFICATE)
    service = of("", "Service", "gateway", *CERTIFICATE)
    name = service["metadata"]["name"]
    names = certificate["spec"]["dnsNames"]
    assert name in names
    assert "shop.example.com" in names
    assert any(each.startswith(f"{name}.") and each.endswith(".svc") for each in names)
    assert any(each.startswith(f"{name}.") and each.endswith(".svc.cluster.local") for each in names)
    assert len(names) == len(set(names)) == 5


def test_the_gateway_reads_the_secret_that_the_certificate_fills() -> None:
    certificate = of("", "Certificate", "gateway", *CERTIFICATE)
    volumes = pod("", "gateway", *CERTIFICATE)["volumes"]
    mounted = [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]
    assert certificate["spec"]["secretName"] in mounted
    assert certificate["spec"]["issuerRef"] == {
        "group": "cert-manager.io",
        "kind": "ClusterIssuer",
        "name": "company",
    }


def test_a_secret_of_ones_own_needs_no_certificate() -> None:
    assert "Certificate" not in {item["kind"] for item in objects("", "gateway.tls.enabled=true")}
