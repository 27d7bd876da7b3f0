"""
The tunnels that an Access-Accept permits its user (RFC 2868 section 3.1).

The rules:

 - Tunnel-Type says by which tunnels the user may call, if it is there. A user who has called by
   none of them is refused.
 - A tunnel that has a Tunnel-Server-Endpoint, by its tag, is one that the call is to be passed on
   by, and permits nothing here.
 - VLAN isn't a tunnel that callers come by: servers send it for switch ports (RFC 3580 section
   3.31), and to other clients by habit.
"""

from __future__ import annotations

from dataclasses import replace

from pptpgw.error import Malformed
from pptpgw.interfaces import Caller
from pptpgw.radius.packet import LAST_TAG, RADIUSPacket
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.session import UNKNOWN

_VLAN = 13


def permitting(reply: RADIUSPacket, profile: Profile, caller: Caller | None) -> Profile:
    """
    Return C{profile} with the tunnels that C{reply} permits.

    @param caller: the caller whom C{reply} is about; None if it isn't known how it calls.
    @raise Malformed: a Tunnel-Type can't be read.
    """
    passedOn = {_tagOf(one) for one in reply.octets("Tunnel-Server-Endpoint")}
    types = set()
    for octets in reply.octets("Tunnel-Type"):
        if len(octets) != 4:
            raise Malformed(f"Tunnel-Type: {len(octets)} octets, and not 4")
        if octets[0] not in passedOn:
            types.add(int.from_bytes(octets[1:], "big"))
    types.discard(_VLAN)
    if caller is None or caller.tunnel == UNKNOWN or not types:
        return profile
    isPermitted = caller.tunnel.type in types
    return replace(profile, tunnels=frozenset((caller.tunnel.name,) if isPermitted else ()))


def _tagOf(text: bytes) -> int:
    """
    Return the tag of a text; 0 if it has none.
    """
    return text[0] if text and text[0] <= LAST_TAG else 0
