"""What holds for every data set: paths, order, times, the fetching of MovieLens, and the real files' counts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nextclick.datasets import FORMATS, DatasetError, load, shift_to_now
from nextclick.datasets import movielens_wheel as wheel

DATA = os.environ.get("NEXTCLICK_DATA")
CLICKS = "SessionId\tItemId\tTime\n"


def test_the_formats_are_those_that_the_option_promises() -> None:
    assert list(FORMATS) == ["movielens", "serenade", "yoochoose", "diginetica", "amazon", "otto", "trivago", "globo"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_path_that_is_not_there_is_named_with_the_option(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=r"found nothing there; .* with --path$") as caught:
        load(name, tmp_path / "absent")
    assert str(caught.value).startswith(f"{tmp_path / 'absent'}: expected ")


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_without_the_files_is_named_with_the_option(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=r"found no such file in it; .* with --path$"):
        load(name, tmp_path)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "movielens"])
def test_a_set_that_cannot_be_fetched_asks_for_a_path(name: str) -> None:
    with pytest.raises(DatasetError, match=f"--dataset {name}: expected its folder or file in --path"):
        load(name)


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"expected one of movielens, .* found 'netflix'"):
        load("netflix")


def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--limit: expected at least 1 event, found 0"):
        load("serenade", tmp_path, limit=0)


def test_a_file_of_a_header_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(CLICKS)
    with pytest.raises(DatasetError, match="expected at least one event, found none"):
        load("serenade", tmp_path)


def test_shifting_moves_the_newest_event_to_now_and_keeps_the_gaps(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(CLICKS + "s\ta\t10\ns\tb\t12.5\n")
    events = load("serenade", tmp_path).events
    shifted = shift_to_now(events, 1_800_000_000_000)
    assert [event.timestamp_ms for event in shifted] == [1_799_999_997_500, 1_800_000_000_000]
    assert [event.event_id for event in shifted] == [event.event_id for event in events]
    assert shifted.newest_at_ms == 1_800_000_000_000
    assert len(shifted) == 2


# --- MovieLens out of the wheel -----------------------------------------------------------------------------------


def make_installer(folder: Path, script: str) -> Path:
    """A program called `uv` that gets the real arguments; the index is all that it plays."""
    installer = folder / "uv"
    installer.write_text(f"#!{sys.executable}\nimport pathlib, sys\narguments = sys.argv[1:]\n{script}")
    installer.chmod(0o755)
    return installer


INSTALL = """
target = pathlib.Path(arguments[arguments.index("--target") + 1])
requirement = pathlib.Path(arguments[arguments.index("--requirement") + 1]).read_text()
assert "--require-hashes" in arguments and "--no-deps" in arguments and "--hash=sha256:" in requirement
data = target / "recbole/dataset_example/ml-100k"
data.mkdir(parents=True)
header = "user_id:token item_id:token rating:float timestamp:float"
(data / "ml-100k.inter").write_text(f"{header}\\n1 1 5 10\\n".replace(" ", "\\t"))
header = "item_id:token movie_title:token_seq release_year:token class:token_seq"
(data / "ml-100k.item").write_text(f"{header}\\n1 Heat 1995 Crime\\n".replace(" ", "\\t"))
"""


def test_movielens_is_fetched_once_and_nothing_else_of_the_wheel_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTCLICK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV", str(make_installer(tmp_path, INSTALL)))
    told: list[str] = []
    assert load("movielens", progress=told.append).event_count == 1
    assert [path.name for path in (tmp_path / "home" / "datasets").iterdir()] == ["ml-100k"]

    monkeypatch.setenv("UV", str(make_installer(tmp_path, "sys.exit(1)")))
    assert load("movielens", progress=told.append).event_count == 1
    assert len([line for line in told if line.startswith("fetching")]) == 1


def test_a_failed_fetch_leaves_nothing_and_gives_the_reason_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTCLICK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV", str(make_installer(tmp_path, "sys.exit('error: Hash mismatch\\n  Expected: 1')")))
    with pytest.raises(DatasetError, match=r"\(Hash mismatch Expected: 1\); or give its folder with --path$"):
        load("movielens")
    assert not list((tmp_path / "home" / "datasets").iterdir())


def test_without_an_installer_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("UV", raising=False)
    with pytest.raises(DatasetError, match="neither uv nor pip is there"):
        wheel.fetch_movielens(tmp_path / "datasets", lambda _: None)


def test_importing_the_readers_imports_nothing_heavy() -> None:
    code = "import sys, nextclick.datasets; print(*{'pyarrow', 'pandas', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- real files ---------------------------------------------------------------------------------------------------

REAL = [
    ("movielens", "ml-100k", 100_000, 2_793, 1_682),
    ("serenade", "serenade-example/train.txt", 113_601, 23_753, 18_009),
    ("serenade", "serenade-example/valid.txt", 1_451, 330, 995),
    ("serenade", "serenade-example", 116_285, 24_385, 18_009),
    ("yoochoose", "yoochoose-100k/yoochoose-clicks-100k_train_full.txt", 70_278, 17_794, 2_933),
    ("yoochoose", "yoochoose-100k", 83_846, 21_210, 2_933),
    ("diginetica", "diginetica/train_sessions.txt", 906_140, 186_670, 43_097),
    ("diginetica", "diginetica", 982_961, 202_633, 43_097),
    ("amazon", "amazon-beauty", 198_502, 22_363, 12_101),
    ("otto", "otto-sample", 862, 20, 510),
    ("trivago", "trivago-100k", 87_608, 7_513, 107_603),
    ("globo", "globo", 2_988_179, 1_048_593, 46_033),
]


@pytest.mark.skipif(not DATA, reason="NEXTCLICK_DATA does not name a folder with the public data sets")
@pytest.mark.parametrize(("name", "place", "events", "sessions", "items"), REAL)
def test_real_files_have_the_published_counts(name: str, place: str, events: int, sessions: int, items: int) -> None:
    path = Path(str(DATA)) / place
    if not path.exists():
        pytest.skip(f"NEXTCLICK_DATA holds no {place}")
    dataset = load(name, path)
    assert (dataset.event_count, dataset.session_count, dataset.item_count) == (events, sessions, items)
    last = ("", 0)
    for event in dataset.events:
        assert event.timestamp_ms >= last[1]
        assert event.event_id > last[0]
        last = (event.event_id, event.timestamp_ms)
    assert last[1] == dataset.events.newest_at_ms
