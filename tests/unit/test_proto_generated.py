"""The committed protobuf code is what its .proto file generates."""

from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PROTO = "serving/proto/recommender.proto"


@pytest.mark.parametrize("suffix", ["_pb2.py", "_pb2.pyi", "_pb2_grpc.py"])
def test_generated_code_is_fresh(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc")
    monkeypatch.chdir(PROJECT)
    options = [f"--{kind}={tmp_path}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    assert protoc.main(["protoc", "-I.", *options, PROTO]) == 0
    name = PROTO.replace(".proto", suffix)
    assert (PROJECT / name).read_text() == (tmp_path / name).read_text(), "run `make generate`"
