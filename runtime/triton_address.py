"""What TRITON_GRPC_URL may say: `host:port` is one server, `dns:///host:port` every address that the host has."""

import socket

_EVERY_ADDRESS = "dns:///"


def stands_for_many(url: str) -> bool:
    """Whether the URL means every address of its host, which may change at any time."""
    return url.startswith(_EVERY_ADDRESS)


def host_and_port(url: str) -> tuple[str, int]:
    """What a URL of either form names. Raises ValueError if there is no port."""
    host, _, port = url.removeprefix(_EVERY_ADDRESS).rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise ValueError(f"TRITON_GRPC_URL must be host:port or {_EVERY_ADDRESS}host:port, not {url!r}")
    return host.strip("[]"), int(port)


def addresses_of(url: str) -> list[str]:
    """The servers meant, each as `address:port`, in order; a URL that stands for many is looked up.

    Raises OSError if the host has no address, ValueError if there is no port.
    """
    host, port = host_and_port(url)
    if not stands_for_many(url):
        return [url]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = {str(address[0]) for *_, address in found}
    return sorted(f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address in addresses)
