"""Names on the wire: a package for each folder, enum values with the prefix of their enum, a comment on each name."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet, OneofDescriptorProto

from serving.rpc.degraded_reasons import WIRE_REASONS, reason_name
from tests.support.project import PROJECT

PROTOS = sorted(str(path.relative_to(PROJECT)) for path in PROJECT.glob("*/proto/**/*.proto"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[FileDescriptorProto]:
    """Every .proto file of ours, its comments included."""
    protoc = pytest.importorskip("grpc_tools.protoc")
    out = tmp_path_factory.mktemp("protos") / "all.bin"
    arguments = [f"-I{PROJECT}", "--include_source_info", f"--descriptor_set_out={out}", *PROTOS]
    assert protoc.main(["protoc", *arguments]) == 0
    return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def names(file: FileDescriptorProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Whatever is named in the file, with its path in the source info: the numbers are those of descriptor.proto."""
    for i, service in enumerate(file.service):
        yield service.name, (6, i)
        yield from ((method.name, (6, i, 2, j)) for j, method in enumerate(service.method))
    for i, enum in enumerate(file.enum_type):
        yield enum.name, (5, i)
        yield from ((value.name, (5, i, 2, j)) for j, value in enumerate(enum.value))
    for i, message in enumerate(file.message_type):
        yield message.name, (4, i)
        yield from ((f"{message.name}.{field.name}", (4, i, 2, j)) for j, field in enumerate(message.field))
        yield from ((f"{message.name}.{one.name}", (4, i, 8, j)) for j, one in enumerate(_oneofs(message)))
        assert not message.enum_type, "not looked into here"


def _oneofs(message: DescriptorProto) -> list[OneofDescriptorProto]:
    # `optional` makes one of its own, which come last.
    optional = sum(field.proto3_optional for field in message.field)
    return list(message.oneof_decl)[: len(message.oneof_decl) - optional]


def test_every_name_has_a_comment(files: list[FileDescriptorProto]) -> None:
    bare = []
    for file in files:
        commented = {
            tuple(at.path) for at in file.source_code_info.location if at.leading_comments or at.trailing_comments
        }
        bare += [f"{file.name}: {name}" for name, path in names(file) if path not in commented]
    assert bare == []
    assert sum(1 for file in files for _ in names(file)) > 30


def test_a_folder_is_one_package_of_its_own_with_a_version(files: list[FileDescriptorProto]) -> None:
    found = {(str(Path(file.name).parent), file.package) for file in files}
    folders, packages = zip(*found, strict=True)
    assert len(found) == len(set(folders)) == len(set(packages))
    assert all(re.fullmatch(r"nextclick\.[a-z_]+\.v\d+", package) for package in packages)


def test_enum_values_have_the_prefix_of_their_enum(files: list[FileDescriptorProto]) -> None:
    enums = [enum for file in files for enum in file.enum_type]
    assert enums
    for enum in enums:
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
        assert [value.name for value in enum.value if not value.name.startswith(prefix)] == []
        assert enum.value[0].name == f"{prefix}UNSPECIFIED"


def test_metrics_and_screens_say_a_reason_without_its_prefix() -> None:
    assert {reason: reason_name(wire) for reason, wire in WIRE_REASONS.items()} == {one: one for one in WIRE_REASONS}
    assert (reason_name(0), reason_name(99)) == ("", "99")
