"""
TCP connections that send at once.

Twisted's transports keep what is written until the next turn of the reactor, which has to ask the
kernel whether the socket takes octets. That costs three more system calls for each answer, and a
turn of the reactor. A few octets nearly always fit into the socket at once.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort, IWriteDescriptor


class PromptServer(tcp.Server):
    """
    The server's end of a TCP connection. What is written is sent at once as far as the socket takes
    it, and the rest in later turns of the reactor.
    """

    # Whether the transport would begin to wait for the socket because of a call of L{write}, and
    # whether it found then that nothing is left to wait for.
    _writes = False
    _allSent = False

    def write(self, data: bytes) -> None:
        """
        See L{twisted.internet.interfaces.ITransport.write}.
        """
        # A connection that is being closed is closed by the reactor, once all is sent.
        self._writes = not self.disconnecting
        cast(Any, super()).write(data)
        self._writes = False

    def startWriting(self) -> None:
        """
        See L{twisted.internet.abstract.FileDescriptor.startWriting}.
        """
        if self._writes:
            self._writes = self._allSent = False
            # A failure is found again, and handled, by the reactor.
            cast(IWriteDescriptor, self).doWrite()
            if self._allSent:
                return
        cast(Any, super()).startWriting()

    def stopWriting(self) -> None:
        """
        See L{twisted.internet.abstract.FileDescriptor.stopWriting}.
        """
        self._allSent = True
        cast(Any, super()).stopWriting()


def sendAtOnce(port: IListeningPort) -> None:
    """
    Have the connections that C{port} accepts send at once, if it is a TCP port.
    """
    if isinstance(port, tcp.Port):
        port.transport = PromptServer
