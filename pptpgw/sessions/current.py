"""
The sessions of now, for parts that have no other way to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pptpgw.sessions.observer import SessionObserver
from pptpgw.sessions.session import Session


class Sessions(SessionObserver):
    """
    The sessions that began and haven't ended. Iterating goes over a copy, so that sessions may end
    meanwhile.
    """

    def __init__(self) -> None:
        self._sessions: set[Session] = set()

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions))

    def __len__(self) -> int:
        return len(self._sessions)

    def sessionStarted(self, session: Session) -> None:
        """
        Add C{session}.
        """
        self._sessions.add(session)

    def sessionEnded(self, session: Session, cause: str) -> Any:
        """
        Remove C{session}.
        """
        self._sessions.discard(session)
