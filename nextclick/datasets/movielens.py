"""Reads MovieLens as RecBole lays it out: `.inter` and `.item` tables, tabs, typed headers, times in seconds.

A session is one visit of a user, closed by SESSION_GAP without a rating. A rating of LIKED_FROM or better is a
`favourite`, any other a `view`; the rating itself stays an attribute.
"""

import math
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path

from feature_repo.schema import SESSION_GAP, EventType, Item
from nextclick.datasets.dataset import Action, ActionEvents, Dataset, session_count
from nextclick.datasets.errors import malformed, missing
from nextclick.datasets.files import find_file, is_number, parse_id, parse_seconds, read_rows, require_file

RATING_COLUMNS = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
ITEM_COLUMNS = ("item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq")

LIKED_FROM = 4
NO_GENRE = "unknown"
LICENCE = "GroupLens research licence, no redistribution, no commercial use"
_GAP_MS = SESSION_GAP.total_seconds() * 1000


def read_movielens(path: Path, limit: int | None) -> Dataset:
    file = find_file(path, "*.inter")
    if file.suffix != ".inter":
        raise missing(file, "a file that ends in .inter", file.name)
    catalogue = _items(require_file(file.with_suffix(".item")))
    ratings = sorted(_ratings(file), key=attrgetter("timestamp_ms"))
    actions = list(_by_visit(ratings))[:limit]
    items = catalogue | {action.item_id: Item(action.item_id) for action in actions if action.item_id not in catalogue}
    events = ActionEvents("movielens", actions)
    return Dataset("movielens", list(items.values()), events, session_count(actions), False, LICENCE)


def _ratings(file: Path) -> Iterator[Action]:
    """Ratings in file order, for now with the user as their session."""
    for line, (user, item, rating, time) in read_rows(file, RATING_COLUMNS):
        user_id = parse_id(file, line, "a user_id", user)
        stars = _parse_rating(file, line, rating)
        yield Action(
            parse_seconds(file, line, time),
            user_id,
            parse_id(file, line, "an item_id", item),
            EventType.FAVOURITE if stars >= LIKED_FROM else EventType.VIEW,
            user_id,
            {"rating": int(stars) if stars.is_integer() else stars},
        )


def _parse_rating(file: Path, line: int, text: str) -> float:
    try:
        rating = float(text)
    except ValueError:
        rating = math.nan
    if not math.isfinite(rating):
        raise malformed(file, line, "a number as rating", text)
    return rating


def _by_visit(ratings: Iterable[Action]) -> Iterator[Action]:
    """The ratings, which come in time order, with session ids `<user>-<visit>`; visits count from 1."""
    newest_ms: dict[str, int] = {}
    visit: dict[str, int] = {}
    for rating in ratings:
        user = rating.session_id
        if user not in newest_ms or rating.timestamp_ms - newest_ms[user] > _GAP_MS:
            visit[user] = visit.get(user, 0) + 1
        newest_ms[user] = rating.timestamp_ms
        yield rating._replace(session_id=f"{user}-{visit[user]}")


def _items(file: Path) -> dict[str, Item]:
    """Catalogue with the year in the title and the first genre as category; MovieLens knows neither brand nor price."""
    items: dict[str, Item] = {}
    for line, (item, title, year, genres) in read_rows(file, ITEM_COLUMNS):
        item_id = parse_id(file, line, "an item_id", item)
        if item_id in items:
            raise malformed(file, line, "every item_id once", f"item {item_id} again")
        genre = genres.split(" ")[0]
        items[item_id] = Item(
            item_id,
            title=f"{title} ({year})" if is_number(year) else title,
            category="" if genre == NO_GENRE else genre,
        )
    return items
