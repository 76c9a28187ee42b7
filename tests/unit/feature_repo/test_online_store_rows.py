"""Rows of the online store: sessions and items come back as they were, and age is told from the row's own time."""

import json
import string
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import make_url

from feature_repo.errors import OnlineStoreError
from feature_repo.feature_store import feast_environment
from feature_repo.online.redis_layout import ViewLayout
from feature_repo.online.store import OnlineStoreReader, Status, status_of
from feature_repo.schema import SESSION_TTL, Event, EventType, Item
from feature_repo.session import Session, fold
from feature_repo.settings import SharedSettings
from feature_repo.views import (
    ITEM_PROFILE,
    SESSION_EVENTS,
    Row,
    item_from_row,
    item_to_row,
    session_from_row,
    session_to_row,
)
from runtime.settings import settings_problem
from tests.support.project import PROJECT
from tests.support.stored_rows import StoredRows

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def _through_redis_bytes(row: Row, layout: ViewLayout) -> Row | None:
    stored = dict(zip(layout.fields, layout.encode(row), strict=True))
    return layout.decode(row.key, [stored.get(field) for field in layout.fields])


@given(
    st.lists(
        st.builds(
            Event, IDS, st.sampled_from(EventType), st.just("s"), IDS, st.integers(1, 2**45), st.none() | st.just("u")
        ),
        min_size=1,
        max_size=60,
    )
)
def test_a_session_survives_the_layout(events: list[Event]) -> None:
    session = fold(None, events)
    row = _through_redis_bytes(session_to_row(session), ViewLayout(SESSION_EVENTS))
    assert row is not None
    assert session_from_row(row) == session
    assert row.timestamp_ms == session.timestamp_ms  # to the millisecond


@pytest.mark.parametrize("item", [Item("i"), Item("j", "title", "category", "brand", 0.0, False, ("a", "b"))])
def test_an_item_survives_the_layout(item: Item) -> None:
    row = _through_redis_bytes(item_to_row(item, now_ms=5), ViewLayout(ITEM_PROFILE))
    assert row is not None
    assert item_from_row(row) == item


def test_no_row_is_no_row() -> None:
    layout = ViewLayout(SESSION_EVENTS)
    assert layout.decode("s", [None] * len(layout.fields)) is None


def test_a_row_is_stale_past_its_ttl() -> None:
    ttl_ms = int(SESSION_TTL / timedelta(milliseconds=1))
    row = Row("s", {}, timestamp_ms=1000)
    assert status_of(SESSION_EVENTS, row, clock_ms=1000 + ttl_ms) is Status.PRESENT
    assert status_of(SESSION_EVENTS, row, clock_ms=1000 + ttl_ms + 1) is Status.STALE


async def test_a_store_that_is_away_is_an_error_of_ours() -> None:
    settings = SharedSettings(redis_url="redis://127.0.0.1:1/0")
    event = Event("e", EventType.VIEW, "s", "i", 1)
    writer, reader = StoredRows(settings), OnlineStoreReader(settings)
    with pytest.raises(OnlineStoreError):
        writer.write_sessions([fold(Session("s"), [event])])
    for call in (reader.read_session("s"), reader.read_popular_items(), reader.ping()):
        with pytest.raises(OnlineStoreError):
            await call
    writer.close()
    await reader.close()


def test_settings_read_the_environment_and_hide_passwords(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEXTCLICK_HOME", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", "redis://:hidden@redis.example:6380/3")
    settings = SharedSettings()
    assert settings.archive_path == tmp_path / "archive"
    assert settings.registry_url.get_secret_value() == f"sqlite:///{tmp_path}/registry.db"
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize("url", ["localhost:6379", "sqlite", ""])
def test_a_redis_url_of_another_kind_is_refused_in_one_line_that_says_what_to_set(url: str) -> None:
    with pytest.raises(ValidationError) as raised:
        SharedSettings(redis_url=url)
    assert settings_problem(raised.value) == (
        "REDIS_URL must start with redis:// or rediss://, as redis://host:6379/0; "
        "without one, `nextclick up` starts a Redis of its own"
    )


@pytest.mark.parametrize("name", ["plain", "é # ? % %41 ' \" \\ $HOME ${HOME} &=+@:;,", "ends in a space "])
def test_the_registry_lies_in_the_home_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    """As our own process reads feature_store.yaml, and as Feast's command line does."""
    settings = SharedSettings(nextclick_home=tmp_path / name)
    for url in (settings.registry_url.get_secret_value(), _url_that_feast_reads(settings)):
        assert make_url(url).database == f"{tmp_path}/{name}/registry.db"
        assert not make_url(url).query


def _url_that_feast_reads(settings: SharedSettings) -> str:
    text = string.Template((PROJECT / "feature_repo" / "feature_store.yaml").read_text())
    url: str = yaml.safe_load(text.substitute(feast_environment(settings)))["registry"]["path"]
    return url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:1/2", '"h:1,db=2"'),
        ("rediss://user:12@h:1", r'"h:1,username=\"user\",password=\"12\",ssl=true"'),
    ],
)
def test_feast_gets_the_redis_url_in_its_own_spelling(url: str, expected: str) -> None:
    variables = feast_environment(SharedSettings(redis_url=url))
    assert f'"connection_string": {expected}' in variables["FEAST_ONLINE_STORE"]


def test_a_comma_in_the_password_is_none_in_what_feast_splits_at_commas() -> None:
    environment = feast_environment(SharedSettings(redis_url="redis://:a%2Cb@h:1"))
    connection_string = json.loads(environment["FEAST_ONLINE_STORE"])["connection_string"]
    address, password = connection_string.split(",")
    assert (address, json.loads(password.removeprefix("password="))) == ("h:1", "a,b")
