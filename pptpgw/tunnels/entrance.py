"""
The entrance of a tunnel: the endpoints where it listens, the callers that it lets in, and their
connections until the tunnel has stopped.

The rules:

 - A caller whose IP address isn't in C{[listen] clients} isn't let in. Callers without an IP
   address are: the permissions of a device, or of a socket in the file system, decide who may open
   it.
 - Nobody is let in while the tunnel stops.
 - L{pptpgw.sessions.door} has the limits of the connections, and says which one is closed for a
   newer one.
 - Who isn't let in is counted, and logged as far as the quota allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import Any, Generic, TypeVar
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint

from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import ITunnelEnvironment, TunnelKind
from pptpgw.log import Logger, Quota
from pptpgw.ports.listening import Listening
from pptpgw.ports.poll import acceptFew
from pptpgw.sessions.attempts import Attempts
from pptpgw.sessions.cause import Cause
from pptpgw.sessions.door import Door
from pptpgw.sessions.remedy import Remedy
from pptpgw.sessions.tally import Tally
from pptpgw.timing.slices import inSlices, oneByOne


class IncomingConnection(TypingProtocol):
    """
    A connection that a caller opened, as its L{Entrance} sees it.
    """

    @property
    def isProven(self) -> bool:
        """
        Whether a caller on the connection is or was authenticated.
        """

    def displace(self) -> None:
        """
        Close the connection at once, to make room for a newer one.
        """

    def stop(self) -> None:
        """
        End the calls on the connection and close it, within a time limit, since the gateway stops.
        """


C = TypeVar("C", bound=IncomingConnection)
"""
The type that represents a connection.
"""


class Entrance(Generic[C]):
    """
    The entrance of one tunnel. The tunnel asks L{admits} before it takes a connection, and reports
    each connection by L{opened}, L{heard} and L{closed}.

    @ivar connections: the connections that are open.
    """

    _log = Logger()

    def __init__(self, environment: ITunnelEnvironment, tunnel: TunnelKind, noun: str) -> None:
        """
        @param noun: the tunnel's word for one of its connections, such as "line". The log and the
            counters use it.
        """
        self.connections: set[C] = set()
        self._listening = Listening()
        self._reactor = environment.reactor
        self._environment = environment
        self._counters: Counters = environment.counters
        self._quota: Quota = environment.quota
        self._attempts: Attempts = environment.attempts
        self._tally: Tally = environment.tally
        self._tunnel = tunnel
        self._noun = noun
        self._door: Door[C] = Door(
            environment.reactor.seconds,
            environment.known,
            lambda connection: connection.isProven,
            lambda: environment.listen,
        )
        self._stopping = False
        self._emptied: list[Deferred[None]] = []

    @property
    def ports(self) -> Sequence[IListeningPort]:
        """
        The ports on which the tunnel listens, in the order of its endpoints.
        """
        return self._listening.ports

    # Connections

    def admits(self, caller: str) -> bool:
        """
        Decide whether a connection from C{caller}, an address in text, is let in. Another
        connection may be closed for it.
        """
        noun = self._noun
        if not self._isPermitted(caller):
            self.refuse(
                caller, f"{noun} from a client that isn't permitted", Remedy.CLIENTS, "clients"
            )
            return False
        if self._stopping:
            self.refuse(caller, f"{noun} while the gateway stops", Remedy.STOPPING)
            return False
        limit, leaving = self._door.refusal(caller)
        if limit is not None:
            self.refuse(caller, limit.reason(noun), Remedy.LIMIT, limit.value)
            return False
        if leaving is not None:
            self._counters.discard(f"{noun} displaced by a newer one")
            leaving.displace()
        return True

    def refuse(self, caller: str, reason: str, remedy: Remedy | None = None, key: str = "") -> None:
        """
        Count and log that a connection from C{caller} isn't let in.

        @param remedy: what to do about it; None if nothing is known.
        @param key: the key of C{[listen]} that forbids it, if one does.
        """
        self._counters.discard(reason)
        if key:
            self._tally.connections[self._tunnel.name, key] += 1
        advice = f"{reason}, see [listen] {key}" if key else reason
        cause = Cause(advice, remedy=remedy)
        self._attempts.turnedAway(caller, self._tunnel, self._noun, cause)
        if self._quota.allows(f"refused {self._noun}s", caller):
            self._log.warn(
                "refused {caller}: {reason} ({count} so far)",
                caller=caller,
                reason=advice,
                count=self._counters.discards[reason],
            )

    def opened(self, connection: C, caller: str) -> None:
        """
        Count a new connection from C{caller}, which was let in.
        """
        self.connections.add(connection)
        self._door.opened(connection, caller)

    def renamed(self, connection: C, caller: str) -> bool:
        """
        Note that C{connection} comes from C{caller}, which only a proxy has told. The limits that
        held for the proxy's address hold for the caller's too.

        @return: whether the caller is let in; if not, the tunnel closes the connection.
        """
        self._door.closed(connection)
        if not self.admits(caller):
            return False
        self._door.opened(connection, caller)
        return True

    def heard(self, connection: C) -> None:
        """
        Note that C{connection} has sent a whole message, so that it doesn't count as silent any
        more.
        """
        self._door.heard(connection)

    def closed(self, connection: C) -> None:
        """
        Forget C{connection}, which is closed.
        """
        self.connections.discard(connection)
        self._door.closed(connection)
        if not self.connections:
            emptied, self._emptied = self._emptied, []
            for deferred in emptied:
                deferred.callback(None)

    def whenEmpty(self) -> Deferred[None]:
        """
        Return a Deferred that fires when no connection is open.
        """
        if not self.connections:
            return succeed(None)
        emptied: Deferred[None] = Deferred()
        self._emptied.append(emptied)
        return emptied

    # Listening

    def begin(self) -> None:
        """
        Let callers in, where the tunnel opens its ports itself.
        """
        self._stopping = False

    def start(
        self,
        factory: IProtocolFactory,
        endpoints: Iterable[tuple[str, IStreamServerEndpoint]],
        advice: str = "",
    ) -> None:
        """
        Let callers in, and listen.

        @param factory: makes the protocols of the connections.
        @param endpoints: the endpoints, each behind the text with which an error begins.
        @param advice: the end of an error's text: what to do if a port can't be opened.
        @raise ConfigurationError: an endpoint can't be listened on; the text says why.
        """
        self.begin()
        for place, endpoint in endpoints:
            if why := self._listening.open(endpoint, factory):
                raise ConfigurationError(f"{place}: {why}{advice}")
        for port in self.ports:
            acceptFew(port)

    def stopListening(self) -> Deferred[Any]:
        """
        Close every port. Calling this again does nothing.

        @return: fires when the ports are closed.
        """
        return self._listening.close()

    def stop(self) -> Deferred[Any]:
        """
        Let nobody in any more, close every port, and stop every connection.

        @return: fires when the last connection is closed.
        """
        self._stopping = True
        return self.stopListening().addCallback(self._stopAll)

    def _stopAll(self, ports: object) -> Deferred[None]:
        emptied = self.whenEmpty()
        inSlices(self._reactor, self._stopEach())
        return emptied

    def _stopEach(self) -> Iterator[None]:
        for connection in oneByOne(self.connections):
            try:
                connection.stop()
            except Exception:
                # The others stop all the same.
                self._log.failure("A {noun} failed to stop", noun=self._noun)
            yield

    def _isPermitted(self, caller: str) -> bool:
        clients = self._environment.listen.clients
        if not clients:
            return True
        try:
            address = ip_address(caller)
        except ValueError:
            return True
        return any(address in network for network in clients)


def addressText(address: object) -> str:
    """
    Return an address in text: the IP address of a TCP connection; the path of a Unix socket, serial
    line or pseudoterminal; C{stdio} for anything else.
    """
    name = getattr(address, "host", None) or getattr(address, "name", None) or "stdio"
    return name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(name)
