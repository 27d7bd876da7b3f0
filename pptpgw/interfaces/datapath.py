"""
The data path of the whole gateway, and the plugins that make one.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Any

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from pptpgw.interfaces.channel import IChannel, IChannelOwner
from pptpgw.interfaces.environment import IEnvironment
from pptpgw.interfaces.tunnel import ICall


class IKernelInterface(Interface):
    """
    The network interface by which a data path's own network reaches this machine's kernel.
    """

    name = Attribute("The name of the interface, as C{ip link} shows it.")

    def addAddress(address: IPv4Interface | IPv6Interface) -> None:
        """
        Give the interface an address. One call of L{removeAddress} undoes one call of this; what
        is left is removed together with the interface.

        @raise pptpgw.error.PPTPGWError: the kernel refuses; the text says why.
        """

    def removeAddress(address: IPv4Interface | IPv6Interface) -> None:
        """
        Undo one call of L{addAddress}. Do nothing if there was none.
        """

    def addRoute(network: IPv4Network | IPv6Network, source: IPv4Address | None = None) -> None:
        """
        Route C{network} to the interface, unless a wider route leads there already. One call of
        L{removeRoute} undoes one call of this; the rest are undone when the interface is removed.

        @param source: the address of this machine that it sends there from; None: any. A network
            with a source has a route of its own.
        @raise pptpgw.error.PPTPGWError: the kernel refuses; the text says why.
        """

    def removeRoute(network: IPv4Network | IPv6Network) -> None:
        """
        Undo one call of L{addRoute}. Do nothing if there was none.
        """


class IDataPath(Interface):
    """
    The data path of the whole gateway, which carries packets between calls and networks.

    A data path that also provides L{pptpgw.interfaces.ISessionObserver} is told of sessions like an
    observer.
    """

    counters = Attribute(
        "The L{pptpgw.counting.counters.Counters} of everything that belongs to no call."
    )
    interface = Attribute(
        "The L{IKernelInterface}; None if the kernel takes no part in carrying packets."
    )

    path = Attribute(
        "What will carry the packets of calls to come, and why, as L{IChannel.path}. After "
        "L{start} it depends on what this machine has, too."
    )

    def start() -> None:
        """
        Open devices and sockets, while the process still has its privileges.

        @raise pptpgw.error.PPTPGWError: the text says what is wrong and what to do.
        """

    def stop() -> Deferred[None] | None:
        """
        Close everything. This is called after every call has ended. Calling it again does nothing.

        @return: None, or a Deferred that fires when everything is closed.
        """

    def openChannel(call: ICall, owner: IChannelOwner, number: int = 0) -> IChannel:
        """
        Begin to carry the frames of a call that is set up, or about to be. A data path in Python
        asks the call for a channel (L{ICall.openChannel}); one that carries packets elsewhere looks
        at the call's own attributes.

        @param number: the number that the call's session will have
            (L{pptpgw.interfaces.ISession.number}), after which a device of its own is named; 0 if
            it will have none.
        @raise pptpgw.error.PPTPGWError: the data path can't carry the frames of this call.
        """


class IPathChoice(Interface):
    """
    A data path that decides for each call whether its packets pass through this process.
    """

    def keepHere(wanted: Callable[[ICall], bool]) -> Callable[[], None]:
        """
        Have calls to come that C{wanted} returns True for pass through this process, so that their
        packets can be captured.

        @return: a function that ends this.
        @raise pptpgw.error.NotCarried: no packets may pass through this process.
        """


class IDataPathFactory(IPlugin):
    """
    A plugin that makes the data path, chosen by C{[datapath] path}.
    """

    name = Attribute("The name by which the configuration chooses the data path.")
    description = Attribute("One line that says what the data path is, and its argument if any.")

    settings = Attribute("The type of its section, as for L{pptpgw.interfaces.INetworkFactory}.")

    def makeDataPath(argument: str, settings: Any, environment: IEnvironment) -> IDataPath:
        """
        Make the data path, without opening anything yet. A data path that provides
        L{twisted.application.service.IService} is started before its L{IDataPath.start} is called,
        and stopped after its L{IDataPath.stop}.

        @param argument: the text after C{NAME:} in the configuration.
        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the argument can't be used; the text says why.
        """
