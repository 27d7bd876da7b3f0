"""
What objects that the reactor reads by have in common.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReadDescriptor)
class Reader(ABC):
    """
    A descriptor that is closed by its owner alone.

    @cvar kind: what is read, in a word for the log.
    """

    kind: ClassVar[str]

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    @abstractmethod
    def fileno(self) -> int:
        """
        See L{twisted.internet.interfaces.IFileDescriptor.fileno}.
        """

    @abstractmethod
    def doRead(self) -> None:
        """
        See L{twisted.internet.interfaces.IReadDescriptor.doRead}.
        """

    def logPrefix(self) -> str:
        """
        See L{twisted.internet.interfaces.ILoggingContext.logPrefix}.
        """
        return self.kind

    def connectionLost(self, reason: Failure) -> None:
        """
        Read no more, since the reactor gave the descriptor up or is stopping.
        """
        self._reactor.removeReader(self)
