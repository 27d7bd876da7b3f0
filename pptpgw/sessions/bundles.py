"""
The lines that may have other links in their bundles (RFC 1990), by user and endpoint.

The first line of a user to a peer heads the bundle, and has its session. Further lines join it,
once their callers have authenticated as the same user and their peers have named the same endpoint
(section 5.1.3). While the head isn't served yet, they wait.
"""

from __future__ import annotations

from typing import Generic, TypeVar
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred

from pptpgw.ppp.link import Link
from pptpgw.sessions.session import Session


class Heading(TypingProtocol):
    """
    A line that may head a bundle. L{pptpgw.sessions.answered.AnsweredLine} is one.
    """

    identity: str
    link: Link
    session: Session | None


L = TypeVar("L", bound=Heading)


class Bundles(Generic[L]):
    """
    The heads of bundles, and those who wait to join.
    """

    def __init__(self) -> None:
        self._heads: dict[tuple[str, bytes], L] = {}
        self._keys: dict[L, tuple[str, bytes]] = {}
        self._waiting: dict[L, list[Deferred[None]]] = {}

    def __len__(self) -> int:
        return len(self._heads)

    def headFor(self, line: L) -> L:
        """
        Return the line that heads the bundle of C{line}, whose caller has authenticated: C{line}
        itself, from now on, if there is none.
        """
        key = line.identity, line.link.lcp.peerEndpoint
        head = self._heads.setdefault(key, line)
        if head is line:
            self._keys[line] = key
        return head

    def wait(self, head: L) -> Deferred[None]:
        """
        Wait until C{head} is served or has left.
        """
        waiting = self._waiting.setdefault(head, [])
        done: Deferred[None] = Deferred(waiting.remove)
        waiting.append(done)
        return done

    def served(self, head: L) -> None:
        """
        Note that C{head} has its session.
        """
        for one in self._waiting.pop(head, ()):
            one.callback(None)

    def leave(self, line: L) -> None:
        """
        Note that C{line} heads no bundle any more. Do nothing if it didn't.
        """
        key = self._keys.pop(line, None)
        if key is not None:
            del self._heads[key]
        self.served(line)
