"""
What the store keeps: one value for each kind of row.

Times are seconds since the epoch (of 1970, in UTC), floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pptpgw.sessions.profile import Profile
from pptpgw.store.attribute import decode, profileOf


@dataclass(frozen=True, slots=True)
class Account:
    """
    A user.

    @ivar name: the user's name; what isn't ASCII in UTF-8, what isn't UTF-8 as C{\\xNN}.
    @ivar ntHash: the NT hash of the password, 16 octets (RFC 2759 section 8.3).
    @ivar sealed: the password itself as L{pptpgw.store.vault.Vault} sealed it; empty where only the
        hash is kept.
    @ivar disabled: whether it may not call.
    @ivar shared: the name of the profile that it shares; empty: none.
    @ivar own: its own attributes as the database has them, see L{pptpgw.store.attribute}.
    @ivar inherited: those of the profile that it shares.
    @ivar created: when it was made.
    @ivar passwordChanged: when its password was set.
    @ivar expires: when its password expires; None: never.
    """

    name: str
    ntHash: bytes = field(repr=False)
    sealed: str = field(default="", repr=False)
    disabled: bool = False
    shared: str = ""
    own: str = "{}"
    inherited: str = "{}"
    created: float = 0.0
    passwordChanged: float = 0.0
    expires: float | None = None

    def expired(self, now: float) -> bool:
        """
        Whether its password is one that must be changed (MS-CHAP's error 648).
        """
        return self.expires is not None and self.expires <= now

    @property
    def attributes(self) -> Mapping[str, str]:
        """
        Its own attributes, as text by the names of their options.
        """
        return decode(self.own)

    @property
    def profile(self) -> Profile:
        """
        What it allows: what it inherits, and its own over that.
        """
        return profileOf(self.name, decode(self.inherited) | decode(self.own))


@dataclass(frozen=True, slots=True)
class SharedProfile:
    """
    A named set of attributes that users share.

    @ivar attributes: as text, by the names of their options.
    @ivar users: how many share it.
    """

    name: str
    attributes: Mapping[str, str]
    users: int = 0


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """
    A session, as far as it has come: each call of the store's is given the whole of it, so that the
    order in which calls reach the database doesn't matter.

    @ivar identifier: L{pptpgw.sessions.session.Session.identifier}.
    @ivar user: the user's name.
    @ivar gateway: which gateway it is of, where several share a store.
    @ivar caller: the address that the call came from.
    @ivar started: when it began.
    @ivar changed: of when this record is; never less than that of a record before.
    @ivar authentication: the method that proved it; C{encryption} what is encrypted, in words.
    @ivar addresses: what the user has, as text: addresses, prefixes.
    @ivar octetsReceived: from the user; C{octetsSent} to it; packets likewise.
    @ivar ended: when it ended; None: it goes on.
    @ivar cause: why it ended, in words, and C{code}, its L{pptpgw.sessions.cause.Termination}.
    """

    identifier: str
    user: str
    gateway: str
    caller: str
    started: float
    changed: float
    authentication: str = ""
    encryption: str = ""
    addresses: tuple[str, ...] = ()
    octetsReceived: int = 0
    octetsSent: int = 0
    packetsReceived: int = 0
    packetsSent: int = 0
    ended: float | None = None
    cause: str = ""
    code: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """
    What a user's sessions come to: those that ended, and those that go on as last recorded.

    @ivar seconds: how long they lasted, together.
    """

    user: str
    sessions: int
    seconds: float
    octetsReceived: int
    octetsSent: int


@dataclass(frozen=True, slots=True)
class Attempts:
    """
    Failed attempts to log in, of one subject.

    @ivar kind: what the subject is: C{"user"} or C{"source"}, for two.
    @ivar subject: a user's name, an address.
    @ivar failures: how many, in a row.
    @ivar last: when the last one was.
    @ivar until: until when it is locked out; 0: it isn't.
    """

    kind: str
    subject: str
    failures: int
    last: float
    until: float = 0.0
