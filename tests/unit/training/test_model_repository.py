"""A repository in an object store must get the files that a folder gets, in the order in which they may be seen."""

import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pydantic import ValidationError

from feature_repo.schema import ENSEMBLE, PREPROCESS
from tests.support.planted_sessions import planted_settings
from training.errors import ExportError
from training.export.ensemble import KEPT_VERSIONS, build_graphs, export
from training.export.model_repository import PLACEHOLDER, open_repository
from training.export.triton_config import ALL_MODELS, INNER_MODELS
from training.runs import open_run
from training.settings import TrainingSettings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrainingSettings:
    return planted_settings(tmp_path_factory)


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}/models"


@pytest.fixture
def graphs(settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch, _graphs: dict[str, Any]) -> dict[str, Any]:
    """Real graphs, made once: it takes seconds."""
    monkeypatch.setattr("training.export.ensemble.build_graphs", lambda run: _graphs)
    return _graphs


@pytest.fixture(scope="module")
def _graphs(settings: TrainingSettings) -> dict[str, Any]:
    return dict(build_graphs(open_run(settings)))


def files_of(url: str) -> dict[str, bytes]:
    fs, root = fsspec.url_to_fs(url)
    return {path.removeprefix(f"{root}/"): fs.cat_file(path) for path in fs.find(root)}


def test_a_store_gets_the_files_that_a_folder_gets(
    settings: TrainingSettings, graphs: dict[str, Any], url: str, tmp_path: Path
) -> None:
    for location in (url, tmp_path):
        assert export(settings.model_copy(update={"model_repository": location})).model_repository == location
    found = files_of(url)
    assert found.pop(f"{ENSEMBLE}/1/{PLACEHOLDER}"), "stores know no folder without a file"
    local = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == local
    assert len(found) == len(INNER_MODELS) + len(ALL_MODELS)


def test_a_version_is_there_before_the_configuration_and_the_ensemble_last(
    settings: TrainingSettings, graphs: dict[str, Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[str] = []
    pipe_file = MemoryFileSystem.pipe_file

    def noted(self: MemoryFileSystem, path: str, value: bytes, **kwargs: Any) -> None:
        put.append("/".join(path.split("/")[3:]))
        pipe_file(self, path, value, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", noted)
    export(settings.model_copy(update={"model_repository": url}))
    expected = [f"{name}/{file}" for name in INNER_MODELS for file in ("1/model.onnx", "config.pbtxt")]
    assert put == [*expected, f"{ENSEMBLE}/1/{PLACEHOLDER}", f"{ENSEMBLE}/config.pbtxt"]


def test_versions_in_a_store_count_up_and_old_ones_go(
    settings: TrainingSettings, graphs: dict[str, Any], url: str
) -> None:
    settings = settings.model_copy(update={"model_repository": url})
    repository = open_repository(url)
    repository.add_version(PREPROCESS, 4, {"model.onnx": b"left by an export that was cut short"})
    assert [export(settings).version for _ in range(KEPT_VERSIONS + 1)] == [5, 6, 7, 8]
    assert {name: repository.versions(name) for name in ALL_MODELS} == {name: [6, 7, 8] for name in ALL_MODELS}


@pytest.mark.parametrize("kind", ["url", "folder"])
def test_a_version_that_another_export_wrote_meanwhile_is_left_as_it_is(kind: str, url: str, tmp_path: Path) -> None:
    repository = open_repository(url if kind == "url" else tmp_path)
    repository.add_version(PREPROCESS, 1, {"model.onnx": b"theirs"})
    with pytest.raises(ExportError, match="another export is running"):
        repository.add_version(PREPROCESS, 1, {"model.onnx": b"ours"})
    found = files_of(url if kind == "url" else f"file://{tmp_path}")
    assert found == {f"{PREPROCESS}/1/model.onnx": b"theirs"}


def test_a_store_that_nobody_knows_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ExportError, match="MODEL_REPOSITORY nosuch://bucket"):
        open_repository("nosuch://bucket")


def test_the_setting_takes_folders_and_urls_but_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in ((str(tmp_path), tmp_path), ("s3://bucket/models/", "s3://bucket/models")):
        monkeypatch.setenv("MODEL_REPOSITORY", value)
        assert TrainingSettings().model_repository == expected
    monkeypatch.setenv("MODEL_REPOSITORY", "s3://key:secret@bucket/models")
    with pytest.raises(ValidationError, match="MODEL_REPOSITORY must hold no password"):
        TrainingSettings()
