"""What is filled into templates is what hiredis packs word by word."""

from collections.abc import Sequence

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.online.redis_commands import EXPIRE_SCRIPT, REVISION, SWAP_SCRIPT, Command, Commands, script_hash
from feature_repo.online.redis_layout import LAYOUTS, row_key
from feature_repo.online.rows import EncodedRow
from feature_repo.schema import SESSION_TTL
from feature_repo.views import ITEM_PROFILE, SESSION_EVENTS, USER_HISTORY, VIEWS, View

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SIZES = st.integers(0, 300) | st.sampled_from([(1 << 14) - 1, 1 << 14, 100_000])


def _values(view: View) -> st.SearchStrategy[list[bytes]]:
    """Of any size; a row's bytes mean nothing here, but those that Redis or a template could take for its own."""
    count = len(LAYOUTS[view.name].fields)
    value = st.builds(
        lambda size, pattern: (pattern * size)[:size], SIZES, st.sampled_from([b"%d\r\n", b"$1\r\n", b"\0"])
    )
    return st.lists(value, min_size=count, max_size=count)


def _rows(views: Sequence[View]) -> st.SearchStrategy[list[EncodedRow]]:
    row = st.sampled_from(views).flatmap(
        lambda view: st.builds(EncodedRow, st.just(view), KEYS, _values(view), st.booleans())
    )
    return st.lists(row, min_size=1, max_size=5)


def _packed(commands: Sequence[Command]) -> bytes:
    return b"".join(hiredis.pack_command(command) for command in commands)


@given(st.lists(st.tuples(st.sampled_from(VIEWS), KEYS), max_size=5))
def test_reads(wanted: list[tuple[View, str]]) -> None:
    commands = Commands()
    commands.read(wanted)
    commands.read_revised(wanted)
    plain = [("HMGET", row_key(view, key), *LAYOUTS[view.name].fields) for view, key in wanted]
    assert commands.packed() == _packed([*plain, *((*command, REVISION) for command in plain)])
    assert commands.count == 2 * len(wanted)


@given(_rows([SESSION_EVENTS]))
def test_writes_of_one_view(rows: list[EncodedRow]) -> None:
    commands = Commands()
    commands.write(rows)
    expected: list[Command] = [_hset(row) for row in rows]
    if expiring := [row_key(row.view, row.key) for row in rows if row.sets_expiry]:
        seconds = 2 * int(SESSION_TTL.total_seconds())
        expected.append(("EVALSHA", script_hash(EXPIRE_SCRIPT), len(expiring), *expiring, seconds))
    assert commands.packed() == _packed(expected)
    assert commands.count == len(expected)


@given(_rows(VIEWS))
def test_writes_of_several_views_come_one_view_after_the_other(rows: list[EncodedRow]) -> None:
    commands, apart = Commands(), []
    commands.write(rows)
    for name in dict.fromkeys(row.view.name for row in rows):
        apart.append(Commands())
        apart[-1].write([row for row in rows if row.view.name == name])
    assert commands.packed() == b"".join(each.packed() for each in apart)
    assert commands.count == sum(each.count for each in apart)


@pytest.mark.parametrize("view", [USER_HISTORY, ITEM_PROFILE])
@given(data=st.data())
def test_swaps(view: View, data: st.DataObject) -> None:
    rows = data.draw(_rows([view]))
    revisions = data.draw(st.lists(st.integers(0, 1 << 53), min_size=len(rows), max_size=len(rows)))
    commands = Commands()
    commands.swap(rows, revisions)
    fields = LAYOUTS[view.name].fields
    words = ["EVALSHA", script_hash(SWAP_SCRIPT), len(rows), *(row_key(row.view, row.key) for row in rows)]
    words += [len(fields), *fields]
    for row, revision in zip(rows, revisions, strict=True):
        words += [revision, 2 * int(view.ttl.total_seconds()) if row.sets_expiry else 0, *row.values]
    assert commands.packed() == hiredis.pack_command(tuple(words))
    assert commands.count == 1


def _hset(row: EncodedRow) -> Command:
    pairs = zip(LAYOUTS[row.view.name].fields, row.values, strict=True)
    return ("HSET", row_key(row.view, row.key), *(word for pair in pairs for word in pair))
