"""The floors: a Kafka poll loop and a Redis writer that do nothing else, each run in a process of its own."""

import time
from contextlib import closing
from typing import Any

import redis

from feature_repo.online.redis_layout import LAYOUTS, row_key
from feature_repo.online.rows import EncodedRow
from feature_repo.redis_connection import redis_options
from nextclick.bench.child import Start
from nextclick.bench.errors import BenchError
from nextclick.bench.ingest.micro_batches import RecordingFold, parse_batch, poll_batches
from streaming.events.parser import EventParser
from streaming.settings import StreamingSettings

_PREPARED = 10
"""Micro-batches encoded at a time: bounds memory."""

_KEY_PREFIX = b"bare:"
"""Apart from the rows that the fold itself has just written, so that the first write of a row creates it."""

Hash = tuple[bytes, dict[bytes, bytes]]


def poll_bare(start: Start, settings: StreamingSettings, target: int) -> dict[str, float]:
    """Poll until `target` messages have come and look at none of them; the first batch is left out of the timing."""
    start()
    sizes: list[int] = []
    times: list[float] = [time.perf_counter()]
    for batch in poll_batches(settings, target, bare=True):
        sizes.append(len(batch))
        times.append(time.perf_counter())
    # A single batch is timed from the start instead, joining included: too long rather than too short.
    first = 1 if len(sizes) > 1 else 0
    return {"events": sum(sizes[first:]), "seconds": times[-1] - times[first]}


def write_bare(start: Start, settings: StreamingSettings, target: int) -> dict[str, float]:
    """Write the consumer's rows of `target` events with redis-py's pipeline, one for each micro-batch.

    Polling, folding and encoding go before, a few batches at a time, and are not timed. HSET alone: no EXPIRE, no
    reads, no transaction.
    """
    start()
    result = {"events": 0, "rows": 0, "bytes": 0, "seconds": 0.0}
    parser = EventParser()
    client = redis.Redis.from_url(**redis_options(settings))
    with closing(RecordingFold(settings)) as fold, closing(client):
        pending: list[list[Hash]] = []
        for batch in poll_batches(settings, target):
            rows = fold.fold(parse_batch(parser, batch))
            pending.append([_hash(row) for row in rows])
            result["events"] += len(batch)
            if len(pending) == _PREPARED:
                _write(client, pending, result)
        _write(client, pending, result)
    if not result["rows"]:
        raise BenchError("the fold wrote no rows")
    return result


def _write(client: "redis.Redis", pending: list[list[Hash]], result: dict[str, Any]) -> None:
    began = time.perf_counter()
    for rows in pending:
        pipeline = client.pipeline(transaction=False)
        for key, mapping in rows:
            pipeline.hset(key, mapping=mapping)  # type: ignore[arg-type]
        pipeline.execute()
    result["seconds"] += time.perf_counter() - began
    result["rows"] += sum(map(len, pending))
    result["bytes"] += sum(len(value) for rows in pending for _, mapping in rows for value in mapping.values())
    pending.clear()


def _hash(row: EncodedRow) -> Hash:
    fields = LAYOUTS[row.view.name].fields
    return _KEY_PREFIX + row_key(row.view, row.key), dict(zip(fields, row.values, strict=True))
