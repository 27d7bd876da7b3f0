"""
The ids that we assign to control connections and calls.

Somebody who doesn't see the packets of a connection must guess both ids to send something that
belongs to it, so they are drawn at random.
"""

from __future__ import annotations

import secrets
from collections.abc import Container
from typing import NamedTuple


class SessionIDs(NamedTuple):
    """
    The ids of one call at both of its ends.

    @ivar tunnel: the id that we assigned to its control connection, which is in the messages that
        we receive.
    @ivar call: the id that we assigned to the call.
    @ivar peerTunnel: the id that the peer assigned to the control connection.
    @ivar peerCall: the id that the peer assigned to the call.
    """

    tunnel: int
    call: int
    peerTunnel: int
    peerCall: int


def unused(taken: Container[int]) -> int:
    """
    Return a random id that isn't among C{taken}, which must have fewer than half of all ids.
    """
    while True:
        drawn = 1 + secrets.randbelow(0xFFFF)
        if drawn not in taken:
            return drawn
