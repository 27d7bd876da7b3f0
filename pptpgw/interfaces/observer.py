"""
Session observers as plugins.
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

    name = Attribute("What it is chosen by.")
    description = Attribute("One line on what it is, and on its argument where it takes one.")

    settings = Attribute("The type of its section, as for L{pptpgw.interfaces.INetworkFactory}.")

    def makeObserver(argument: str, settings: Any, environment: IEnvironment) -> ISessionObserver:
        """
        Make the observer; nothing is opened yet. An observer that provides
        L{twisted.application.service.IService} is started and stopped with the gateway.

        @param argument: what stands behind C{NAME:} in the configuration.
        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the argument is of no use; the text says why.
        """
