"""The committed protobuf code is what its .proto files generate."""

from pathlib import Path

import pytest

from tests.support.project import PROJECT

EVENT = "streaming/proto/event.proto"
GATEWAY = "serving/proto/recommender.proto"


@pytest.mark.parametrize(
    ("proto", "kind", "suffix"),
    [
        (EVENT, "python_out", "_pb2.py"),
        (EVENT, "pyi_out", "_pb2.pyi"),
        (GATEWAY, "python_out", "_pb2.py"),
        (GATEWAY, "pyi_out", "_pb2.pyi"),
        (GATEWAY, "grpc_python_out", "_pb2_grpc.py"),
    ],
)
def test_generated_code_is_fresh(
    proto: str, kind: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc")
    monkeypatch.chdir(PROJECT)
    assert protoc.main(["protoc", "-I.", f"--{kind}={tmp_path}", proto]) == 0
    name = proto.replace(".proto", suffix)
    assert (PROJECT / name).read_text() == (tmp_path / name).read_text(), "run `make generate`"
