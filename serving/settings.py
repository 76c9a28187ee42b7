"""Settings of the gateway, read from the environment on top of the ones every stage shares."""

from typing import Self

from pydantic import Field, FilePath, field_validator, model_validator

from feature_repo.schema import ENSEMBLE
from feature_repo.settings import SharedSettings
from runtime.triton_address import host_and_port


class ServingSettings(SharedSettings):
    """An environment variable is called as its field, in upper case, without a prefix. Times are in seconds."""

    gateway_host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 inside a container."""
    gateway_port: int = Field(default=50051, ge=0, le=65535)
    """gRPC; 0 takes a free one."""
    gateway_metrics_port: int = Field(default=9464, ge=0, le=65535)
    """Prometheus over HTTP, on the same address; 0 takes a free one."""

    gateway_tls_cert_file: FilePath | None = None
    """Certificate chain (PEM) of the gRPC port, read anew when it changes; without it gRPC is not encrypted."""
    gateway_tls_key_file: FilePath | None = None
    """The key of that certificate (PEM, not encrypted)."""

    triton_grpc_url: str = "127.0.0.1:8001"
    """`host:port` of Triton's gRPC endpoint, or `dns:///host:port` to use every address that the host has in turn."""
    triton_model_name: str = ENSEMBLE
    """The ensemble to call; always its newest version."""

    request_timeout_seconds: float = Field(default=1.0, gt=0)
    """Time for a call whose caller set no deadline."""
    max_request_timeout_seconds: float = Field(default=5.0, gt=0)
    """Longest time for any call, whatever deadline its caller set."""
    feature_store_timeout_seconds: float = Field(default=0.25, gt=0)
    """Longest wait for the session, inside the call's time."""
    fallback_reserve_seconds: float = Field(default=0.02, ge=0)
    """What is kept of a call's time to answer popular items when the model does not answer."""
    max_concurrent_requests: int = Field(default=256, ge=1)
    """Calls in flight before new ones are turned away."""
    max_connection_age_seconds: float = Field(default=300.0, gt=0)
    """Age at which a client is asked to connect anew, so that it finds gateways that were added; its calls in flight
    are finished first."""

    popular_items_refresh_seconds: float = Field(default=10.0, gt=0)
    """How often the popular items are read from the online store."""
    availability_refresh_seconds: float = Field(default=0.2, gt=0)
    """How often it is looked which items have become available or unavailable."""
    model_check_seconds: float = Field(default=2.0, gt=0)
    """How often the served model version is looked at, so that a new one is checked before it is needed."""

    shutdown_notice_seconds: float = Field(default=0.5, ge=0)
    """How long calls are still accepted after health says NOT_SERVING, for load balancers to notice."""
    shutdown_grace_seconds: float = Field(default=10.0, ge=0)
    """How long the calls in flight may take to finish afterwards."""

    @field_validator("triton_grpc_url")
    @classmethod
    def _check_triton(cls, url: str) -> str:
        host_and_port(url)
        return url

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.gateway_tls_cert_file is None) != (self.gateway_tls_key_file is None):
            raise ValueError("GATEWAY_TLS_CERT_FILE and GATEWAY_TLS_KEY_FILE belong together: set both or neither")
        return self
