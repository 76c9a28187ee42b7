"""`nextclick items` on real servers: what is loaded can be shown, deleted and exported; a bad file changes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from feature_repo.feature_store import apply
from feature_repo.schema import Item
from nextclick.cli import commands
from nextclick.item_files import read_items
from runtime.errors import NextclickError
from streaming.catalogue.consumer import run_catalogue
from streaming.catalogue.topic import read_catalogue
from streaming.errors import CatalogueError
from streaming.settings import StreamingSettings
from tests.support.empty_store import empty_store
from tests.support.stage_thread import running
from tests.support.waiting import wait_until

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
    assert str(result.exception) == f"{file} row 2: available: expected true or false"
    with pytest.raises(CatalogueError, match="there is no topic"):
        read_catalogue(settings)


def test_an_unknown_item_is_told(settings: StreamingSettings) -> None:
    result = items("show", "nobody")
    assert isinstance(result.exception, NextclickError)
    assert "item nobody is not in the catalogue" in str(result.exception)


def test_an_id_that_is_none_is_wrong_usage() -> None:
    assert items("delete", "x" * 257).exit_code == 2
