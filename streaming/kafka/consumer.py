"""How every consumer group here reads Kafka: offsets committed by hand, events seen at once, rebalances noted, and
patience with whatever the batches are written to.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from kafka import TopicPartition
from kafka.coordinator.base import MemberState
from kafka.errors import KafkaError, RetriableError

from streaming.errors import KafkaFailedError, KafkaUnavailableError
from streaming.kafka.batches import Batch
from streaming.kafka.failures import failure_of, kafka_errors
from streaming.kafka.gaps import ASK_MS, PLACELESS, Gap, GapFinder
from streaming.kafka.member import commit, describe, open_consumer, position
from streaming.kafka.outage import OutageWatch
from streaming.kafka.rebalances import RebalanceNotes, UnreadJoin, tell_of_new_partitions
from streaming.settings import StreamingSettings

log = logging.getLogger(__name__)

POLL_MS = 100
"""Longest wait for events, hence also the longest until a stop is noticed. Events that are there end it at once."""

COMMIT_SECONDS = 0.1
"""Between the commits of a group whose store knows what it has: after a crash no more than that comes again."""

_LOOK_SECONDS = 5.0
"""Between two looks whether the store still has everything, while nothing comes."""

_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 5.0


class PatientConsumer:
    """A member of a group that stays in it while what the batches are written to is away. For one thread.

    A batch is done once `commit` was called with its offsets, or else given back with `retry_later`: then nothing is
    handed out, from any partition, until a while has passed that doubles from try to try.
    """

    def __init__(self, settings: StreamingSettings, group: str, topics: Sequence[str]) -> None:
        self._delay = _FIRST_RETRY_SECONDS
        self._retry_at: float | None = None
        self._settings = settings
        self._trouble = ""
        """Why a batch was last given back, once that is told and until one is done."""
        self._troubled_at = 0.0
        self._given_back: set[TopicPartition] = set()
        """Partitions of what failed and was not committed since."""
        self._uncommitted: dict[TopicPartition, int] = {}
        self._next: dict[TopicPartition, int] = {}
        """Where what is handed out goes on, by partition, since it was last assigned."""
        self._committed_at = 0.0
        self._looked_at = 0.0
        self._rebalances = RebalanceNotes(self._forget_positions)
        # The client is to ask for a place where it has none, so that what lies before it can be named.
        self.kafka = open_consumer(settings, group, auto_offset_reset="none")
        try:
            with kafka_errors(settings):
                for topic in topics:
                    self.kafka.partitions_for_topic(topic)  # who leads the group without knowing them deals out none
                tell_of_new_partitions(self.kafka, topics)
                self.kafka.subscribe(list(topics), listener=self._rebalances)
        except Exception:
            self.kafka.close(autocommit=False, timeout_ms=0)
            raise
        self._gaps = GapFinder(self.kafka, group)
        self._outage = OutageWatch(settings, self.kafka)
        log.info("consuming %s as %s", ", ".join(topics), group)

    @property
    def has_joined(self) -> bool:
        """Whether the group has dealt its partitions out, be it none to this member."""
        return self._rebalances.were_dealt

    def tell_gaps_to(self, on_gap: Callable[[Gap], None]) -> None:
        """Have it called with each range of messages that Kafka deleted before they were read."""
        self._gaps.on_gap = on_gap

    @property
    def is_paused(self) -> bool:
        """Whether it waits for what the batches are written to, also while it tries again."""
        return self._retry_at is not None or (
            bool(self._given_back) and not self._given_back.isdisjoint(self.kafka.assignment())
        )

    def poll(self, wait_ms: int = POLL_MS) -> Batch:
        """The next records; none after so long without any, and while no broker answers.

        Raises KafkaUnavailableError for what does not pass by itself, as a login that is refused from now on.
        """
        self._see_rejoin_through()
        try:
            records = self.kafka.poll(timeout_ms=wait_ms)
        except RetriableError as error:  # of a refresh of metadata; the client has the next try under way
            log.debug("Kafka does not answer: %s", error)
            time.sleep(POLL_MS / 1000)
            return Batch()
        except PLACELESS as error:
            self._find_place(error)
            return Batch()
        except KafkaError as error:
            raise KafkaUnavailableError(self._settings.kafka_bootstrap_servers, str(error)) from error
        except Exception as error:  # that the client stumbled over
            if failure := failure_of(self._settings, error):
                raise failure from error
            raise
        batch = Batch(records, {each: self._next.get(each, found[0].offset) for each, found in records.items()})
        if self._retry_at is None:
            self._next |= batch.next_offsets
            return batch
        self._give_back(batch.starts_at)  # of partitions that were assigned in the meantime
        if time.monotonic() >= self._retry_at:
            self._retry_at = None
            self.kafka.resume(*self.kafka.paused())
        return Batch()

    def take_revoked(self) -> set[TopicPartition]:
        """Partitions revoked since the last call, even if they were assigned again in between."""
        return self._rebalances.take_revoked()

    def retry_later(self, starts_at: Mapping[TopicPartition, int], error: Exception) -> None:
        """Have messages come again from these offsets on, and nothing else before; none if what failed is a commit."""
        place = describe(starts_at or self._uncommitted)
        what = "written" if starts_at else "committed"
        is_told = str(error) == self._trouble or (self._outage.is_away and isinstance(error, KafkaFailedError))
        level = logging.DEBUG if is_told else logging.ERROR
        log.log(level, "%s is not %s, next try in %.1f s: %s", place, what, self._delay, error, extra={"place": place})
        if not is_told:
            self._trouble, self._troubled_at = str(error), self._troubled_at or time.monotonic()
        self._give_back(starts_at)
        self._given_back.update(starts_at or self._uncommitted)
        self._retry_at = time.monotonic() + self._delay
        self._delay = min(2 * self._delay, _LAST_RETRY_SECONDS)

    def idle_places(self) -> dict[TopicPartition, int]:
        """Now and then, where each partition goes on; for when a poll has brought nothing."""
        if self._retry_at is not None or time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return {}
        self._looked_at = time.monotonic()
        places = {each: self._next.get(each, position(self.kafka, each)) for each in self.kafka.assignment()}
        return {partition: at for partition, at in places.items() if at is not None}

    def go_back(self, starts_at: Mapping[TopicPartition, int], positions: Mapping[int, int]) -> None:
        """Have messages come again from these offsets on, and of partitions of these numbers, from these positions."""
        assigned = self.kafka.assignment()
        behind = {each: positions[each.partition] for each in assigned if each.partition in positions}
        stood = {each: self._next.get(each, position(self.kafka, each)) for each in behind} | dict(starts_at)
        self._gaps.read_up_to |= {each: at for each, at in stood.items() if at is not None}
        self._seek({**starts_at, **behind})
        with suppress(KafkaFailedError), kafka_errors(self._settings):
            self._tell(behind)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Of each partition the next offset to read; False if they are no longer ours, so that they come again."""
        with kafka_errors(self._settings):
            committed = commit(self.kafka, dict(offsets))
        self._delay = _FIRST_RETRY_SECONDS
        self._given_back.clear()
        if self._trouble:
            seconds = time.monotonic() - self._troubled_at
            log.warning("it goes on: %s is done, after %.0f s", describe(offsets), seconds)
            self._trouble, self._troubled_at = "", 0.0
        return committed

    def commit_soon(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """As `commit`, of these and all before them; but no sooner than COMMIT_SECONDS after the last time.

        Until then they wait for another call, or for `close`.
        """
        self._uncommitted |= offsets
        if time.monotonic() - self._committed_at < COMMIT_SECONDS:
            return True
        assigned = self.kafka.assignment()
        self._uncommitted = {partition: at for partition, at in self._uncommitted.items() if partition in assigned}
        is_ours = not self._uncommitted or self.commit(self._uncommitted)
        self._uncommitted = {}
        self._committed_at = time.monotonic()
        return is_ours

    def close(self) -> None:
        """Leave the group; what is not committed comes again to whoever owns the partitions next."""
        self._committed_at = 0.0
        with suppress(KafkaFailedError):
            self.commit_soon({})
        self._outage.close()
        with suppress(KafkaFailedError), kafka_errors(self._settings):
            self.kafka.close(autocommit=False, timeout_ms=5000)

    def _see_rejoin_through(self) -> None:
        """Have a rejoin also end whose answer came between two polls.

        kafka-python 3.0.12 drops such an answer and joins once more, for which all other members have to stop and join
        as well; and where it had been new partitions that made it join, it forgets that it has, and never does.
        """
        coordinator = self.kafka._coordinator
        task = coordinator._join_task
        if task is not None and task.succeeded() and coordinator.state is not MemberState.REBALANCING:
            coordinator._join_task = None  # it has left that generation since
        elif task is not None and not isinstance(task, UnreadJoin):
            coordinator._join_task = UnreadJoin(task)
        if coordinator.rejoining and not coordinator.rejoin_needed:
            coordinator.request_rejoin()

    def _forget_positions(self) -> None:
        """Have partitions that are dealt to this member again come from the committed offset, as everywhere else.

        kafka-python 3.0.12 would go on where it was, past what the caller still held of them and now drops.
        """
        self._next.clear()
        self._gaps.read_up_to.clear()
        self.kafka._subscription.assign_from_subscribed([])

    def _give_back(self, starts_at: Mapping[TopicPartition, int]) -> None:
        self._seek(starts_at)
        self.kafka.pause(*self.kafka.assignment())

    def _seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        for partition in self.kafka.assignment() & offsets.keys():
            self.kafka.seek(partition, offsets[partition])
            self._next[partition] = offsets[partition]

    def _find_place(self, error: KafkaError) -> None:
        """Go on at the first message that there is, after naming what was deleted before it."""
        with suppress(KafkaFailedError), kafka_errors(self._settings):  # else the next poll asks again
            found = self._gaps.find_places(error)
            self._seek({partition: begins for partition, (_, begins) in found.items()})
            self._next |= {partition: at for partition, (at, _) in found.items()}
            # The group has a place from here on, or what is deleted before the first message comes would be no gap.
            # Behind the topic's begin it gets one with the first message: the store is not to be held against it.
            if first := {partition: begins for partition, (_, begins) in found.items() if begins == 0}:
                commit(self.kafka, first)

    def _tell(self, behind: dict[TopicPartition, int]) -> None:
        """Of what the group had done already, which is not so where it begins or finds nothing between two messages."""
        committed = {each: self.kafka.committed(each, timeout_ms=ASK_MS) for each in behind}
        lacking = {partition: at for partition, at in behind.items() if (committed[partition] or 0) > at}
        if not lacking:
            return
        log.warning("the online store has lost what follows %s: reading it again", describe(lacking))
        begins = self.kafka.beginning_offsets(list(lacking), timeout_ms=ASK_MS)
        if gone := {partition: begin for partition, begin in begins.items() if begin > lacking[partition]}:
            log.warning("Kafka has no longer what was before %s: run nextclick backfill", describe(gone))
