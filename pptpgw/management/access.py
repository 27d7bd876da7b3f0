"""
Who makes a request.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.web.http import Request

from pptpgw.management.operation import Operator, OperatorRole
from pptpgw.management.problem import Problem
from pptpgw.ports.unixsocket import peerUser


def operatorOf(request: Request) -> Operator:
    """
    Return who makes C{request}. Whoever may open the Unix socket is an administrator, whose name in
    the audit is the user ID.

    @raise Problem: nobody who is known.
    """
    channel: Any = request.channel
    if isinstance(channel.transport.getHost(), UNIXAddress):
        user = peerUser(channel.transport)
        return Operator("local" if user is None else f"uid {user}", OperatorRole.ADMIN)
    raise Problem(
        HTTPStatus.UNAUTHORIZED, "the management interface is open on its Unix socket alone"
    )
