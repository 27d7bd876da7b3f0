"""
The order in which the gateway's parts start and stop. Services are started in order and stopped in
reverse, each within a deadline, and one that fails to stop keeps no other from stopping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import (
    Deferred,
    DeferredList,
    TimeoutError,
    inlineCallbacks,
    maybeDeferred,
)
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from pptpgw.error import PPTPGWError
from pptpgw.log import Logger

STOP_SECONDS = 12.0
"""
The default deadline for stopping a part, in seconds. It is longer than the deadlines that parts
have inside themselves, so that those expire first.
"""


class Part(Service):
    """
    One part of the gateway, as functions that open, start and stop it.
    """

    def __init__(
        self,
        name: str,
        open: Callable[[], object] | None = None,
        start: Callable[[], object] = lambda: None,
        stop: Callable[[], object] = lambda: None,
        stopSeconds: Callable[[], float] = lambda: STOP_SECONDS,
    ) -> None:
        """
        @param name: the name of the part, for the log too.
        @param open: opens what needs privileges.
        @param start: starts what needs none.
        @param stop: stops the part, and may return a Deferred. It is called after C{open} or
            C{start}, and if one of these fails.
        @param stopSeconds: returns the time that the part may take to stop, in seconds.
        """
        Service.setName(self, name)
        self._stopSeconds = stopSeconds
        self._open, self._start, self._stop = open, start, stop
        self._begun = False

    @property
    def stopSeconds(self) -> float:
        """
        The time that the part may take to stop, in seconds.
        """
        return self._stopSeconds()

    def privilegedStartService(self) -> None:
        """
        Call C{open}, while the process still has its privileges.
        """
        Service.privilegedStartService(self)
        if self._open is not None:
            self._begun = True
            self._open()

    def startService(self) -> None:
        """
        Call C{start}, after every part has been opened.
        """
        Service.startService(self)
        self._begun = True
        self._start()

    def stopService(self) -> Any:
        """
        Call C{stop} if the part was opened or started.

        @return: what C{stop} returns, perhaps a Deferred.
        """
        Service.stopService(self)
        begun, self._begun = self._begun, False
        return self._stop() if begun else None


class Stages(MultiService):
    """
    Services that are started in order. They are stopped in reverse order: each one when the service
    after it has stopped, has failed to stop or has run out of time.

    A service may have an attribute C{stopSeconds}, the seconds that it may take to stop, or None if
    it has deadlines of its own. Without it, the limit is L{STOP_SECONDS}.

    @cvar stopSeconds: None, because each of the services has its own deadline.
    """

    stopSeconds = None

    def __init__(self, clock: IReactorTime, name: str = "", together: bool = False) -> None:
        """
        @param clock: measures the deadlines.
        @param name: the name of this group of services; empty for none.
        @param together: whether all are stopped at the same time, because each may need most of its
            time.
        """
        MultiService.__init__(self)
        if name:
            Service.setName(self, name)
        self._clock = clock
        self._together = together
        # The services that have something to stop, in the order in which they were started.
        self._begun: list[Any] = []

    @property
    def begun(self) -> bool:
        """
        Whether any of these services was opened or started, and hasn't been stopped since.
        """
        return bool(self._begun)

    def addService(self, service: Any) -> None:
        """
        Add C{service} as the last one, and start it if these services are running.
        """
        if self.running:
            self._begun.append(service)
        MultiService.addService(self, service)

    def removeService(self, service: Any) -> Any:
        """
        Remove C{service}, and stop it if these services are running.
        """
        if service in self._begun:
            self._begun.remove(service)
        return MultiService.removeService(self, service)

    def privilegedStartService(self) -> None:
        """
        Open every service. If one fails, it and those before it are stopped, and its exception is
        raised.
        """
        Service.privilegedStartService(self)
        self._begin(lambda service: service.privilegedStartService())

    def startService(self) -> None:
        """
        Start every service. If one fails, all that were opened are stopped, and its exception is
        raised.
        """
        Service.startService(self)
        self._begin(lambda service: service.startService())

    @inlineCallbacks
    def stopService(self) -> Any:
        """
        Stop every service that was opened or started. Calling this again does nothing.

        @return: a Deferred that fires when that is done, and never fails.
        """
        Service.stopService(self)
        begun, self._begun = self._begun, []
        if self._together:
            yield self._stopAll(begun)
        else:
            for service in reversed(begun):
                yield stopPart(self._clock, service)

    def _begin(self, begin: Callable[[Any], object]) -> None:
        for service in tuple(self.services):
            if service not in self._begun:
                self._begun.append(service)
            try:
                begin(service)
            except BaseException:
                Service.stopService(self)
                begun, self._begun = self._begun, []
                # All are stopped at once, since the process may end without another turn of the
                # reactor.
                self._stopAll(begun)
                raise

    def _stopAll(self, services: Iterable[Any]) -> Deferred[Any]:
        return DeferredList([stopPart(self._clock, one) for one in reversed(list(services))])


_log = Logger()


def stopPart(clock: IReactorTime, service: IService) -> Deferred[None]:
    """
    Stop C{service}, and cancel the Deferred that it returned, if any, when its deadline has passed.
    A failure, or a service that takes too long, is logged once.

    @return: fires when the service is stopped, has failed to stop or has run out of time. It never
        fails.
    """
    name = getattr(service, "name", None) or type(service).__name__
    seconds: float | None = getattr(service, "stopSeconds", STOP_SECONDS)

    def failed(failure: Failure) -> None:
        if failure.check(TimeoutError):
            _log.error("{name} did not stop in {seconds:g} s", name=name, seconds=seconds)
        elif failure.check(PPTPGWError):
            _log.error("{name} did not stop: {why}", name=name, why=failure.getErrorMessage())
        else:
            _log.failure("{name} did not stop", failure=failure, name=name)

    stopped: Deferred[object] = maybeDeferred(service.stopService)
    if seconds is not None:
        stopped.addTimeout(seconds, clock)
    return stopped.addCallbacks(lambda _: None, failed)


def withLife(part: Part, reactor: Any, plugin: object) -> IService:
    """
    Return C{part} together with C{plugin}, if the plugin is a service itself. The plugin is started
    before C{part} and stopped after it.
    """
    if not _isAlone(plugin):
        return part
    stages = Stages(reactor, str(part.name))
    IService(plugin).setServiceParent(stages)
    IService(part).setServiceParent(stages)
    return stages


def lives(reactor: Any, what: str, plugins: Iterable[object]) -> Iterator[IService]:
    """
    Iterate over the services among C{plugins}.

    @param what: the kind of plugin, which becomes part of the services' names.
    """
    alone = filter(_isAlone, plugins)
    for number, one in enumerate(alone, 1):
        stages = Stages(reactor, f"{what} {number}")
        IService(one).setServiceParent(stages)
        yield stages


def _isAlone(plugin: object) -> bool:
    """
    Return whether a plugin is a service that nobody else starts and stops.
    """
    return IService.providedBy(plugin) and IService(plugin).parent is None
