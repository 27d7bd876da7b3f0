"""
What the client asks of a way to a server, and how that can fail.
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
Puts the attributes into a request that is made for one server. It is called once for each server
that is asked, since what is hidden under the shared secret is another for each.
"""


class RADIUSService(Enum):
    """
    What a server is asked for.
    """

    AUTHENTICATION = "authentication"
    ACCOUNTING = "accounting"


class Unanswered(Unavailable):
    """
    One server, or every server that could be asked, did not answer in time.
    """


class Gone(Unanswered):
    """
    Nobody is there who could answer.
    """


class ITransport(Interface):
    """
    The way to one server, over which requests and replies go. It makes each reply sure before it
    gives it: what is malformed or not the server's is counted in the client's counters and silently
    discarded, as if it had not come.
    """

    server = Attribute("The L{Server} it leads to.")
    free = Attribute("How many more requests it can carry now.")
    heard = Attribute("When, by the client's clock, the last sure reply came; None: never.")

    def ask(code: int, fill: Fill) -> Deferred[Reply]:
        """
        Send a request of this code, again where the transport loses packets, until there is a
        reply.

        Fails with L{Unanswered} where the transport has given up, with L{Gone} where it knows why;
        never call it where nothing is free. Cancelling the Deferred frees its place, and fails it
        with C{CancelledError}.
        """

    def stop() -> None:
        """
        Close everything; what is under way fails with L{Unanswered}. C{ask} begins anew.
        """


TransportFactory = Callable[[Server, RADIUSService], ITransport]
"""
Makes the way to a server. A transport that serves both services on one connection returns the same
object for both.
"""
