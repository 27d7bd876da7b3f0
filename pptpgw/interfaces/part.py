"""
Optional interfaces that the parts of a gateway may provide, whatever their kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zope.interface import Attribute, Interface


class IHealth(Interface):
    """
    A data path, network or observer that may lose something it needs while the gateway runs, such
    as a device that another program deletes.
    """

    fault = Attribute(
        "Why the part can't serve at present, in words for the log; empty if it can. The gateway "
        "takes no calls while this isn't empty."
    )


class IPreparable(Interface):
    """
    A network, data path or session observer that can say in advance whether it could start.
    C{--check-config} uses this.
    """

    def lacking() -> Iterable[str]:
        """
        Return what is missing for a start, one line each, which names the configuration key and
        says what to do. This changes nothing, and leaves nothing open.
        """


class ISized(Interface):
    """
    A network whose packets have one size until a restart, since a device with one MTU carries those
    of all sessions. C{[link] mru} can't change meanwhile. Networks that don't provide
    L{IReloadable} are taken for such networks, too.
    """


class IReloadable(Interface):
    """
    A part whose section of the configuration may change while the part runs.
    """

    def judge(settings: Any) -> Mapping[str, str]:
        """
        Check whether C{settings} can be used, without changing anything.

        @return: the attributes whose changes need a restart, each with the reason in words that go
            on after "needs a restart: ".
        @raise pptpgw.error.ConfigurationError: the settings can't be used; the text says why.
        """

    def reload(settings: Any) -> None:
        """
        Apply C{settings}, of the same type as before, which L{judge} has permitted. Attributes that
        need a restart have their old values. Sessions continue. This raises nothing, unless it has
        a bug: then the whole reload has failed, and this is called again with the old settings.
        """
