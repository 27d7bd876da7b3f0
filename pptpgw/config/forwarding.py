"""
The section C{[forwarding]} of the configuration: where calls are passed on to.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pptpgw.config.kind import (
    BOOLEAN,
    FILE,
    NAME,
    NEW,
    PLUGIN_NAME,
    ValueKind,
    exactly,
    key,
    listOf,
    matching,
    require,
    seconds,
)
from pptpgw.config.secrecy import readSecret
from pptpgw.config.table import tables
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import Forward
from pptpgw.radius.servers import SECRET

TUNNEL = matching("the name of a tunnel", PLUGIN_NAME)
PEER_NAME = matching("at most 253 printable ASCII characters", "[ -~]{0,253}")


def _host(value: object) -> str:
    text = exactly(str, value)
    require(0 < len(text) <= 253 and text.isprintable() and " " not in text)
    return text


def _ends(value: object) -> tuple[str, ...]:
    hosts: tuple[str, ...] = _HOSTS.convert(value)
    require(bool(hosts))
    return hosts


def _text(value: object) -> str:
    text = exactly(str, value)
    require(0 < len(text) <= 253 and text.isprintable())
    return text


_HOSTS = listOf("distinct host names and addresses", _host)
ENDS = ValueKind("a list of distinct host names and addresses, at least one", _ends)
CALLED = listOf("a list of what callers call", _text)


@dataclass(frozen=True, slots=True)
class Destination:
    """
    C{[[forwarding.destination]]}: an end to which calls are passed on.

    @ivar name: the name by which accounts choose it.
    @ivar tunnel: the tunnel that leads there, by the name of its plugin.
    @ivar endpoints: the addresses or host names of the other end, or lines that lead to it, as
        Twisted's client endpoint strings, in the order in which they are tried.
    @ivar balanced: whether they are tried in random order instead.
    @ivar secret: the secret shared with the other end, if C{secretFile} is empty.
    @ivar secretFile: the file with that secret.
    @ivar hostName: the name by which we introduce ourselves; empty: the tunnel's own.
    @ivar peerName: the name that the other end must have; empty for any.
    @ivar realms: calls of users C{NAME@REALM} are passed on there.
    @ivar called: so are calls to these addresses, lines, names or telephone numbers.
    @ivar authenticated: whether callers are authenticated here before.
    """

    name: str = key(NAME)
    tunnel: str = key(TUNNEL)
    endpoints: tuple[str, ...] = key(ENDS)
    balanced: bool = key(BOOLEAN, False)
    secret: str = field(default="", repr=False, metadata={"kind": SECRET})
    secretFile: str = key(FILE, "")
    hostName: str = key(PEER_NAME, "")
    peerName: str = key(PEER_NAME, "")
    realms: tuple[str, ...] = key(CALLED, ())
    called: tuple[str, ...] = key(CALLED, ())
    authenticated: bool = key(BOOLEAN, True)

    def forwards(self) -> tuple[Forward, ...]:
        """
        Return the ends in the order in which they are tried.

        @raise ConfigurationError: the file with the secret can't be used.
        """
        try:
            secret = readSecret(self.secretFile) if self.secretFile else self.secret.encode()
        except ConfigurationError as error:
            place = f"[[forwarding.destination]] {self.name}"
            raise ConfigurationError(f"{place}: {error}") from error
        return tuple(
            Forward(
                self.tunnel,
                endpoint,
                secret,
                self.hostName,
                self.peerName,
                preference=0 if self.balanced else number,
            )
            for number, endpoint in enumerate(self.endpoints)
        )


DESTINATIONS = tables(
    "forwarding.destination", "describes where calls are passed on to", Destination, unique=True
)
"""
A list of destinations.
"""


@dataclass(frozen=True, slots=True)
class ForwardingSection:
    """
    C{[forwarding]}: calls that are passed on, so that PPP ends elsewhere.

    @ivar timeout: seconds that an end has to take a call before the next one is tried.
    @ivar destination: where to.
    """

    timeout: float = key(seconds(1, 20), 5.0, NEW)
    destination: tuple[Destination, ...] = key(DESTINATIONS, (), NEW)
