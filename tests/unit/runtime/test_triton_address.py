import pytest

from runtime.triton_address import addresses_of, stands_for_many
from serving.settings import ServingSettings


def test_a_plain_address_is_one_server_and_is_not_looked_up() -> None:
    assert addresses_of("no-such-host.invalid:8001") == ["no-such-host.invalid:8001"]
    assert not stands_for_many("127.0.0.1:8001")


def test_a_host_is_looked_up_for_all_its_addresses() -> None:
    assert stands_for_many("dns:///localhost:8001")
    assert "127.0.0.1:8001" in addresses_of("dns:///localhost:8001")
    assert addresses_of("dns:///[::1]:8001") == ["[::1]:8001"]


def test_a_host_without_an_address_is_an_error() -> None:
    with pytest.raises(OSError, match="known"):
        addresses_of("dns:///no-such-host.invalid:8001")


@pytest.mark.parametrize("url", ["dns:///triton", "triton", "http://triton:8000", "dns:///:8001", "triton:grpc"])
def test_an_address_without_a_port_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match="TRITON_GRPC_URL must be host:port"):
        addresses_of(url)
    with pytest.raises(ValueError, match="TRITON_GRPC_URL must be host:port"):
        ServingSettings(triton_grpc_url=url)
