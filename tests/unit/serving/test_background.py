"""Loops end however their cancellation is treated, no stop waits for ever, and what did not end is named."""

import ast
import asyncio
from collections.abc import Iterator

import pytest

from serving.background import Background, finish, raise_if_cancelled
from tests.support.project import PROJECT

LONG = 3600.0
TEST_SECONDS = 60.0


class Swallowing:
    """A step under way that swallows its first `times` cancellations, as Python 3.11's `wait_for` may, and `after` that
    waits on or returns."""

    def __init__(self, times: int, after: str = "returns") -> None:
        self.times, self.after = times, after
        self.under_way = asyncio.Event()
        self.steps = 0

    async def step(self) -> None:
        self.steps += 1
        self.under_way.set()
        while True:
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                self.times -= 1
                if self.times < 0:
                    raise
                if self.after == "returns":
                    return


async def stopped(swallowing: Swallowing, seconds: float = TEST_SECONDS) -> None:
    background = Background()
    background.repeat("the loop", swallowing.step, lambda: 0.0)
    await swallowing.under_way.wait()
    await background.stop(seconds)


async def test_a_loop_ends_where_a_step_swallows_the_cancellation(caplog: pytest.LogCaptureFixture) -> None:
    swallowing = Swallowing(times=1)
    await asyncio.wait_for(stopped(swallowing), TEST_SECONDS)
    assert (swallowing.steps, swallowing.times, caplog.text) == (1, 0, "")


async def test_a_step_that_waits_on_is_cancelled_again(caplog: pytest.LogCaptureFixture) -> None:
    swallowing = Swallowing(times=2, after="waits on")
    await asyncio.wait_for(stopped(swallowing), TEST_SECONDS)
    assert (swallowing.times, caplog.text) == (-1, "")


async def test_a_loop_that_does_not_end_is_named_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    swallowing = Swallowing(times=1_000, after="waits on")
    await asyncio.wait_for(stopped(swallowing, seconds=0.01), TEST_SECONDS)
    assert "left behind: the loop" in caplog.text
    swallowing.times = 0  # so that the test's own event loop ends


async def test_the_first_loop_that_fails_is_raised_and_the_others_go_on_until_stopped() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    background, goes_on = Background(), Swallowing(times=0)
    background.repeat("goes on", goes_on.step, lambda: 0.0)
    background.repeat("fails", fails, lambda: 0.0)
    with pytest.raises(ZeroDivisionError):
        await background.wait_for_failure()
    await goes_on.under_way.wait()
    await background.stop(TEST_SECONDS)
    assert goes_on.times == -1


async def test_last_work_that_fails_or_takes_too_long_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise OSError("broken pipe")

    async def quick() -> None:
        return

    await finish("quick one", quick(), TEST_SECONDS)
    await finish("broken one", fails(), TEST_SECONDS)
    await finish("slow one", asyncio.sleep(LONG), 0.01)
    named = [record.getMessage() for record in caplog.records]
    assert named == ["broken one: OSError('broken pipe')", "did not end within 0.01 s and is left behind: slow one"]


async def test_a_swallowed_cancellation_is_remembered() -> None:
    async def swallows() -> None:
        raise_if_cancelled()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(LONG)
        raise_if_cancelled()

    task = asyncio.create_task(swallows())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


BOUNDED = {"serving/background.py: stop"}
"""Functions whose loops end by the clock."""


def test_every_loop_that_waits_looks_for_a_swallowed_cancellation() -> None:
    found = dict(functions_with_loops_that_wait())
    assert found.keys() > BOUNDED
    assert [name for name, source in found.items() if "raise_if_cancelled()" not in source] == list(BOUNDED)


def functions_with_loops_that_wait() -> Iterator[tuple[str, str]]:
    """Those of the gateway and the command line that have an `await` inside of a `while`."""
    for path in [*PROJECT.glob("serving/**/*.py"), *PROJECT.glob("nextclick/**/*.py")]:
        text = path.read_text()
        for function in ast.walk(ast.parse(text)):
            if isinstance(function, ast.AsyncFunctionDef):
                loops = [node for node in ast.walk(function) if isinstance(node, ast.While)]
                if any(isinstance(node, ast.Await) for loop in loops for node in ast.walk(loop)):
                    name = f"{path.relative_to(PROJECT)}: {function.name}"
                    yield name, ast.get_source_segment(text, function) or ""
