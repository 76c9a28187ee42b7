"""The gateway over TLS: who is let in, what a renewed certificate changes, and what a wrong one says."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import ValidationError

from serving.errors import GatewayStartError
from serving.server import Gateway
from serving.settings import ServingSettings
from tests.support.ports import NOTHING


def issue(folder: Path) -> bytes:
    """Put a certificate of a new authority there, as a renewal does: by rename. Returns whom to trust."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    for name, content in (("tls.crt", chain), ("tls.key", certificate.private_key_pem.bytes())):
        (folder / f".{name}").write_bytes(content)
        os.replace(folder / f".{name}", folder / name)
    return authority.cert_pem.bytes()


def settings_in(folder: Path) -> ServingSettings:
    """Without Redis and Triton: who is let in does not depend on them."""
    return ServingSettings(
        nextclick_home=folder,
        gateway_port=0,
        gateway_metrics_port=0,
        redis_url=f"redis://{NOTHING}/0",
        triton_grpc_url=NOTHING,
        gateway_tls_cert_file=folder / "tls.crt",
        gateway_tls_key_file=folder / "tls.key",
        shutdown_notice_seconds=0,
    )


@asynccontextmanager
async def health(port: int, trusted: bytes | None) -> AsyncIterator[health_pb2_grpc.HealthStub]:
    if trusted is None:
        channel = grpc.aio.insecure_channel(f"localhost:{port}")
    else:
        channel = grpc.aio.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(trusted))
    async with channel:
        yield health_pb2_grpc.HealthStub(channel)


async def is_let_in(port: int, trusted: bytes | None) -> bool:
    async with health(port, trusted) as stub:
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_only_callers_over_tls_are_answered(tmp_path: Path) -> None:
    trusted = issue(tmp_path)
    async with Gateway(settings_in(tmp_path)) as gateway:
        assert await is_let_in(gateway.port, trusted)
        assert not await is_let_in(gateway.port, None)
        assert not await is_let_in(gateway.port, trustme.CA().cert_pem.bytes())


async def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    before = issue(tmp_path)
    async with Gateway(settings_in(tmp_path)) as gateway:
        assert await is_let_in(gateway.port, before)
        (tmp_path / "tls.crt").write_text("half written")
        assert await is_let_in(gateway.port, before)
        after = issue(tmp_path)
        assert await is_let_in(gateway.port, after)
        assert not await is_let_in(gateway.port, before)


async def test_a_certificate_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    issue(tmp_path)
    (tmp_path / "tls.key").write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
    with pytest.raises(GatewayStartError, match=r"GATEWAY_TLS_CERT_FILE .*tls\.crt"):
        async with Gateway(settings_in(tmp_path)):
            pass


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    issue(tmp_path)
    with pytest.raises(ValidationError, match="belong together"):
        ServingSettings(gateway_tls_cert_file=tmp_path / "tls.crt")
