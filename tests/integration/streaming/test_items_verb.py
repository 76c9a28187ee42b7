"""`nextclick items` on real servers: what is loaded can be shown, deleted and exported; a bad file changes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from feature_repo.catalogue.files import read_items
from feature_repo.errors import ItemFileError
from feature_repo.feature_store import apply
from feature_repo.schema import Item
from nextclick.cli import commands
from runtime.errors import NextclickError
from streaming.catalogue.consumer import run_catalogue
from streaming.catalogue.topic import read_catalogue
from streaming.errors import CatalogueError
from streaming.settings import StreamingSettings
from tests.support.empty_store import empty_store
from tests.support.planted_sessions import planted_events, write_archive
from tests.support.stage_thread import running
from tests.support.waiting import wait_until
from training.settings import TrainingSettings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Feast's own imports


@pytest.fixture
def settings(streaming_settings: StreamingSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[StreamingSettings]:
    """An environment in which the verbs find this test's topic and store."""
    with empty_store(streaming_settings) as own:
        apply(own)  # takes long the first time, which no wait should count
        for name in ("kafka_bootstrap_servers", "items_topic", "dead_letter_topic"):
            monkeypatch.setenv(name.upper(), getattr(own, name))
        monkeypatch.setenv("REDIS_URL", own.redis_url.get_secret_value())
        yield own


def items(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["items", *arguments], env={"COLUMNS": "200"})


def as_json(*arguments: str) -> dict[str, Any]:
    result = items(*arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_load_show_delete_export(settings: StreamingSettings, tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    rows = [
        {"item_id": "a", "title": "Red \x1b[31mshoe", "price": 9.5, "tags": ["new"]},
        {"item_id": "b", "available": False},
    ]
    file.write_text("\n".join(map(json.dumps, [*rows, {"item_id": "c"}])))
    assert as_json("load", str(file)) == {"sent": 3, "topic": settings.items_topic}
    assert as_json("delete", "c", "never-there") == {"deleted": 2, "topic": settings.items_topic}
    with running(run_catalogue, settings):
        wait_until("the deletion", lambda: items("show", "never-there").exit_code == 0)
        wait_until("the item", lambda: items("show", "a").exit_code == 0)
        wait_until("the other", lambda: items("show", "b").exit_code == 0)
        wait_until("the deleted one", lambda: items("show", "c").exit_code == 0)
    states = {item_id: as_json("show", item_id)["state"] for item_id in ("a", "b", "c", "never-there")}
    assert states == {"a": "available", "b": "unavailable", "c": "deleted", "never-there": "deleted"}
    shown = items("show", "a").stdout
    assert "9.5" in shown
    assert "\x1b" not in shown
    exported = tmp_path / "items.parquet"
    assert as_json("export", str(exported))["items"] == 2
    expected = [Item("a", "Red \x1b[31mshoe", price=9.5, tags=("new",)), Item("b", available=False)]
    assert list(read_items(exported)) == expected


def test_a_bad_row_sends_nothing(settings: StreamingSettings, tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text('{"item_id": "a"}\n{"item_id": "b", "available": "yes"}\n')
    result = items("load", str(file))
    assert isinstance(result.exception, NextclickError)
    assert str(result.exception) == f"{file} row 2: available: expected true or false, found 'yes' (text)"
    with pytest.raises(CatalogueError, match="there is no topic"):
        read_catalogue(settings)


def test_what_a_file_does_not_name_stays_as_it_is(settings: StreamingSettings, tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    shoe = {"item_id": "7", "title": "Shoe", "category": "shoes", "brand": "B", "price": 9.5, "tags": ["new"]}
    file.write_text(json.dumps(shoe))
    as_json("load", str(file))
    file.write_text(
        '{"item_id": "7", "available": false}\n{"item_id": "8", "price": 1}\n{"item_id": "7", "brand": null}'
    )
    assert as_json("load", str(file))["sent"] == 3
    expected = [Item("7", "Shoe", "shoes", "", 9.5, False, ("new",)), Item("8", price=1.0)]
    assert read_catalogue(settings) == (expected, 0)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty: "),
        (b"item_id,title\na,T\n", "looks like CSV"),
        (b'{"sku": "a"}', "row 1: expected an item_id, found only sku"),
        (b'{"item_id": "3\\u0000"}', "row 1: item_id: expected a string of 1 to 256 characters without control"),
    ],
)
def test_what_is_no_catalogue_is_one_line_for_every_verb_that_takes_one(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    file = tmp_path / "items.jsonl"
    file.write_bytes(content)
    write_archive(
        TrainingSettings(archive_path=tmp_path / "archive", items_path=tmp_path / "other"), planted_events(60)
    )
    own = {"ARCHIVE_PATH": str(tmp_path / "archive"), "RUNS_PATH": str(tmp_path / "runs")}
    own["KAFKA_BOOTSTRAP_SERVERS"] = "127.0.0.1:1"  # nothing is sent
    for verb in (["items", "load", str(file)], ["train", "--recipe", "tiny", "--items", str(file)]):
        result = CliRunner().invoke(commands, verb, env=own)
        assert isinstance(result.exception, ItemFileError), result.output
        assert problem in str(result.exception)


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_catalogue_that_is_named_has_to_be_there(verb: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(commands, [verb, "--items", str(tmp_path / "nothing")], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "does not exist" in result.output


def test_an_unknown_item_is_told(settings: StreamingSettings) -> None:
    result = items("show", "nobody")
    assert isinstance(result.exception, NextclickError)
    assert "item nobody is not in the catalogue" in str(result.exception)


def test_an_id_that_is_none_is_wrong_usage() -> None:
    assert items("delete", "x" * 257).exit_code == 2
