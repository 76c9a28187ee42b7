"""Text formats: what small files become, and that each malformed one gives its one line."""

import json
from pathlib import Path

import pytest

from feature_repo.schema import Event, EventType, Item
from nextclick.datasets import load
from tests.support.dataset_files import error_of, write_lines

INTER_HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
ITEM_HEADER = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
CLICKS_HEADER = "SessionId\tItemId\tTime"
TOY_STORY = "1\tToy Story\t1995\tAnimation Children's Comedy"


def actions(events: list[Event]) -> list[tuple[str, str, int]]:
    return [(event.session_id, event.item_id, event.timestamp_ms) for event in events]


# --- movielens ----------------------------------------------------------------------------------------------------


def movielens(folder: Path, ratings: list[str], items: tuple[str, ...] = (TOY_STORY,)) -> Path:
    write_lines(folder, "ml.item", ITEM_HEADER, *items)
    return write_lines(folder, "ml.inter", INTER_HEADER, *ratings)


def test_a_visit_ends_after_more_than_half_an_hour(tmp_path: Path) -> None:
    movielens(tmp_path, ["9\t1\t3\t4601", "7\t1\t5\t1000", "9\t2\t4\t1000", "9\t3\t3.5\t2800"])
    dataset = load("movielens", tmp_path)
    events = list(dataset.events)
    assert actions(events) == [
        ("7-1", "1", 1_000_000),
        ("9-1", "2", 1_000_000),
        ("9-1", "3", 2_800_000),
        ("9-2", "1", 4_601_000),
    ]
    assert [event.event_id for event in events] == [f"movielens-00000000{n}" for n in range(4)]
    assert [event.user_id for event in events] == ["7", "9", "9", "9"]
    assert dataset.session_count == 3


def test_a_good_rating_is_a_favourite_and_stays_an_attribute(tmp_path: Path) -> None:
    events = list(load("movielens", movielens(tmp_path, ["1\t1\t4\t10", "1\t1\t3.5\t11"])).events)
    assert [event.event_type for event in events] == [EventType.FAVOURITE, EventType.VIEW]
    assert [event.attributes for event in events] == [{"rating": 4}, {"rating": 3.5}]


def test_films_have_their_year_and_first_genre(tmp_path: Path) -> None:
    unknown = "267\tunkonwn\tunkonwn\tunknown"
    movielens(tmp_path, ["1\t5\t4\t10"], (TOY_STORY, unknown))
    assert list(load("movielens", tmp_path).items) == [
        Item("1", title="Toy Story (1995)", category="Animation"),
        Item("267", title="unkonwn"),
        Item("5"),
    ]


@pytest.mark.parametrize(
    ("ratings", "line", "expected"),
    [
        (["1\t1\t4"], 2, "4 fields separated by tabs"),
        (["1\t1\t4\t10", ""], 3, "found an empty line"),
        (["1\t1\tgood\t10"], 2, "a number as rating, found 'good'"),
        (["1\t1\tnan\t10"], 2, "a number as rating"),
        (["1\t1\t4\tyesterday"], 2, "a time in seconds since 1970"),
        (["1\t1\t4\tinf"], 2, "a time in seconds since 1970"),
        (["1\t1\t4\t-5"], 2, "a time in seconds since 1970"),
        (["1\t1\t4\t1396437466000"], 2, "a time in seconds since 1970, which this is if it is 1,000 times too large"),
        (["1\t1\t4\t4102444800"], 2, "a time in seconds since 1970, not after now"),
        (["1\t1\t4\t1396437"], 2, "a time in seconds since 1970, which this is if it is 1,000 times too small"),
        (["\t1\t4\t10"], 2, "a user_id of 1 to 256 characters without control characters, found 'nothing'"),
        ([f"1\t{'x' * 257}\t4\t10"], 2, "an item_id of 1 to 256 characters without control characters"),
    ],
)
def test_a_malformed_rating_is_named(tmp_path: Path, ratings: list[str], line: int, expected: str) -> None:
    file = movielens(tmp_path, ratings)
    message = error_of("movielens", tmp_path)
    assert message.startswith(f"{file}:{line}: expected ")
    assert expected in message


def test_a_film_listed_twice_is_named(tmp_path: Path) -> None:
    movielens(tmp_path, ["1\t1\t4\t10"], (TOY_STORY, TOY_STORY))
    assert error_of("movielens", tmp_path).startswith(f"{tmp_path / 'ml.item'}:3: expected every item_id once")


def test_ratings_without_a_catalogue_are_refused(tmp_path: Path) -> None:
    file = write_lines(tmp_path, "ml.inter", INTER_HEADER, "1\t1\t4\t10")
    assert error_of("movielens", file).startswith(f"{tmp_path / 'ml.item'}: expected ")


def test_several_sets_in_one_folder_must_be_told_apart(tmp_path: Path) -> None:
    for name in ("a.inter", "b.inter"):
        write_lines(tmp_path, name, INTER_HEADER)
    message = error_of("movielens", tmp_path)
    assert "a.inter, b.inter" in message
    assert "--path" in message


# --- serenade and yoochoose ---------------------------------------------------------------------------------------


def test_clicks_of_all_files_come_in_time_order_and_ties_in_file_order(tmp_path: Path) -> None:
    write_lines(tmp_path, "train.txt", CLICKS_HEADER, "s2\tb\t20.5", "s2\ta\t10.0", "s1\tc\t20.5")
    write_lines(tmp_path, "valid.txt", CLICKS_HEADER, "s3\tb\t15")
    dataset = load("serenade", tmp_path)
    assert actions(list(dataset.events)) == [
        ("s2", "a", 10_000),
        ("s3", "b", 15_000),
        ("s2", "b", 20_500),
        ("s1", "c", 20_500),
    ]
    assert (dataset.session_count, dataset.item_count, dataset.repeats) == (3, 3, True)


def test_limit_keeps_the_oldest_events(tmp_path: Path) -> None:
    file = write_lines(tmp_path, "train.txt", CLICKS_HEADER, "s\tb\t20", "s\ta\t10", "s\tc\t20", "s\td\t30")
    dataset = load("serenade", file, limit=3)
    assert [event.item_id for event in dataset.events] == ["a", "b", "c"]
    assert [item.item_id for item in dataset.items] == ["a", "b", "c"]


def test_events_can_be_iterated_again(tmp_path: Path) -> None:
    events = load("serenade", write_lines(tmp_path, "x.txt", CLICKS_HEADER, "s\ta\t1", "s\tb\t2")).events
    assert list(events) == list(events)
    assert len(events) == 2


def test_training_clicks_that_a_split_holds_twice_are_read_once(tmp_path: Path) -> None:
    for part in ("train_full", "train_tr", "test"):
        write_lines(tmp_path, f"clicks_{part}.txt", CLICKS_HEADER, f"{part}\ta\t1396437466.94")
    events = list(load("yoochoose", tmp_path).events)
    assert actions(events) == [("train_full", "a", 1396437466940), ("test", "a", 1396437466940)]


@pytest.mark.parametrize(
    ("lines", "line", "expected"),
    [
        ([], 1, "the header SessionId ItemId Time"),
        (["Session,Item,Time"], 1, "the header SessionId ItemId Time"),
        ([CLICKS_HEADER, "1\t2\t3", "1\t2"], 3, "3 fields separated by tabs"),
        ([CLICKS_HEADER, "1\t2\tsoon"], 2, "a time in seconds since 1970"),
        ([CLICKS_HEADER, "1\t \t3"], 2, "an ItemId of 1 to 256"),
        ([CLICKS_HEADER, "1\ta\x00b\t3"], 2, "characters without control characters"),
    ],
)
def test_a_malformed_click_is_named(tmp_path: Path, lines: list[str], line: int, expected: str) -> None:
    file = write_lines(tmp_path, "train.txt", *lines)
    message = error_of("serenade", file)
    assert message.startswith(f"{file}:{line}: expected ")
    assert expected in message


def test_text_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "train.txt"
    file.write_bytes(CLICKS_HEADER.encode() + b"\n1\t\xff\t3\n")
    assert error_of("serenade", file).startswith(f"{file}:2: expected UTF-8 text")


def test_clicks_that_two_files_have_are_named(tmp_path: Path) -> None:
    write_lines(tmp_path, "train.txt", CLICKS_HEADER, "s1\ta\t10", "s2\ta\t10")
    write_lines(tmp_path, "valid.txt", CLICKS_HEADER, "s2\tb\t15")
    message = error_of("serenade", tmp_path)
    assert message.startswith(
        f"{tmp_path / 'valid.txt'}: expected sessions that no other file has, found 's2' in train"
    )


# --- diginetica ---------------------------------------------------------------------------------------------------


def test_sessions_get_times_in_their_order_and_test_sessions_are_the_newest(tmp_path: Path) -> None:
    write_lines(tmp_path, "train_sessions.txt", "1 2", "3 3 4")
    write_lines(tmp_path, "test_prefix_target.txt", "5 6 7\t8", "5 6\t7", "5\t6", "9\t1", "9\t1")
    events = list(load("diginetica", tmp_path).events)
    sessions: dict[str, list[str]] = {}
    for event in events:
        sessions.setdefault(event.session_id, []).append(event.item_id)
    assert list(sessions.values()) == [["1", "2"], ["3", "3", "4"], ["5", "6", "7", "8"], ["9", "1"], ["9", "1"]]
    times = [event.timestamp_ms for event in events]
    assert times == sorted(set(times))


@pytest.mark.parametrize("line", ["1 x", "", "1  2", "1\t2", "-1 2"])
def test_a_malformed_session_is_named(tmp_path: Path, line: str) -> None:
    file = write_lines(tmp_path, "train_sessions.txt", "1 2", line)
    assert error_of("diginetica", tmp_path).startswith(f"{file}:2: expected item numbers")


@pytest.mark.parametrize("line", ["1 2 3", "1\t2 3", "\t2", "1\t", "1\tx"])
def test_a_malformed_prefix_is_named(tmp_path: Path, line: str) -> None:
    file = write_lines(tmp_path, "test_prefix_target.txt", "1\t2", line)
    message = error_of("diginetica", file)
    assert message.startswith(f"{file}:2: expected ")
    assert "a tab, and one item number" in message


# --- amazon -------------------------------------------------------------------------------------------------------


def amazon(folder: Path, *lines: str, attributes: str = "{}") -> Path:
    write_lines(folder, "Beauty_item2attributes.json", attributes)
    return write_lines(folder, "Beauty.txt", *lines)


def test_a_user_is_a_session_and_the_widest_attribute_the_category(tmp_path: Path) -> None:
    amazon(tmp_path, "1 10 11", "2 11", attributes=json.dumps({"10": [5, 6], "11": [7, 6], "12": []}))
    dataset = load("amazon", tmp_path)
    events = list(dataset.events)
    assert [(event.session_id, event.user_id, event.item_id) for event in events] == [
        ("1", "1", "10"),
        ("1", "1", "11"),
        ("2", "2", "11"),
    ]
    assert list(dataset.items) == [Item("10", category="6"), Item("11", category="6"), Item("12")]
    assert not dataset.repeats


@pytest.mark.parametrize(
    ("lines", "line", "expected"),
    [
        (["1 10", "2 a"], 2, "a user number and item numbers"),
        (["1"], 1, "at least one item number"),
        (["1 10", "1 11"], 2, "each user on one line only"),
    ],
)
def test_a_malformed_user_is_named(tmp_path: Path, lines: list[str], line: int, expected: str) -> None:
    file = amazon(tmp_path, *lines)
    message = error_of("amazon", tmp_path)
    assert message.startswith(f"{file}:{line}: expected ")
    assert expected in message


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('{"1": [2]\n,}', ":2: expected JSON"),
        ("[]", ":1: expected an object"),
        ('{"1": "red"}', ":1: expected a list of attribute numbers for item '1'"),
        ('{"1": [true]}', ":1: expected a list of attribute numbers for item '1'"),
        ("[" * 100_000, ":1: expected JSON"),
    ],
)
def test_malformed_attributes_are_named(tmp_path: Path, attributes: str, expected: str) -> None:
    amazon(tmp_path, "1 10", attributes=attributes)
    assert error_of("amazon", tmp_path).startswith(f"{tmp_path / 'Beauty_item2attributes.json'}{expected}")
