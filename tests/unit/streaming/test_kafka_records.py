"""Our way to unpack a fetch gives what kafka-python's gives, and goes on where that one would stop for good."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import IsolationLevel, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord, Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords

from streaming.kafka.records import PartitionRecords

PARTITION = TopicPartition("events", 3)
NOW_MS = 1_700_000_000_000
BYTES = st.none() | st.binary(max_size=300)
HEADERS = st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=70), BYTES), max_size=3)
RECORDS = st.lists(st.tuples(st.integers(0, 1 << 40), BYTES, BYTES, HEADERS), min_size=1, max_size=20)
Unpacked = tuple[list[ConsumerRecord], dict[str, int]]


class NotUtf8(str):
    """A header's name that goes over the wire as a byte that is no UTF-8."""

    def encode(self, *_: Any) -> bytes:
        return b"\xff" + super().encode()


def _batch(records: list[Any], first: int = 0, compression: int = 0, producer: int = -1) -> bytearray:
    builder = DefaultRecordBatchBuilder(2, compression, producer >= 0, producer, 0, 0, 1 << 20)
    for offset, (later_ms, key, value, headers) in enumerate(records):
        assert builder.append(offset, NOW_MS + later_ms, key, value, headers)
    raw = bytearray(builder.build())
    raw[:8] = first.to_bytes(8)  # not covered by the CRC: the broker sets it
    return raw


def _unpack(kind: type, raw: bytes, at: int = 0, **options: Any) -> Unpacked:
    part = kind(at, PARTITION, MemoryRecords(bytes(raw)), **options)
    records = part.take()
    names = ("next_fetch_offset", "leader_epoch", "bytes_read", "records_read")
    return records, {name: getattr(part, name) for name in names}


@given(st.lists(RECORDS, min_size=1, max_size=3), st.integers(0, 2), st.integers(0, 30))
def test_records_are_those_of_kafka_python(batches: list[list[Any]], compression: int, at: int) -> None:
    raw, first = bytearray(), 0
    for records in batches:
        raw += _batch(records, first, compression)
        first += len(records)
    at = min(at, first - 1)
    ours, after = _unpack(PartitionRecords, raw, at)
    theirs, expected = _unpack(Fetcher.PartitionRecords, raw, at)
    assert ours == theirs
    assert list(map(type, ours)) == list(map(type, theirs))
    # of whole batches here, of records alone there; only kafka-python's own metrics, which nobody reads, tell
    assert after | {"bytes_read": 0} == expected | {"bytes_read": 0}


@given(RECORDS, st.data())
def test_damage_is_an_error_or_other_records_but_never_anything_else(records: list[Any], data: st.DataObject) -> None:
    raw = _batch(records)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(61, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if raw != _batch(records):
        with pytest.raises(CorruptRecordError, match="CRC"):
            _unpack(PartitionRecords, raw)
    with suppress(CorruptRecordError):
        _unpack(PartitionRecords, raw, check_crcs=False)


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_record_that_ends_too_soon_is_an_error(cut: int) -> None:
    raw = _batch([(0, b"key", b"value" * 10, [("name", b"value")])])[:-cut]
    raw[8:12] = (len(raw) - 12).to_bytes(4)
    with pytest.raises(CorruptRecordError):
        _unpack(PartitionRecords, raw, check_crcs=False)


def test_what_came_before_the_damage_is_handed_out_first() -> None:
    good, bad = _batch([(0, b"a", b"1", [])]), _batch([(0, b"b", b"2", [])], first=1)
    bad[-1] ^= 1
    part = PartitionRecords(0, PARTITION, MemoryRecords(bytes(good + bad)))
    assert [record.value for record in part.take()] == [b"1"]
    with pytest.raises(CorruptRecordError, match="at offset 1 fails its CRC check"):
        part.take()


def test_a_name_that_is_no_utf8_is_written_out() -> None:
    raw = _batch([(0, b"k", b"v", [(NotUtf8("trace"), b"\xfe")]), (1, b"k", b"w", [])])
    records, _ = _unpack(PartitionRecords, raw)
    assert [record.value for record in records] == [b"v", b"w"]
    assert records[0].headers == [("\\xfftrace", b"\xfe")]
    with pytest.raises(CorruptRecordError):
        _unpack(Fetcher.PartitionRecords, raw)


def test_what_a_transaction_took_back_is_left_out_if_asked() -> None:
    class Aborted:
        producer_id, first_offset = 7, 1

    kept, aborted = _batch([(0, b"a", b"1", [])]), _batch([(0, b"b", b"2", [])], first=1, producer=7)
    other = _batch([(0, b"c", b"3", [])], first=2, producer=8)
    for kind in (PartitionRecords, Fetcher.PartitionRecords):
        for isolation, expected in (
            (IsolationLevel.READ_COMMITTED, [b"1", b"3"]),
            (IsolationLevel.READ_UNCOMMITTED, [b"1", b"2", b"3"]),
        ):
            options = {"isolation_level": isolation, "aborted_transactions": [Aborted()]}
            records, after = _unpack(kind, kept + aborted + other, **options)
            assert [record.value for record in records] == expected
            assert after["next_fetch_offset"] == 3


def test_segments_of_old_brokers_are_read_kafka_pythons_way() -> None:
    old = LegacyRecordBatchBuilder(1, 0, 1 << 20)
    for offset in range(3):
        old.append(offset, NOW_MS, b"k", b"%d" % offset)
    raw = bytes(old.build()) + bytes(_batch([(0, b"k", b"3", [])], first=3))
    ours, theirs = (_unpack(kind, raw) for kind in (PartitionRecords, Fetcher.PartitionRecords))
    assert ours == theirs
    assert [record.offset for record in ours[0]] == [0, 1, 2, 3]
