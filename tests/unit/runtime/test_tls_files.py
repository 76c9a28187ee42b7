"""Files of certificates and keys that cannot be used are named, with their setting."""

from pathlib import Path

import pytest
import trustme

from feature_repo.redis_connection import redis_options
from feature_repo.settings import SharedSettings
from runtime.errors import TlsFileError
from runtime.tls_files import check_tls_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    authority = trustme.CA()
    for name in ("one", "other"):
        issued = authority.issue_cert("localhost")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "empty.pem").touch()
    return tmp_path


def test_good_files_pass(folder: Path) -> None:
    check_tls_files(("CA", folder / "ca.pem"), ("CERT", folder / "one.pem"), ("KEY", folder / "one.key"))
    check_tls_files(("CA", None), ("CERT", None), ("KEY", None))


@pytest.mark.parametrize(
    ("ca", "certificate", "key", "words"),
    [
        ("empty.pem", None, None, "CA (FOLDER/empty.pem) holds no certificate (PEM)"),
        ("one.key", None, None, "CA (FOLDER/one.key) holds no certificate (PEM)"),
        ("gone.pem", None, None, "CA (FOLDER/gone.pem) cannot be read: No such file or directory"),
        (
            None,
            "one.pem",
            "other.key",
            "CERT (FOLDER/one.pem) and KEY (FOLDER/other.key) are no certificate",
        ),
        (
            None,
            "empty.pem",
            "one.key",
            "CERT (FOLDER/empty.pem) and KEY (FOLDER/one.key) are no certificate",
        ),
    ],
)
def test_what_cannot_be_used_is_named(
    folder: Path, ca: str | None, certificate: str | None, key: str | None, words: str
) -> None:
    given = [
        (name, folder / file if file else None) for name, file in (("CA", ca), ("CERT", certificate), ("KEY", key))
    ]
    with pytest.raises(TlsFileError) as caught:
        check_tls_files(*given)
    assert words.replace("FOLDER", str(folder)) in str(caught.value)


def test_so_it_is_for_redis(folder: Path) -> None:
    settings = SharedSettings(redis_url="rediss://localhost:1", redis_ca_file=folder / "empty.pem")
    with pytest.raises(TlsFileError, match=r"^REDIS_CA_FILE \("):
        redis_options(settings)
