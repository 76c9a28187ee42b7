"""The sessions a consumer has just written, so that most events need no read; never more than a given number."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping

from feature_repo.session import Session


class HotSessions:
    """Least recently used sessions leave first. Holds only what the online store already holds."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._sessions: OrderedDict[str, tuple[int, Session]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, session_ids: Iterable[str]) -> dict[str, Session]:
        """Those known among the sessions asked for."""
        return {session_id: self._sessions[session_id][1] for session_id in session_ids if session_id in self._sessions}

    def put(self, sessions: Iterable[Session], partition_of: Mapping[str, int]) -> None:
        """Remember sessions with the partition that their events come from."""
        for session in sessions:
            self._sessions[session.session_id] = (partition_of[session.session_id], session)
            self._sessions.move_to_end(session.session_id)
        while len(self._sessions) > self._capacity:
            self._sessions.popitem(last=False)

    def drop(self, partitions: Collection[int]) -> None:
        """Forget partitions that another consumer may write from now on."""
        gone = [session_id for session_id, (partition, _) in self._sessions.items() if partition in partitions]
        for session_id in gone:
            del self._sessions[session_id]

    def clear(self) -> None:
        """Forget everything."""
        self._sessions.clear()
