"""
TCP connections that send at once.

Twisted's transports keep what is written until the next turn of the reactor, which has to ask the
kernel whether the socket takes octets. That costs three more system calls for each answer, and a
turn of the reactor. A few octets nearly always fit into the socket at once.
"""

from __future__ import annotations

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort


class PromptServer(tcp.Server):
    """
    The server's end of a TCP connection. What is written is sent at once as far as the socket takes
    it, if nothing else waits to be sent, and the rest in later turns of the reactor.
    """

    def write(self, data: bytes) -> None:
        """
        See L{twisted.internet.interfaces.ITransport.write}.
        """
        waiting = self._tempDataBuffer or len(self.dataBuffer) > self.offset
        if self.connected and not (waiting or self.disconnecting or self.TLS):
            sent = self.writeSomeData(data)
            # A failure is found again, and handled, when the rest is sent.
            data = data[sent:] if isinstance(sent, int) else data
        if data:
            super().write(data)  # type: ignore[no-untyped-call]


def sendAtOnce(port: IListeningPort) -> None:
    """
    Have the connections that C{port} accepts send at once, if it is a TCP port.
    """
    if isinstance(port, tcp.Port):
        port.transport = PromptServer
