"""
Data paths of the whole gateway.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Any

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from pptpgw.interfaces.channel import IChannel, IChannelOwner
from pptpgw.interfaces.environment import IEnvironment
from pptpgw.interfaces.tunnel import ICall


class IKernelInterface(Interface):
    """
    The interface by which a data path's own network reaches the kernel of this machine.
    """

    name = Attribute("Its name, as C{ip link} shows it.")

    def addAddress(address: IPv4Interface | IPv6Interface) -> None:
        """
        Give the interface an address, which is removed with it.

        @raise pptpgw.error.PPTPGWError: the kernel refuses; the text says why.
        """

    def addRoute(network: IPv4Network | IPv6Network) -> None:
        """
        Route C{network} to the interface, unless a wider route leads there already. Each call is
        undone by one call of L{removeRoute}, or with the interface.

        @raise pptpgw.error.PPTPGWError: the kernel refuses; the text says why.
        """

    def removeRoute(network: IPv4Network | IPv6Network) -> None:
        """
        Undo one call of L{addRoute}, if there was one.
        """


class IDataPath(Interface):
    """
    The data path of the whole gateway, which carries packets between calls and networks.

    A data path that also provides L{pptpgw.interfaces.ISessionObserver} is told of sessions, as
    observers are.
    """

    counters = Attribute("The L{pptpgw.counting.counters.Counters} of what belongs to no call.")
    interface = Attribute("The L{IKernelInterface}; None where no kernel takes part.")

    def start() -> None:
        """
        Open the devices and sockets that it needs, while the process has its privileges.

        @raise pptpgw.error.PPTPGWError: the text says what is wrong and what to do.
        """

    def stop() -> Deferred[None] | None:
        """
        Close everything, after every call has ended. Calling this again does nothing.

        @return: None, or a Deferred that fires when everything is closed.
        """

    def openChannel(call: ICall, owner: IChannelOwner) -> IChannel:
        """
        Begin to carry the frames of a call that is set up, or about to be. A data path in Python
        asks the call for its channel (L{ICall.openChannel}); another one looks at what the call is.

        @raise pptpgw.error.PPTPGWError: it can't carry the frames of this call.
        """


class IDataPathFactory(IPlugin):
    """
    A plugin that makes the data path, chosen by C{[plugins] data-path}.
    """

    name = Attribute("What it is chosen by.")
    description = Attribute("One line on what it is, and on its argument where it takes one.")

    settings = Attribute("The type of its section, as for L{pptpgw.interfaces.INetworkFactory}.")

    def makeDataPath(argument: str, settings: Any, environment: IEnvironment) -> IDataPath:
        """
        Make the data path; nothing is opened yet. A data path that provides
        L{twisted.application.service.IService} is started before its L{IDataPath.start} is called,
        and stopped after its L{IDataPath.stop}.

        @param argument: what stands behind C{NAME:} in the configuration.
        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the argument is of no use; the text says why.
        """
