"""Cuts archived sessions into visits, all at once, as `feature_repo.session.visit_of` does for the gateway."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from feature_repo.schema import SESSION_GAP, EventType

_GAP_MS = int(SESSION_GAP.total_seconds() * 1000)


def cut_visits(events: pd.DataFrame) -> pd.DataFrame:
    """Events of sessions as visits: each gets a `session_id` of its own, and undone cart entries are left out.

    A visit ends before a pause longer than SESSION_GAP. Its id is the session's, a slash and its number from 0. Takes
    and returns events sorted by session, then event time, then event_id; a visit that was undone as a whole is gone.
    """
    session = pd.factorize(events["session_id"])[0]
    time_ms = events["timestamp_ms"].to_numpy(np.int64)
    is_first = np.ones(len(events), bool)
    is_first[1:] = session[1:] != session[:-1]
    begins = is_first.copy()
    begins[1:] |= np.diff(time_ms) > _GAP_MS
    visit = np.cumsum(begins) - 1
    first_visit = visit[is_first]
    number = visit - first_visit[session] if len(events) else visit
    session_ids = events["session_id"].astype(object) + "/" + pd.Series(number, events.index).astype(str)
    undone = _undone(events, visit)
    return events.assign(session_id=session_ids)[~undone].reset_index(drop=True)


def _undone(events: pd.DataFrame, visit: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which events go: every remove_from_cart, and the newest add_to_cart before it that none has undone yet.

    Within one visit and item these are brackets, and a pair stands at one depth of nesting, with nothing in between.
    """
    event_type = events["event_type"].to_numpy(object)
    removes = event_type == EventType.REMOVE_FROM_CART.value
    undone = removes.copy()
    (at,) = np.nonzero(removes | (event_type == EventType.ADD_TO_CART.value))
    carts = pd.DataFrame(
        {
            "visit": visit[at],
            "item": pd.factorize(events["item_id"].to_numpy(object)[at])[0],
            "step": np.where(removes[at], -1, 1),
            "at": at,
        }
    )
    by_item = [carts["visit"], carts["item"]]
    total = carts["step"].groupby(by_item).cumsum()
    # A remove without an add takes nothing away, so the depth never falls below 0.
    after = total - total.groupby(by_item).cummin().clip(upper=0)
    before = after.groupby(by_item).shift(fill_value=0)
    carts["depth"] = after.where(carts["step"] > 0, before)
    carts = carts.sort_values(["visit", "item", "depth", "at"])
    keys = carts[["visit", "item", "depth"]].to_numpy()
    step = carts["step"].to_numpy()
    pairs = (step[:-1] > 0) & (step[1:] < 0) & (keys[:-1] == keys[1:]).all(axis=1)
    undone[carts["at"].to_numpy()[:-1][pairs]] = True
    return undone
