"""
The MPPE keys in an Access-Accept (RFC 2548 section 2.4).
"""

from __future__ import annotations

from pptpgw.error import Malformed
from pptpgw.interfaces import IKeys
from pptpgw.ppp import mppe
from pptpgw.radius.packet import Reply

_LONG = 16
_SHORT = 8


def startKeys(reply: Reply) -> IKeys | None:
    """
    Return the keys of MS-CHAPv2 and of EAP: MS-MPPE-Send-Key, for what we send, and
    MS-MPPE-Recv-Key. MPPE takes the first 16 octets of EAP's keys, which have 32 (RFC 3079 section
    4), and the first 8 of either for 40 and 56 bits.

    @return: None if the reply has no keys.
    @raise Malformed: a key is missing, too short, or encrypted with another secret.
    """
    send = reply.revealed("MS-MPPE-Send-Key")
    receive = reply.revealed("MS-MPPE-Recv-Key")
    if not send and not receive:
        return None
    if len(send) != 1 or len(receive) != 1:
        raise Malformed("there must be a key for each direction")
    if min(len(send[0]), len(receive[0])) < _LONG:
        raise Malformed(f"keys of {len(send[0])} and {len(receive[0])} octets, {_LONG} are needed")
    ours, theirs = send[0][:_LONG], receive[0][:_LONG]
    bindings = mppe.bindingKeys(receive[0], send[0])
    return mppe.StartKeys(ours, theirs, ours[:_SHORT], theirs[:_SHORT], bindings)


def mschapKeys(reply: Reply, challenge: bytes) -> IKeys | None:
    """
    Return the keys of MS-CHAPv1. MS-CHAP-MPPE-Keys holds 8 octets of the LAN Manager hash, which
    are zeros if the server has none, and 16 octets of the hash of the NT hash.

    @param challenge: the challenge that was answered, 8 octets.
    @return: None if the reply has no keys.
    @raise Malformed: the attribute has another length.
    """
    keys = reply.revealedPlainly("MS-CHAP-MPPE-Keys")
    if not keys:
        return None
    if len(keys) > 1 or len(keys[0]) != 32:
        raise Malformed("MS-CHAP-MPPE-Keys must be there once, in 32 octets")
    short, hashHash = keys[0][:_SHORT], keys[0][_SHORT : _SHORT + _LONG]
    return mppe.mschapKeys(short if any(short) else None, hashHash, challenge)
