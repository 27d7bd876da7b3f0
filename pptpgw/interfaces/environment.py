"""
The environment that plugins of every kind are given.
"""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface


class IEnvironment(Interface):
    """
    The gateway as its plugins see it. All plugins of one gateway are given the same environment.
    """

    reactor = Attribute("The reactor, with a monotonic clock.")
    configuration = Attribute(
        "The whole L{pptpgw.config.configuration.Configuration} in force. A reload replaces it, so "
        "parts that can follow read it when they need it."
    )
    counters = Attribute(
        "The L{pptpgw.counting.counters.Counters} of everything that belongs to no session."
    )
    sessions = Attribute(
        "The current sessions, an L{pptpgw.interfaces.ISessions}, which observers can be added to."
    )
    radius = Attribute(
        "The L{pptpgw.radius.client.RADIUSClient} that asks the servers of C{[radius]}; None if "
        "there are none."
    )
    store = Attribute(
        "The L{pptpgw.store.interface.IStore} that keeps sessions: C{[audit] store}, or that of "
        "the first checker that has one; None if there is none, and before the checkers are "
        "configured."
    )
    mru = Attribute("The largest packet, in octets, that may be sent to a caller: [link] mru.")
    interface = Attribute(
        "The data path's L{IKernelInterface}; None if it has none, and before the data path exists."
    )
    addresses = Attribute(
        "The addresses that callers dial, a tuple of IPv4Address: [listen] addresses."
    )

    def settings(plugin: Any) -> Any:
        """
        Return the section of C{plugin} as an instance of its C{settings}, with the defaults if the
        file has no such section. This is for a plugin that chooses other plugins, as IPv4 chooses
        an address pool.

        @param plugin: an object with the attributes C{name} and C{settings}.
        @raise pptpgw.error.ConfigurationError: the section belongs to a plugin of another kind.
        """
