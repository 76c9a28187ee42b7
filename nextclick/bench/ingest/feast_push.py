"""What the consumer is compared with: `FeatureStore.push` of the same micro-batches' rows."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from feature_repo.online.redis_layout import LAYOUTS
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import EncodedRow
from feature_repo.views import SESSION_EVENTS, Row
from nextclick.bench.child import Start
from nextclick.bench.errors import BenchError
from nextclick.bench.ingest.micro_batches import RecordingFold, parse_batch, poll_batches
from streaming.events.parser import EventParser
from streaming.settings import StreamingSettings

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

PUSH_SOURCE = "session_push"
_WARM_UP_ROWS = 10


def push(start: Start, settings: StreamingSettings, target: int) -> dict[str, float]:
    """Store the session rows of `target` events, one micro-batch after the other: by `push`, and as the consumer does.

    Folding, encoding, building frames and a first push of a few rows, which reads the registry, are not timed. Both
    begin without rows: Feast passes over what is as new as what it finds.
    """
    # Feast makes a folder that a process of this kind never removes: let it go with the sandbox.
    tempfile.tempdir = str(settings.nextclick_home)
    from feature_repo.feature_store import open_feature_store

    store = open_feature_store(settings)
    start()
    batches, events = _micro_batches(settings, target)
    frames = [_frame(rows) for rows in batches]
    keys = [(row.view, row.key) for rows in batches for row in rows]
    with closing(RedisRows(settings)) as ours:
        ours.delete(keys)
        store.push(PUSH_SOURCE, frames[0].head(_WARM_UP_ROWS))
        ours.delete(keys)
        push_seconds = _timed(lambda frame: store.push(PUSH_SOURCE, frame), frames)
        ours.delete(keys)
        write_seconds = _timed(lambda rows: ours.commit({}, rows), batches)
    return {"events": events, "rows": len(keys), "push_seconds": push_seconds, "write_seconds": write_seconds}


def _timed(store: Callable[[T], object], batches: Sequence[T]) -> float:
    began = time.perf_counter()
    for batch in batches:
        store(batch)
    return time.perf_counter() - began


def _micro_batches(settings: StreamingSettings, target: int) -> tuple[list[list[EncodedRow]], int]:
    batches, events, parser = [], 0, EventParser()
    with closing(RecordingFold(settings)) as fold:
        for batch in poll_batches(settings, target):
            events += len(batch)
            if rows := fold.fold(parse_batch(parser, batch)):
                batches.append(rows)
    if not batches:
        raise BenchError("the fold wrote no rows to push")
    return batches, events


def _frame(encoded: list[EncodedRow]) -> "pd.DataFrame":
    import pandas as pd

    rows = [_decoded(row) for row in encoded]
    columns = {name: [row.values[name] for row in rows] for name in SESSION_EVENTS.features}
    times = pd.to_datetime([row.timestamp_ms for row in rows], unit="ms", utc=True)
    return pd.DataFrame({SESSION_EVENTS.join_key: [row.key for row in rows], **columns, "event_timestamp": times})


def _decoded(row: EncodedRow) -> Row:
    decoded = LAYOUTS[SESSION_EVENTS.name].decode(row.key, row.values)
    if decoded is None:
        raise BenchError(f"the fold wrote no row for {row.key}")
    return decoded
