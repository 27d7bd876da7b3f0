"""
Session observers, and the plugins that make them.
"""

from __future__ import annotations

from typing import Any

from twisted.plugin import IPlugin
from zope.interface import Attribute

from pptpgw.interfaces.environment import IEnvironment
from pptpgw.interfaces.session import ISessionObserver


class ISessionObserverFactory(IPlugin):
    """
    A plugin that makes a session observer, chosen by C{[plugins] observers}.
    """

    name = Attribute("The name by which the configuration chooses the observer.")
    description = Attribute("One line that says what the observer is, and its argument if any.")

    settings = Attribute("The type of its section, as for L{pptpgw.interfaces.INetworkFactory}.")

    def makeObserver(argument: str, settings: Any, environment: IEnvironment) -> ISessionObserver:
        """
        Make the observer, without opening anything yet. An observer that provides
        L{twisted.application.service.IService} is started and stopped with the gateway.

        @param argument: the text after C{NAME:} in the configuration.
        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the argument can't be used; the text says why.
        """
