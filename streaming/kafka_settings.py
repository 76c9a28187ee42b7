"""How to reach Kafka: addresses, TLS and credentials, read from the environment."""

from typing import Literal, Self

from pydantic import Field, FilePath, SecretStr, model_validator

from feature_repo.settings import SharedSettings

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


class KafkaSettings(SharedSettings):
    """An environment variable is called as its field, in upper case; NAME_FILE names a file that holds a secret."""

    kafka_bootstrap_servers: str = Field(default="127.0.0.1:9092", min_length=1)
    """host:port, several separated by commas."""
    kafka_security_protocol: Protocol = "PLAINTEXT"
    """With or without TLS (SSL), with or without a login (SASL)."""

    kafka_ssl_ca_file: FilePath | None = None
    """Certificates (PEM) that the brokers' must lead to; without it those that the system trusts."""
    kafka_ssl_cert_file: FilePath | None = None
    """Our own certificate (PEM), for brokers that ask for one."""
    kafka_ssl_key_file: FilePath | None = None
    """The key of our own certificate (PEM, not encrypted)."""

    kafka_sasl_mechanism: Mechanism | None = None
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")

    kafka_oauth_token_url: str = ""
    """Where OAUTHBEARER gets its tokens, by the grant `client_credentials`; https but for this very machine."""
    kafka_oauth_client_id: str = ""
    kafka_oauth_client_secret: SecretStr = SecretStr("")
    kafka_oauth_scope: str = ""
    """Asked of the token endpoint, if it wants one; several separated by spaces."""

    @property
    def kafka_uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.kafka_security_protocol in ("SSL", "SASL_SSL")

    @property
    def kafka_uses_sasl(self) -> bool:
        """Whether we log in with a mechanism of SASL."""
        return self.kafka_security_protocol.startswith("SASL_")

    @model_validator(mode="after")
    def _check_kafka_tls(self) -> Self:
        files = {"CA": self.kafka_ssl_ca_file, "CERT": self.kafka_ssl_cert_file, "KEY": self.kafka_ssl_key_file}
        given = [f"KAFKA_SSL_{name}_FILE" for name, path in files.items() if path]
        if given and not self.kafka_uses_tls:
            raise ValueError(f"{given[0]} is for TLS: set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL")
        if (self.kafka_ssl_cert_file is None) != (self.kafka_ssl_key_file is None):
            raise ValueError("KAFKA_SSL_CERT_FILE and KAFKA_SSL_KEY_FILE belong together: set both or neither")
        return self

    @model_validator(mode="after")
    def _check_kafka_sasl(self) -> Self:
        if not self.kafka_uses_sasl:
            if self.kafka_sasl_mechanism or self.kafka_sasl_username or self.kafka_oauth_client_id:
                raise ValueError("KAFKA_SASL_… is a login: set KAFKA_SECURITY_PROTOCOL to SASL_SSL or SASL_PLAINTEXT")
            return self
        if self.kafka_sasl_mechanism is None:
            raise ValueError(f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} needs KAFKA_SASL_MECHANISM")
        if missing := [name for name, value in self._credentials().items() if not value]:
            raise ValueError(f"KAFKA_SASL_MECHANISM={self.kafka_sasl_mechanism} needs {' and '.join(missing)}")
        return self

    def _credentials(self) -> dict[str, str]:
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            return {
                "KAFKA_OAUTH_TOKEN_URL": self.kafka_oauth_token_url,
                "KAFKA_OAUTH_CLIENT_ID": self.kafka_oauth_client_id,
                "KAFKA_OAUTH_CLIENT_SECRET": self.kafka_oauth_client_secret.get_secret_value(),
            }
        return {
            "KAFKA_SASL_USERNAME": self.kafka_sasl_username,
            "KAFKA_SASL_PASSWORD": self.kafka_sasl_password.get_secret_value(),
        }
