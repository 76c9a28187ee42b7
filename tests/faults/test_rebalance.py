"""Members come and go while events arrive late and twice: each counts once, whoever folds it."""

from collections.abc import Callable
from contextlib import ExitStack

from tests.faults.scene import Scene, SceneMaker
from tests.faults.stages import members
from tests.support.planted_stream import planted_stream
from tests.support.programs import Process
from tests.support.waiting import wait_until


def test_repeats_on_both_sides_of_a_rebalance_change_nothing(scene_of: SceneMaker) -> None:
    scene = scene_of(planted_stream(12, 12_000, 10))
    first, second, third = (scene.consumer(f"consumer-{n}") for n in range(3))
    with ExitStack() as stack:
        stack.enter_context(first)
        _feed_until(scene, 3000, lambda: _count(scene) == 1, first)
        stack.enter_context(second)
        _feed_until(scene, 6000, lambda: _count(scene) == 2 and _was_dealt(second), first, second)
        stack.enter_context(third)
        _feed_until(scene, 8000, lambda: _count(scene) == 3 and _was_dealt(third), first, second, third)
        assert first.stop() == 0
        _feed_until(scene, 10_000, lambda: _count(scene) == 2, second, third)
        scene.feeder.feed_all(len(scene.messages))
        scene.await_committed(second, third)
        assert [second.stop(), third.stop()] == [0, 0]
    scene.check_store()


def _feed_until(scene: Scene, number: int, is_true: Callable[[], bool], *consumers: Process) -> None:
    """A little at a time, so that events are under way whenever the group deals anew."""
    limit = number + 1500

    def step() -> bool:
        scene.feeder.feed_all(min(scene.feeder.sent + 50, limit))
        return scene.feeder.sent >= number and is_true()

    wait_until(f"the group, at message {number}", step, consumers)


def _count(scene: Scene) -> int:
    return len(members(scene.settings, scene.settings.consumer_group))


def _was_dealt(consumer: Process) -> bool:
    return any(": events" in line for line in consumer.log_text().splitlines() if "partitions assigned" in line)
