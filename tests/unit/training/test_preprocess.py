"""Reading the archive, the split by time, and what the workflow makes of catalogues with holes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from feature_repo.archive.columns import events_to_table
from feature_repo.errors import ItemFileError
from feature_repo.schema import FIRST_INDEX, Event, EventType
from training.config import DataConfig
from training.data.preprocess import EncodedSessions, encode, fit_workflow, read_vocabulary
from training.data.sessions import NO_GAP_MS, item_id_lists, read_events, read_items, split_by_time, with_gaps
from training.data.vocabulary import Vocabulary
from training.errors import DataError


def event(event_id: str, session_id: str, item_id: str, at: int) -> Event:
    return Event(event_id, EventType.VIEW, session_id, item_id, at)


def frame(*events: Event) -> pd.DataFrame:
    return with_gaps(events_to_table(events).to_pandas())


def archive(folder: Path, *files: list[Event]) -> Path:
    for i, events in enumerate(files):
        path = folder / f"event_date=2024-01-0{i + 1}"
        path.mkdir(parents=True)
        pq.write_table(events_to_table(events), path / "part.parquet")
    return folder


def test_replayed_events_count_once_and_order_is_by_time_then_id(tmp_path: Path) -> None:
    first = [event("e2", "s", "b", 10), event("e1", "s", "a", 10), event("e9", "r", "z", 1)]
    second = [event("e0", "s", "c", 25), event("e2", "s", "b", 10)]
    events = read_events(archive(tmp_path / "archive", first, second))
    assert events["event_id"].tolist() == ["e9", "e1", "e2", "e0"]
    assert events["gap_ms"].tolist() == [NO_GAP_MS, NO_GAP_MS, 0, 15]
    assert item_id_lists(events) == [["z"], ["a", "b", "c"]]


def test_an_empty_archive_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="stream some first"):
        read_events(tmp_path)


UNFIT = ("3\0", "3\0x", "\x003", "3\x1b[1m", "3\x7f", "3\u0085", "3\u2028", "3\u202e")


def test_events_whose_ids_hold_control_characters_are_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = [event(f"e{n}", f"s{n}", "3", n) for n in range(9)]
    bad = [event(f"b{n}", "s", item_id, n) for n, item_id in enumerate(UNFIT)]
    bad += [event("b", "s0\0", "3", 5), event("e1\0", "s", "3", 5)]
    events = read_events(archive(tmp_path / "archive", good, bad))
    assert events["item_id"].tolist() == ["3"] * 9
    assert set(events["session_id"]) == {f"s{n}/0" for n in range(9)}
    assert [record.getMessage() for record in caplog.records] == [
        "left out of 19 events, as their ids hold control characters: 10, first item '3\\x00' in session 's'"
    ]


SIMILAR = ["3", "3 ", " 3", "03", "3.0", "3e0", "+3", "3\u200d", "\ufeff3", "\u00a03", "\uff13", "E", "e", "É"]
SIMILAR += ["\u00e9", "e\u0301", "nan", "NaN", "None", "null", "NULL", "NA", "<NA>", "N/A", "True", "true", "inf", "[]"]
SIMILAR += ["''", "a,b", "/", "x" * 256]


@pytest.mark.parametrize("partition_rows", [20, 100_000])
def test_no_two_ids_that_differ_meet_in_training(tmp_path: Path, partition_rows: int) -> None:
    sent = [event(f"{s}-{n:02}", f"s{s}", id_, s * 60_000 + n) for s in range(3) for n, id_ in enumerate(SIMILAR)]
    sent += [event(f"{id_}-{n}", id_, "3", 10**9 + n) for id_ in SIMILAR for n in range(2)]
    events = read_events(archive(tmp_path / "archive", sent))
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(json.dumps({"item_id": id_, "category": id_, "price": len(id_)}) for id_ in SIMILAR))
    items, config = read_items(path), DataConfig(partition_rows=partition_rows)
    workflow = fit_workflow(events, items, config, tmp_path / "workflow")
    encode(workflow, events, items, config).save(tmp_path / "sessions.npz")
    encoded = EncodedSessions.load(tmp_path / "sessions.npz")
    read_vocabulary(tmp_path / "workflow", config).save(tmp_path)
    vocabulary = Vocabulary.load(tmp_path)
    assert sorted(vocabulary.item_ids) == sorted(vocabulary.categories) == sorted(SIMILAR)
    for index, entries in ((encoded.item_index, vocabulary.item_ids), (encoded.category_index, vocabulary.categories)):
        decoded = [entries[i - FIRST_INDEX] for i in index]
        assert decoded == SIMILAR * 3 + ["3"] * 2 * len(SIMILAR)
    assert sorted(encoded.session_ids[3:]) == sorted(f"{id_}/0" for id_ in SIMILAR)
    assert encoded.lengths.tolist() == [len(SIMILAR)] * 3 + [2] * len(SIMILAR)


def test_a_catalogue_is_whatever_items_load_takes_and_what_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    path.write_text('{"item_id": "a", "category": "c", "price": 2}\n{"item_id": "b"}\n{"item_id": "a", "price": 3}')
    items = read_items(path)
    assert items["item_id"].tolist() == ["a", "b"]
    assert items["category"].tolist() == ["", ""]
    assert items["price"].tolist()[0] == 3
    assert np.isnan(items["price"].tolist()[1])
    pd.DataFrame({"sku": ["a"], "title": ["T"]}).to_parquet(path)
    with pytest.raises(ItemFileError, match="expected a column item_id, found only sku, title"):
        read_items(path)
    path.write_text("")
    with pytest.raises(ItemFileError, match="is empty"):
        read_items(path)


def test_split_keeps_sessions_whole_and_in_order_of_their_start() -> None:
    events = frame(*(event(f"{s}-{i}", f"s{s}", "x", s * 10 + i * 1000) for s in range(20) for i in range(2)))
    split = split_by_time(events, validation_share=0.25, test_share=0.2)
    parts = [set(part["session_id"]) for part in (split.train, split.validation, split.test)]
    assert parts == [{f"s{i}" for i in r} for r in (range(12), range(12, 16), range(16, 20))]


def test_split_refuses_sessions_of_one_event() -> None:
    with pytest.raises(DataError, match="no training session has two events"):
        split_by_time(frame(*(event(str(i), f"s{i}", "x", i) for i in range(9))), 0.2, 0.2)


@pytest.mark.parametrize("partition_rows", [3, 1000])
def test_partitions_never_cut_a_session(tmp_path: Path, partition_rows: int) -> None:
    events = frame(*(event(f"{s}-{i}", f"s{s}", f"i{i}", s + i * 2000) for s in range(7) for i in range(5)))
    config = DataConfig(partition_rows=partition_rows)
    items = pd.DataFrame({"item_id": ["i0", "i1"], "category": ["c", "c"], "price": [1.0, 3.0]})
    workflow = fit_workflow(events, items, config, tmp_path / "workflow")
    encoded = encode(workflow, events, items, config)
    assert encoded.session_ids == [f"s{s}" for s in range(7)]
    assert encoded.lengths.tolist() == [5] * 7
    # 2 s fall into the bucket from 1 s on; the first event has none before.
    assert encoded.gap_bucket.reshape(7, 5).tolist() == [[0, 2, 2, 2, 2]] * 7
    price = encoded.price.reshape(7, 5)[0]
    assert price[0] == pytest.approx(-price[1])
    assert price[2:].tolist() == [0, 0, 0]
    category = encoded.category_index.reshape(7, 5)[0]
    assert category[0] == category[1] != category[2] == category[4]
    assert category.min() >= FIRST_INDEX


def test_a_shop_without_catalogue_trains_too(tmp_path: Path) -> None:
    events = frame(event("1", "s", "a", 1), event("2", "s", "b", 2))
    items = read_items(tmp_path / "none.parquet")
    encoded = encode(fit_workflow(events, items, DataConfig(), tmp_path / "w"), events, items, DataConfig())
    assert np.array_equal(encoded.price, [0, 0])
    assert len(set(encoded.category_index)) == 1


def test_encoded_sessions_survive_disk_and_slicing(tmp_path: Path) -> None:
    sessions = EncodedSessions(
        session_ids=["a", "b", "ü"],
        start_ms=np.array([1, 2, 3]),
        offsets=np.array([0, 2, 3, 6]),
        **{name: np.arange(6) for name in ("item_index", "event_type_index", "gap_bucket", "category_index")},
        price=np.arange(6, dtype=np.float32),
    )
    sessions.save(tmp_path / "sessions.npz")
    tail = EncodedSessions.load(tmp_path / "sessions.npz").slice(1, 3)
    assert tail.session_ids == ["b", "ü"]
    assert tail.offsets.tolist() == [0, 1, 4]
    assert tail.item_index.tolist() == [2, 3, 4, 5]
    assert tail.price.dtype == np.float32
