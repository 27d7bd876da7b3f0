"""
The interface between the RADIUS client and its transports, and the exceptions of a transport.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from pptpgw.error import Unavailable
from pptpgw.radius.packet import RADIUSRequest, Reply
from pptpgw.radius.servers import Server

Fill = Callable[[RADIUSRequest], None]
"""
A function that adds the attributes to a request. It is called once for each server that is asked,
since values encrypted with the shared secret differ from server to server.
"""


class RADIUSService(Enum):
    """
    The two services of a RADIUS server.
    """

    AUTHENTICATION = "authentication"
    ACCOUNTING = "accounting"


class Unanswered(Unavailable):
    """
    One server, or every server that could be asked, did not answer in time.
    """


class Gone(Unanswered):
    """
    The server's host reports that nobody listens on the port.
    """


class ITransport(Interface):
    """
    The transport of requests to one server. It verifies each reply: one that is malformed or not
    the server's is counted in the client's counters and silently discarded, as if it had not come.
    """

    server = Attribute("The L{Server} it leads to.")
    free = Attribute("How many more requests it can carry now.")
    heard = Attribute("When, by the client's clock, the last sure reply came; None: never.")

    def ask(code: int, fill: Fill) -> Deferred[Reply]:
        """
        Send a request with this code, and retransmit it where the transport may lose packets, until
        there is a reply. Call this only while L{free} isn't 0.

        @return: fires with the L{Reply}; fails with L{Unanswered} if the transport has given up,
            and with L{Gone} if it knows that nobody is there. Cancelling it frees the request's
            place, and fails it with C{CancelledError}.
        """

    def stop() -> None:
        """
        Close all ports and connections; requests without a reply fail with L{Unanswered}. L{ask}
        opens them again.
        """


TransportFactory = Callable[[Server, RADIUSService], ITransport]
"""
A function that makes the transport to a server. A transport that serves both services on one
connection returns the same object for both.
"""
