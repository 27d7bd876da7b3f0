"""
The exchange of packets of a declared protocol with an object in this process, an L{IPacketService}.

Exceptions that the object raises are logged and have no other effect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.reflect import namedAny
from zope.interface import implementer
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IPacketService, IPacketSession, ISubscriber
from pptpgw.log import Logger
from pptpgw.networks.generic.control import GenericProtocol
from pptpgw.networks.generic.declaration import Declaration

FAILED = "the service's object failed on it"


class ServiceObject:
    """
    The holder of the object that serves all sessions of one declared protocol.

    @ivar service: the object, once L{start} has been called.
    """

    _log = Logger()

    def __init__(self, declaration: Declaration, reactor: Any, counters: Counters) -> None:
        self._declaration = declaration
        self._reactor = reactor
        self._counters = counters
        self.service: Any = None

    def start(self) -> None:
        """
        Import the object, or call the imported callable to make it.

        @raise ConfigurationError: the import or the call fails, or the object isn't an
            L{IPacketService}.
        """
        try:
            found = namedAny(self._declaration.to.place)
            if not IPacketService.providedBy(found) and callable(found):
                found = found(self._reactor)
            verifyObject(IPacketService, found)
        except Invalid as error:
            self._refuse(" ".join(str(error).split()))
        except Exception as error:
            self._refuse(f"{type(error).__name__}: {error}")
        self.service = found

    def _refuse(self, reason: str) -> None:
        declaration = self._declaration
        raise ConfigurationError(
            f'[[network.generic]] "{declaration.name}": to = "{declaration.to}": {reason}; it must '
            "name an object that provides pptpgw.interfaces.IPacketService, or a callable that "
            "makes one of the reactor"
        )

    def outlet(self, subscriber: ISubscriber) -> ObjectOutlet:
        """
        See L{pptpgw.networks.generic.outlet.Outlets.outlet}.
        """
        return ObjectOutlet(self, subscriber)

    def tell(self, what: Callable[..., None], *arguments: object) -> None:
        """
        Call a method of the object, and log an exception that it raises.
        """
        try:
            what(*arguments)
        except Exception:
            self._counters.discard(FAILED)
            self._log.failure("{to} failed", to=self._declaration.to)


@implementer(IPacketSession)
class ObjectOutlet:
    """
    One session, as the L{IPacketSession} that the object is given.
    """

    def __init__(self, owner: ServiceObject, subscriber: ISubscriber) -> None:
        self.subscriber = subscriber
        self.protocol: GenericProtocol | None = None
        self._owner = owner

    @property
    def mtu(self) -> int:
        """
        See L{IPacketSession}.
        """
        return self.protocol.mtu if self.protocol is not None else 0

    def send(self, number: int, packet: bytes) -> None:
        """
        See L{IPacketSession.send}.
        """
        if self.protocol is not None:
            self.protocol.link.sendPacket(number, packet)

    def opened(self, protocol: GenericProtocol) -> None:
        """
        See L{pptpgw.networks.generic.outlet.Outlet.opened}.
        """
        self.protocol = protocol
        self._owner.tell(self._owner.service.sessionOpened, self)

    def received(self, number: int, packet: bytes) -> None:
        """
        See L{pptpgw.networks.generic.outlet.Outlet.received}.
        """
        self._owner.tell(self._owner.service.packetReceived, self, number, packet)

    def closed(self, protocol: GenericProtocol) -> None:
        """
        See L{pptpgw.networks.generic.outlet.Outlet.closed}.
        """
        self.protocol = None
        self._owner.tell(self._owner.service.sessionClosed, self)
