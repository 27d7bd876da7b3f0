"""
Calls that are placed over lines: those that the gateway dials, and those that are passed on, from a
PNS that asks for a telephone number to be dialled, for example (RFC 2637 section 2.7).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure

from pptpgw.error import CallError, PPTPGWError
from pptpgw.interfaces import Forward, ICall, ICallOwner, IDiallingCall, Negotiated
from pptpgw.tunnels.concentrator import Leg
from pptpgw.tunnels.hdlc.chat import parseChat
from pptpgw.tunnels.hdlc.client import ChatEndpoint, HDLCClientFactory

Open = Callable[[Any, str], IStreamClientEndpoint]

_NUMBER = re.compile(r"[0-9A-Za-z*#+,.()/-]{0,64}")
"""
Telephone numbers. A modem takes other characters for commands.
"""


class Dialler:
    """
    The lines by which calls are placed.

    @ivar chat: the chat script that is run on each line first; empty for none.
    @ivar accm: the ACCM of lines.
    """

    def __init__(self, reactor: Any, chat: str, accm: int, open: Open = clientFromString) -> None:
        """
        @param open: makes the endpoint that a string describes.
        """
        self.chat = chat
        self.accm = accm
        self._reactor = reactor
        self._open = open
        self._legs: dict[Leg, HDLCClientFactory] = {}

    def place(
        self, forward: Forward, negotiated: Negotiated, caller: ICall, owner: ICallOwner
    ) -> Deferred[ICall]:
        """
        See L{pptpgw.interfaces.IForwarder.place}.

        @raise CallError: C{forward} describes no line, or the caller asks for a number that is
            none.
        """
        number = IDiallingCall(caller).number if IDiallingCall.providedBy(caller) else ""
        return self._place(forward, number, Leg(negotiated, caller, owner, self._over))

    def dial(self, end: Forward, owner: ICallOwner) -> Deferred[ICall]:
        """
        See L{pptpgw.interfaces.IDialler.dial}.

        @raise CallError: C{end} describes no line, or its number is none.
        """
        return self._place(end, end.number, Leg(Negotiated(), None, owner, self._over))

    def _place(self, forward: Forward, number: str, leg: Leg) -> Deferred[ICall]:
        if not _NUMBER.fullmatch(number):
            raise CallError(f"{number!a} is no telephone number")
        try:
            endpoint = self._open(self._reactor, forward.endpoint)
        except (ValueError, TypeError) as error:
            raise CallError(f"{forward.endpoint!a} describes no line: {error}") from error
        if self.chat:
            script = parseChat(self.chat, number)
            endpoint = ChatEndpoint(self._reactor, endpoint, script)
        self._legs[leg] = factory = HDLCClientFactory(self._reactor, leg, self.accm)
        connecting: Deferred[Any] = endpoint.connect(factory)
        connecting.addErrback(self._failed, leg)
        leg.placed.addErrback(self._givenUp, connecting, factory)
        return leg.placed

    def stop(self) -> None:
        """
        Disconnect at once every line by which a call was or is being placed.
        """
        for factory in tuple(self._legs.values()):
            factory.abort()

    def _failed(self, failure: Failure, leg: Leg) -> None:
        failure.trap(PPTPGWError, ConnectError, OSError, ValueError, CancelledError)
        self._over(leg)
        leg.failed(failure.getErrorMessage())

    def _givenUp(
        self, failure: Failure, connecting: Deferred[Any], factory: HDLCClientFactory
    ) -> Failure:
        connecting.cancel()
        factory.abort()
        return failure

    def _over(self, leg: Leg) -> None:
        self._legs.pop(leg, None)
