"""
A connection to strongSwan's daemon, charon, by its Unix socket for vici.

charon answers requests in the order in which they come. The replies of a command that streams are
events, which come before its response. A request that isn't answered in time ends the connection,
since the answers to later ones couldn't be told apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from pptpgw.error import Malformed, PPTPGWError, Unavailable
from pptpgw.ipsec.wire import NOTHING, Kind, Message, Packet, decode, split
from pptpgw.log import Logger

TIMEOUT = 10.0
"""
Seconds that charon has for each answer, and for the connection.
"""

Heard = Callable[[str, Message], object]
"""
A function that is told of an event, by its name and message.
"""


class Rejected(PPTPGWError):
    """
    charon doesn't do what it was asked; the text says why.
    """


class Charon(Protocol):
    """
    A connection to charon.

    @ivar ended: called once when the connection has ended.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, heard: Heard | None = None, ended: Callable[[], object] = int
    ) -> None:
        """
        @param heard: told of events that L{register} asked for.
        """
        self.ended = ended
        self._clock = clock
        self._heard = heard
        self._octets = b""
        # The packets that were sent and aren't answered, in order.
        self._asked: deque[tuple[Packet, Deferred[Packet]]] = deque()
        self._streams: dict[str, list[Message]] = {}
        self._why = ""

    async def ask(self, command: str, message: Message = NOTHING) -> Message:
        """
        Have charon do something, and return its response.

        @raise Rejected: charon doesn't know the command, or reports a failure.
        @raise Unavailable: the connection has ended, or ends first.
        """
        packet = await self._send(Packet(Kind.REQUEST, command, message))
        if packet.kind is not Kind.RESPONSE:
            raise Rejected(f"charon doesn't know the command {command}")
        if packet.message.get("success", b"yes") != b"yes":
            raise Rejected(f"charon: {text(packet.message, 'errmsg') or f'{command} failed'}")
        return packet.message

    async def stream(self, command: str, event: str, message: Message = NOTHING) -> list[Message]:
        """
        Have charon list something, and return the messages of the events that it sends before its
        response. A list of the same kind must have ended before.

        @raise Rejected: charon doesn't know the command or the event, or reports a failure.
        @raise Unavailable: the connection has ended, or ends first.
        """
        await self.register(event)
        found = self._streams[event] = []
        try:
            await self.ask(command, message)
        finally:
            del self._streams[event]
        await self._send(Packet(Kind.UNREGISTER, event))
        return found

    async def register(self, event: str) -> None:
        """
        Ask to be told of an event.

        @raise Rejected: charon doesn't know the event.
        @raise Unavailable: the connection has ended, or ends first.
        """
        packet = await self._send(Packet(Kind.REGISTER, event))
        if packet.kind is not Kind.CONFIRM:
            raise Rejected(f"charon doesn't know the event {event}")

    def close(self) -> None:
        """
        End the connection. Calling this again does nothing.
        """
        self._end("it was closed")

    def dataReceived(self, data: bytes) -> None:
        """
        Handle the packets that C{data} completes.
        """
        try:
            packets, self._octets = split(self._octets + data)
            for octets in packets:
                self._received(decode(octets))
        except Malformed as error:
            self._end(f"charon sent {error}")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Fail what wasn't answered, and tell the owner.
        """
        self._why = self._why or "charon closed the connection"
        asked, self._asked = self._asked, deque()
        self.ended()
        for _, deferred in asked:
            deferred.errback(Failure(Unavailable(self._why)))

    def _send(self, packet: Packet) -> Deferred[Packet]:
        if self._why or self.transport is None:
            return fail(Unavailable(self._why or "there is no connection to charon"))
        deferred: Deferred[Packet] = Deferred()
        self._asked.append((packet, deferred))
        self.transport.write(packet.encode())
        timer = self._clock.callLater(TIMEOUT, self._end, f"no answer within {TIMEOUT:g} s")

        def answered(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            return result

        return deferred.addBoth(answered)

    def _received(self, packet: Packet) -> None:
        if packet.kind is Kind.EVENT:
            if packet.name in self._streams:
                self._streams[packet.name].append(packet.message)
            elif self._heard is not None:
                try:
                    self._heard(packet.name, packet.message)
                except Exception:
                    self._log.failure("An event of charon failed")
            return
        if packet.kind in (Kind.REQUEST, Kind.REGISTER, Kind.UNREGISTER) or not self._asked:
            raise Malformed(f"a packet of type {packet.kind} that nobody asked for")
        _, deferred = self._asked.popleft()
        deferred.callback(packet)

    def _end(self, why: str) -> None:
        transport: Any = self.transport
        if not self._why and transport is not None:
            self._why = why
            transport.abortConnection()


async def connect(reactor: Any, path: str, protocol: Charon) -> Charon:
    """
    Connect to the charon whose socket is at C{path}.

    @raise Unavailable: there is none, or it may not be used.
    """
    endpoint = UNIXClientEndpoint(reactor, path, timeout=TIMEOUT)
    try:
        connected: Charon = await connectProtocol(endpoint, protocol)
    except Exception as error:
        # What Twisted's errors of connecting have is the system's own word.
        why = (error.args[0] if error.args else "") or error
        raise Unavailable(f"{path}: {why}") from error
    return connected


def text(message: Message, name: str) -> str:
    """
    Return a value of a message as text; empty if there is no such value.
    """
    value = message.get(name, b"")
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def texts(message: Message, name: str) -> list[str]:
    """
    Return a list of a message as texts; empty if there is no such list.
    """
    value = message.get(name, ())
    if isinstance(value, bytes | dict) or not isinstance(value, list | tuple):
        return []
    return [one.decode(errors="replace") for one in value]


def within(message: Message, name: str) -> Message:
    """
    Return a message within a message; an empty one if there is no such one.
    """
    value = message.get(name, {})
    return value if isinstance(value, dict) else {}


def parts(message: Message) -> dict[str, Message]:
    """
    Return those elements of a message that are messages themselves, by name.
    """
    return {name: value for name, value in message.items() if isinstance(value, dict)}
