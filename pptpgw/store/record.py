"""
The rows of the store as values, one class for each kind.

Times are floats, in seconds since the epoch (1970, in UTC).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from pptpgw.sessions.profile import Profile
from pptpgw.store.attribute import decode, profileOf


class _Expiring:
    """
    A base class of what is valid until a time.

    @ivar expires: when it expires, in seconds since 1970; None for never.
    """

    __slots__ = ()

    expires: float | None

    def expired(self, now: float) -> bool:
        """
        Return whether it has expired at C{now}, in seconds since 1970.
        """
        return self.expires is not None and self.expires <= now


@dataclass(frozen=True, slots=True)
class Account(_Expiring):
    """
    A user.

    @ivar name: the user's name as text: octets that aren't UTF-8 stand as C{\\xNN}.
    @ivar ntHash: the NT hash of the password, 16 octets (RFC 2759 section 8.3).
    @ivar sealed: the password itself, encrypted by L{pptpgw.store.vault.Vault}; empty if only the
        hash is stored.
    @ivar disabled: whether the user is refused.
    @ivar shared: the name of the profile that the user shares; empty for none.
    @ivar own: the user's own attributes as the database stores them, see L{pptpgw.store.attribute}.
    @ivar inherited: those of the shared profile.
    @ivar created: when the user was made.
    @ivar passwordChanged: when the password was set.
    @ivar expires: when the password expires and must be changed (error 648 of MS-CHAP); None for
        never.
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

    @property
    def attributes(self) -> Mapping[str, str]:
        """
        The user's own attributes, as text by the names of their options.
        """
        return decode(self.own)

    @property
    def profile(self) -> Profile:
        """
        The profile of the user: the attributes of the shared profile, replaced by the user's own.
        """
        return profileOf(self.name, decode(self.inherited) | decode(self.own))


@dataclass(frozen=True, slots=True)
class Draft:
    """
    A user to be made, or changed if there is one of this name. What is None isn't changed, and has
    its default in a new user.

    @ivar ntHash: as in L{Account}, like C{sealed} and C{expires}.
    @ivar attributes: checked texts, by the names of their options; others remain.
    @ivar shared: the name of a profile to share; empty for none.
    @ivar disabled: whether the user is refused.
    """

    name: str
    ntHash: bytes = field(repr=False)
    sealed: str = field(default="", repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict)
    shared: str | None = None
    disabled: bool | None = None
    expires: float | None = None


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
    A session, as far as it has come. Each method of the store is given the whole record, so that
    the order in which the calls reach the database doesn't matter.

    @ivar identifier: L{pptpgw.sessions.session.Session.identifier}.
    @ivar user: the user's name.
    @ivar gateway: the name of the gateway, as several may share a store.
    @ivar caller: the address that the call came from.
    @ivar started: when the session began.
    @ivar changed: when this record was made; never earlier than the record before it.
    @ivar authentication: the method by which the user was authenticated; C{encryption} describes
        the encryption.
    @ivar addresses: the user's addresses and prefixes, as text.
    @ivar octetsReceived: octets from the user; C{octetsSent} to the user; packets likewise.
    @ivar ended: when the session ended; None while it goes on.
    @ivar cause: why the session ended, in words; C{code} is its
        L{pptpgw.sessions.cause.Termination}.
    @ivar tunnel: the name of the tunnel; empty in records of earlier versions.
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
    tunnel: str = ""

    @classmethod
    def decode(cls, octets: bytes) -> SessionRecord:
        """
        Read what L{encode} gave.

        @raise ValueError: it is something else, or of another version.
        """
        try:
            values = json.loads(octets)
            return cls(**values | {"addresses": tuple(values["addresses"])})
        except (KeyError, TypeError) as error:
            raise ValueError("not a record of a session") from error

    def encode(self) -> bytes:
        """
        Give the record as JSON.
        """
        return json.dumps({one.name: getattr(self, one.name) for one in fields(self)}).encode()


@dataclass(frozen=True, slots=True)
class Usage:
    """
    The sum of a user's sessions: those that ended, and those that go on as of their last record.

    @ivar seconds: their durations, added.
    """

    user: str
    sessions: int
    seconds: float
    octetsReceived: int
    octetsSent: int


@dataclass(frozen=True, slots=True)
class TunnelUsage(Usage):
    """
    The sum of a user's sessions by one tunnel.

    @ivar tunnel: the name of the tunnel; empty if it isn't known, because an earlier version
        recorded the sessions.
    @ivar day: the last day on which one of them ended, or was written while it went on, as
        C{YYYY-MM-DD} in UTC.
    """

    tunnel: str
    day: str


@dataclass(frozen=True, slots=True)
class FailedAttempts:
    """
    The failed attempts to log in of one subject.

    @ivar kind: what the subject is: C{"user"} or C{"source"}.
    @ivar subject: the name of the user, or the address that calls came from.
    @ivar failures: the number of failures in a row.
    @ivar last: when the last failure was.
    @ivar until: when the lockout ends; 0 if the subject isn't locked out.
    """

    kind: str
    subject: str
    failures: int
    last: float
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class OperatorAccount:
    """
    An operator: a person or program that sees and steers gateways.

    @ivar role: what the operator may do, in the words of
        L{pptpgw.management.operation.OperatorRole}.
    @ivar password: the hash of the password (L{pptpgw.store.password}); empty for an operator who
        has none, and so logs in with tokens only.
    @ivar created: when the operator was made.
    @ivar changed: when the operator was changed.
    @ivar revision: a random text that is another one after every change.
    @ivar disabled: whether the operator is refused.
    """

    name: str
    role: str
    password: str = field(repr=False)
    created: float
    changed: float
    revision: str
    disabled: bool


@dataclass(frozen=True, slots=True)
class OperatorToken(_Expiring):
    """
    A token by which a program logs in as an operator. The token itself is stored nowhere.

    @ivar operator: the operator's name.
    @ivar name: what the token is for.
    @ivar used: when it was used last, to the minute; None for never.
    @ivar expires: when it can't be used any more; None for never.
    """

    operator: str
    name: str
    created: float
    used: float | None = None
    expires: float | None = None
