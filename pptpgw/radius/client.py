"""
Requests to RADIUS servers, and the choice of a server for each.

The rules:

 - A live server is chosen at random, by the weights; one of weight 0 only if no other is free. A
   dead server is chosen only if no live one, free or busy, is left to ask, because it would most
   likely cost the request the whole time that a server has to answer.
 - When a server leaves a request unanswered, the next one is asked. After all have been asked, they
   are asked again, L{PAUSE} later, until the request's deadline.
 - A server is dead if it left a request unanswered and was silent for at least half of that time,
   or if its host reports that the port is closed. It is alive again when it answers a request, or
   L{pptpgw.radius.home.PROBES} Status-Server packets in a row (RFC 5997); or, if it isn't sent
   these, when its dead time is over.
 - When every server that could be asked has as many requests as it may have, a request waits for a
   place, in the order of arrival, or for a dead server to come back. At most L{LONGEST_QUEUE}
   requests wait.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from random import Random, SystemRandom

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.radius.home import Home
from pptpgw.radius.packet import ACCOUNTING_REQUEST, RADIUSRequest, Reply
from pptpgw.radius.servers import Server
from pptpgw.radius.transport import Fill, RADIUSService, TransportFactory, Unanswered
from pptpgw.timing.timer import cancelled

PAUSE = 1.0
"""
The seconds between two rounds of one request.
"""
LONGEST_QUEUE = 4096
"""
The number of requests that may wait for a place.
"""
RETIRED_SECONDS = 60.0
"""
The seconds for which a server that was replaced answers requests that are under way: longer than
the deadline of any request.
"""


Homes = dict[RADIUSService, tuple[Home, ...]]
"""
The servers of each service.
"""


class RADIUSClient:
    """
    Sends requests to RADIUS servers. If one doesn't answer, the next one is asked.
    """

    def __init__(
        self,
        clock: IReactorTime,
        servers: Sequence[Server],
        makeTransport: TransportFactory,
        identifier: bytes,
        deadTime: float = 60.0,
        probeInterval: float = 10.0,
        random: Random | None = None,
    ) -> None:
        """
        @param clock: measures times.
        @param servers: the servers, with their settings.
        @param makeTransport: makes the transport to a server.
        @param identifier: our NAS-Identifier, for Status-Server packets.
        @param deadTime: seconds that a server that isn't probed is left alone.
        @param probeInterval: seconds between Status-Server packets to a dead server.
        @param random: chooses servers, and varies times.
        """
        self.clock = clock
        self._random: Random = SystemRandom() if random is None else random
        self._stopped = False
        self._pending: set[_Pending] = set()
        # The requests that wait for a place, by the servers that they may be sent to.
        self._queues: dict[tuple[Home, ...], dict[_Pending, None]] = {}
        self._placing = False
        self._homes: Homes = {}
        # The servers that were replaced, each with the timer that closes its transport.
        self._retired: dict[Home, IDelayedCall] = {}
        self.use(self.homesOf(servers, makeTransport), identifier, deadTime, probeInterval)

    def homesOf(
        self,
        servers: Sequence[Server],
        makeTransport: TransportFactory,
        same: Container[Server] = (),
    ) -> Homes:
        """
        Prepare to send requests to C{servers}. Nothing is opened.

        @param makeTransport: makes the transport to a server.
        @param same: the servers whose transports stay as they are, with what is known of their
            health.
        @raise pptpgw.error.ConfigurationError: the settings of a server can't be used.
        """
        homes = {}
        for service in RADIUSService:
            kept = [home for home in self._homes.get(service, ()) if home.server in same]
            homes[service] = tuple(
                next((home for home in kept if home.server == server), None)
                or Home(self, service, makeTransport(server, service))
                for server in servers
                if server.serves(service is RADIUSService.ACCOUNTING)
            )
        return homes

    def use(self, homes: Homes, identifier: bytes, deadTime: float, probeInterval: float) -> None:
        """
        Send new requests to the servers that L{homesOf} has prepared. Requests that are under way
        go on with the old ones, as do conversations that a server has begun, for
        L{RETIRED_SECONDS}.

        @param identifier: our NAS-Identifier, for Status-Server packets.
        @param deadTime: seconds that a server that isn't probed is left alone.
        @param probeInterval: seconds between Status-Server packets to a dead server.
        """
        self._identifier = identifier
        self.deadTime = deadTime
        self.probeInterval = probeInterval
        before, self._homes = self._homes, homes
        stays = {home for those in homes.values() for home in those}
        for home in (home for those in before.values() for home in those):
            if home not in stays:
                home.retire()
                self._retired[home] = self.clock.callLater(RETIRED_SECONDS, self._close, home)
        self._queues = {those: queue for those, queue in self._queues.items() if queue}

    def _close(self, home: Home) -> None:
        cancelled(self._retired.pop(home))
        home.stop()

    @property
    def alive(self) -> dict[tuple[str, str], bool]:
        """
        Whether each server is alive, by its address and the name of the service that it is asked
        for.
        """
        return {(home.server.host, home.service.value): not home.dead for home in self.homes}

    def serves(self, service: RADIUSService) -> bool:
        """
        Return whether there is a server for C{service}.
        """
        return bool(self._homes[service])

    def reaches(self, service: RADIUSService) -> bool:
        """
        Return whether a server for C{service} is alive, as far as is known; also True if there is
        no server for it.
        """
        homes = self._homes[service]
        return not homes or any(not home.dead for home in homes)

    def request(
        self, code: int, fill: Fill, deadline: float, server: Server | None = None
    ) -> Deferred[Reply]:
        """
        Send a request with this code; an L{ACCOUNTING_REQUEST} is sent to an accounting server.

        @param fill: adds the attributes; called once for each server that is asked.
        @param deadline: the seconds after which the request fails.
        @param server: the server that must be asked (the L{Reply.server} of an answer with a
            State); None for any.
        @return: fires with the answer; fails with L{Unanswered}. Cancelling it gives the request
            up.
        """
        service = (
            RADIUSService.ACCOUNTING if code == ACCOUNTING_REQUEST else RADIUSService.AUTHENTICATION
        )
        homes = self._homes[service]
        if server is not None:
            old = (home for home in self._retired if home.service is service)
            homes = tuple(home for home in (*homes, *old) if home.server == server)[:1]
        if self._stopped or not homes:
            return fail(Unanswered(f"there is no RADIUS server for {service.value}"))
        if self.waiting >= LONGEST_QUEUE:
            return fail(Unanswered("too many requests wait for the RADIUS servers already"))
        pending = _Pending(self, code, fill, homes, deadline)
        self._pending.add(pending)
        pending.next()
        return pending.result

    def start(self) -> None:
        """
        Accept requests again, after a L{stop}.
        """
        self._stopped = False

    def stop(self) -> None:
        """
        Close all transports. Requests without an answer fail with L{Unanswered}.
        """
        self._stopped = True
        for pending in tuple(self._pending):
            pending.giveUp("before the gateway stopped")
        for home in tuple(self._retired):
            self._close(home)
        for home in self.homes:
            home.stop()

    @property
    def homes(self) -> tuple[Home, ...]:
        """
        The servers in the role of each service, with their figures.
        """
        return tuple(home for homes in self._homes.values() for home in homes)

    @property
    def waiting(self) -> int:
        """
        The number of requests that wait for a place, since every server has as many as it may.
        """
        return sum(map(len, self._queues.values()))

    # Methods for Home and _Pending

    def choose(self, homes: Collection[Home]) -> Home | None:
        """
        Choose one of C{homes} that has a place for a request, by the rules; None if none has.
        """
        live = [home for home in homes if not home.dead]
        free = [home for home in live or homes if home.transport.free > 0]
        shares = [home.server.weight for home in free]
        if any(shares):
            return self._random.choices(free, shares)[0]
        return next(iter(free), None)

    def wait(self, pending: _Pending) -> None:
        """
        Let C{pending} continue once one of its servers has a place.
        """
        self._queues.setdefault(pending.homes, {})[pending] = None

    def ended(self, pending: _Pending) -> None:
        """
        Forget C{pending}, which has ended.
        """
        self._pending.discard(pending)
        self._queues.get(pending.homes, {}).pop(pending, None)

    def placeFree(self) -> None:
        """
        Give a place to a request that waits for one, after a request has finished or a dead server
        has come back.
        """
        if self._placing:
            return
        self._placing = True
        try:
            for queue in self._queues.values():
                while queue and (pending := next(iter(queue))).hasPlace():
                    del queue[pending]
                    pending.next()
        finally:
            self._placing = False

    def fillProbe(self, request: RADIUSRequest) -> None:
        """
        Add the attributes of a Status-Server packet (RFC 5997 section 3).
        """
        request.add("NAS-Identifier", self._identifier)

    def jitter(self, seconds: float) -> float:
        """
        Return C{seconds}, changed at random by a tenth at most.
        """
        return seconds * self._random.uniform(0.9, 1.1)


class _Pending:
    """
    A request that has no answer yet.

    @ivar homes: the servers that it may be sent to.
    @ivar result: fires with the answer.
    """

    def __init__(
        self,
        client: RADIUSClient,
        code: int,
        fill: Fill,
        homes: tuple[Home, ...],
        deadline: float,
    ) -> None:
        self._client = client
        self._code = code
        self._fill = fill
        # The servers that were asked in this round, and why the last one gave no answer.
        self._asked: list[Home] = []
        self._why = "every one is busy"
        self._asking: Deferred[Reply] | None = None
        self._pause: IDelayedCall | None = None
        self._late = client.clock.callLater(deadline, self.giveUp, f"within {deadline:g} s")
        self.homes = homes
        self.result: Deferred[Reply] = Deferred(self._cancelled)

    def hasPlace(self) -> bool:
        """
        Return whether L{next} would find a server that has a place.
        """
        return self._client.choose(self._left()) is not None

    def _left(self) -> list[Home]:
        return [home for home in self.homes if home not in self._asked]

    def next(self) -> None:
        """
        Send the request to the next server.
        """
        self._pause = None
        client = self._client
        left = self._left()
        if not left:
            self._asked.clear()
            self._pause = client.clock.callLater(client.jitter(PAUSE), self.next)
            return
        home = client.choose(left)
        if home is None:
            client.wait(self)
            return
        self._asked.append(home)
        # An exception fails only this request; others get the place that is free.
        self._asking = asking = maybeDeferred(home.ask, self._code, self._fill)
        asking.addCallbacks(self._answered, self._unanswered)

    def giveUp(self, when: str) -> None:
        """
        Fail the request. C{when} completes the message.
        """
        self._end()
        self.result.errback(Unanswered(f"no RADIUS server answered {when}: {self._why}"))

    def _answered(self, reply: Reply) -> None:
        self._asking = None
        self._end()
        self.result.callback(reply)
        self._client.placeFree()

    def _unanswered(self, failure: Failure) -> None:
        if self._asking is None:
            # The request was given up on this end.
            failure.trap(CancelledError)
        elif failure.check(Unanswered) is not None:
            self._asking = None
            self._why = failure.getErrorMessage()
            self.next()
        else:
            # C{fill} failed, as it would for every other server.
            self._asking = None
            self._end()
            self.result.errback(failure)
        self._client.placeFree()

    def _cancelled(self, _: Deferred[Reply]) -> None:
        self._end()

    def _end(self) -> None:
        cancelled(self._late)
        cancelled(self._pause)
        self._client.ended(self)
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
