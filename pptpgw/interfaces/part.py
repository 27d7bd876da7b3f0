"""
What every part of the gateway may provide besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from zope.interface import Attribute, Interface


class IHealth(Interface):
    """
    Provided by a data path, network or observer that may lose something it needs while the gateway
    runs, such as a device that another program deletes.
    """

    fault = Attribute(
        "Why it can't serve at present, in words, for the log; empty if it can. The gateway takes "
        "no calls while this isn't empty."
    )


class IPreparable(Interface):
    """
    A network, data path or session observer that can say in advance whether it could start.
    C{--check-config} asks it.
    """

    def lacking() -> Iterable[str]:
        """
        Say what is missing for a start, one line each, which names the configuration key and says
        what to do. This changes nothing, and leaves nothing open.
        """


class IReloadable(Interface):
    """
    A network whose section of the configuration may change while it runs.
    """

    def judge(settings: Any) -> None:
        """
        Say whether C{settings} can be used, and change nothing.

        @raise pptpgw.error.ConfigurationError: they can't; the text says why.
        """

    def reload(settings: Any) -> Sequence[str]:
        """
        Apply C{settings}, of the same type as before; sessions stay.

        @return: the keys, as the file names them, whose changes need a restart.
        """
