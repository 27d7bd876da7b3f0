"""
The sessions of the console: operators who log in once with a browser, and links that log in.

The rules:

 - A session is known by a random token in a cookie, and a link by a random token of its own. Only
   their hashes are kept, in memory: a restart of the gateway ends all sessions.
 - A session ends L{IDLE_SECONDS} after its last request, and L{LONGEST_SECONDS} after its login.
 - There are at most L{MOST_SESSIONS}, and at most L{MOST_OF_OPERATOR} of one operator; a login
   beyond that ends the one that wasn't used longest.
 - A link can be used once, within L{LINK_SECONDS}.
"""

from __future__ import annotations

from secrets import token_urlsafe

from twisted.internet.interfaces import IReactorTime

from pptpgw.management.operation import Operator, Sender
from pptpgw.store.operator import digestOf

IDLE_SECONDS = 1800.0
LONGEST_SECONDS = 12 * 3600.0
LINK_SECONDS = 600.0
MOST_SESSIONS = 256
MOST_OF_OPERATOR = 16
MOST_LINKS = 16

_TOKEN_OCTETS = 32


class ConsoleSession:
    """
    One session of the console.

    @ivar key: the hash of its token.
    @ivar operator: who has logged in, with the role at that time.
    @ivar csrf: what a request that changes something must have in C{X-CSRF-Token}. Another site
        can make a browser send the cookie, but can't read this.
    """

    __slots__ = ("began", "csrf", "key", "operator", "used")

    def __init__(self, key: str, operator: Operator, now: float) -> None:
        self.key = key
        self.operator = operator
        self.csrf = token_urlsafe(_TOKEN_OCTETS)
        self.began = self.used = now

    def isOver(self, now: float) -> bool:
        """
        Return whether the session has lasted too long, or wasn't used for too long.
        """
        return now >= self.used + IDLE_SECONDS or now >= self.began + LONGEST_SECONDS


class ConsoleSessions:
    """
    The sessions, and the links that weren't used yet.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # The session that wasn't used longest comes first.
        self._sessions: dict[str, ConsoleSession] = {}
        self._links: dict[str, tuple[Operator, float]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, operator: Operator) -> tuple[str, ConsoleSession]:
        """
        Begin a session of C{operator}, and return its token and itself.
        """
        self._sweep()
        own = [one.key for one in self._sessions.values() if one.operator.name == operator.name]
        for key in own[: max(0, len(own) - MOST_OF_OPERATOR + 1)]:
            del self._sessions[key]
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        token = token_urlsafe(_TOKEN_OCTETS)
        session = ConsoleSession(digestOf(token), operator, self._clock.seconds())
        self._sessions[session.key] = session
        return token, session

    def find(self, token: str) -> ConsoleSession | None:
        """
        Return the session with this token, and note that it is used; None if there is none, or it
        is over.
        """
        now = self._clock.seconds()
        session = self._sessions.pop(digestOf(token), None)
        if session is None or session.isOver(now):
            return None
        session.used = now
        self._sessions[session.key] = session
        return session

    def withKey(self, key: str) -> ConsoleSession | None:
        """
        Return the session with this key; None if there is none.
        """
        return self._sessions.get(key)

    def left(self, session: ConsoleSession) -> float:
        """
        Return the seconds until C{session} ends, however often it is used.
        """
        return session.began + LONGEST_SECONDS - self._clock.seconds()

    def end(self, key: str) -> None:
        """
        End the session with this key, if there is one.
        """
        self._sessions.pop(key, None)

    def link(self, operator: Operator) -> str:
        """
        Make a link by which C{operator} can log in once, and return its token.
        """
        now = self._clock.seconds()
        self._links = {key: link for key, link in self._links.items() if link[1] > now}
        while len(self._links) >= MOST_LINKS:
            del self._links[next(iter(self._links))]
        token = token_urlsafe(_TOKEN_OCTETS)
        self._links[digestOf(token)] = operator, now + LINK_SECONDS
        return token

    def redeem(self, token: str) -> Operator | None:
        """
        Return who may log in by the link with this token, which can't be used again; None if
        nobody may.
        """
        operator, until = self._links.pop(digestOf(token), (None, 0.0))
        return operator if self._clock.seconds() < until else None

    def _sweep(self) -> None:
        now = self._clock.seconds()
        for key in [key for key, one in self._sessions.items() if one.isOver(now)]:
            del self._sessions[key]


def cookieName(sender: Sender) -> str:
    """
    Return the name of the cookie. Browsers send cookies to all ports of a host, so the name has the
    port; and the prefix C{__Host-}, which only the gateway's own answers over TLS can set.
    """
    return f"{'__Host-' if sender.isSecure else ''}pptpgw-{sender.port}"


def cookie(sender: Sender, token: str) -> str:
    """
    Return the C{Set-Cookie} header that gives a browser C{token}; empty to take it back.
    """
    text = f"{cookieName(sender)}={token}; Path=/; HttpOnly; SameSite=Strict"
    text += "; Secure" if sender.isSecure else ""
    return text if token else f"{text}; Max-Age=0"
