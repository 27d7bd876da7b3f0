"""
The plugin of the HDLC tunnel, which answers calls over lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface, implementer

from pptpgw.config.kind import (
    ENDPOINTS,
    NEW,
    ValueKind,
    exactly,
    key,
    require,
    restart,
    whole,
)
from pptpgw.config.section import TunnelSection
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    Forward,
    ICall,
    ICallOwner,
    IDialler,
    IForwarder,
    IReloadable,
    ITunnel,
    ITunnelEnvironment,
    ITunnelFactory,
    Negotiated,
)
from pptpgw.ports.listening import endpointFromString
from pptpgw.tunnels.entrance import Entrance, addressText
from pptpgw.tunnels.hdlc.call import HDLC
from pptpgw.tunnels.hdlc.chat import parseChat
from pptpgw.tunnels.hdlc.dialler import Dialler
from pptpgw.tunnels.hdlc.port import DeviceAddress
from pptpgw.tunnels.hdlc.protocol import HDLCProtocol


def _script(value: object) -> str:
    text = exactly(str, value)
    try:
        parseChat(text, "0")
    except ConfigurationError:
        require(False)
    return text


CHAT = ValueKind("a chat script, as in \"'' ATDT\\T CONNECT\"", _script)


@dataclass(frozen=True, slots=True)
class HDLCSettings(TunnelSection):
    """
    C{[hdlc]}: the lines that are answered.

    @ivar endpoints: the lines, as Twisted's server endpoint strings; C{serial:} and C{pty:} are
        possible too.
    @ivar accm: the map of control characters that callers are asked to escape (RFC 1662 section
        7.1): 0 for none, 0x000a0000 for XON and XOFF, 0xffffffff for all.
    @ivar chat: the chat script (L{pptpgw.tunnels.hdlc.chat}) that is run first on a line by which a
        call is passed on; empty for none.
    """

    endpoints: tuple[str, ...] = key(ENDPOINTS, (), restart("the lines are open"))
    accm: int = key(whole(0, 0xFFFFFFFF), 0, NEW)
    chat: str = key(CHAT, "", NEW)


class HDLCFactory(ServerFactory):
    """
    The factory of the lines that are answered. Lines beyond the limits are closed at once.

    @ivar entrance: the entrance of the tunnel, which lets callers in.
    """

    noisy = False

    def __init__(self, settings: HDLCSettings, environment: ITunnelEnvironment) -> None:
        self.entrance: Entrance[HDLCProtocol] = Entrance(environment, HDLC, "line")
        self.accm = settings.accm
        self._environment = environment

    def buildProtocol(self, addr: IAddress | None) -> HDLCProtocol | None:
        """
        Return the protocol for a caller, or None if the caller isn't let in.
        """
        caller = addressText(addr)
        if not self.entrance.admits(caller):
            return None
        return HDLCProtocol(self._environment.reactor, caller, self.accm, self)

    # pptpgw.tunnels.hdlc.protocol.StreamOwner

    def opened(self, protocol: HDLCProtocol) -> None:
        """
        See L{pptpgw.tunnels.hdlc.protocol.StreamOwner.opened}: offer the call to the gateway.
        """
        self.entrance.opened(protocol, protocol.caller)
        # The line never counts as silent, since its call begins at once.
        self.entrance.heard(protocol)
        self._environment.calls.callRequested(protocol.call)

    def closed(self, protocol: HDLCProtocol) -> None:
        """
        See L{pptpgw.tunnels.hdlc.protocol.StreamOwner.closed}.
        """
        self.entrance.closed(protocol)

    def discard(self, reason: str) -> None:
        """
        See L{pptpgw.tunnels.hdlc.protocol.StreamOwner.discard}.
        """
        self._environment.counters.discard(reason)


class ILines(Interface):
    """
    A tunnel that answers on every line that it is given, besides those of its configuration.
    """

    factory = Attribute("The L{HDLCFactory}, whose protocols answer, each on one line.")


@implementer(ITunnel, IForwarder, IDialler, IReloadable, ILines)
class HDLCTunnel:
    """
    The tunnel that answers calls over lines, and places calls over lines.

    @ivar factory: the factory of the lines.
    @ivar entrance: the entrance of the tunnel.
    """

    kind = HDLC

    def __init__(self, settings: HDLCSettings, environment: ITunnelEnvironment) -> None:
        self.factory = HDLCFactory(settings, environment)
        self._dialler = Dialler(environment.reactor, settings.chat, settings.accm)
        self.entrance = self.factory.entrance
        self._listens = environment.listens
        self._settings = settings
        self._endpoints = [
            (f"[hdlc] endpoints: {text}", endpointFromString(environment.reactor, "hdlc", text))
            for text in settings.endpoints
        ]

    @property
    def places(self) -> tuple[str, ...]:
        """
        See L{ITunnel}.
        """
        if not self._settings.endpoints:
            return ("standard input and output",)
        # The path of a pseudoterminal is known only after it has been made.
        return tuple(
            host.name if isinstance(host := port.getHost(), DeviceAddress) else text
            for text, port in zip(self._settings.endpoints, self.entrance.ports, strict=False)
        )

    def start(self) -> None:
        """
        Open every line that is to be answered.

        @raise pptpgw.error.ConfigurationError: a line can't be opened; the text says why.
        """
        if self._listens:
            self.entrance.start(self.factory, self._endpoints)

    def judge(self, settings: HDLCSettings) -> dict[str, str]:
        """
        See L{IReloadable.judge}: there is nothing to object to.
        """
        return {}

    def reload(self, settings: HDLCSettings) -> None:
        """
        See L{IReloadable.reload}.
        """
        self._settings = settings
        self.factory.accm = self._dialler.accm = settings.accm
        self._dialler.chat = settings.chat

    def place(
        self, forward: Forward, negotiated: Negotiated, caller: ICall, owner: ICallOwner
    ) -> Deferred[ICall]:
        """
        See L{IForwarder.place}.
        """
        return self._dialler.place(forward, negotiated, caller, owner)

    def dial(self, end: Forward, owner: ICallOwner) -> Deferred[ICall]:
        """
        See L{IDialler.dial}.
        """
        return self._dialler.dial(end, owner)

    def stopListening(self) -> Deferred[Any]:
        """
        See L{ITunnel.stopListening}.
        """
        return self.entrance.stopListening()

    def stop(self) -> Deferred[Any]:
        """
        See L{ITunnel.stop}.
        """
        self._dialler.stop()
        return self.entrance.stop()


@implementer(IPlugin, ITunnelFactory)
class HDLCTunnelFactory:
    """
    See L{ITunnelFactory}.
    """

    name, kind = HDLC.name, HDLC
    description = "PPP over lines (RFC 1662): serial ones, pseudoterminals, TCP and Unix sockets."
    settings = HDLCSettings

    def makeTunnel(self, settings: HDLCSettings, environment: ITunnelEnvironment) -> HDLCTunnel:
        """
        See L{ITunnelFactory.makeTunnel}.
        """
        return HDLCTunnel(settings, environment)


factory = HDLCTunnelFactory()
