"""
The ends to which an Access-Accept has a call passed on (RFC 2868).

The rules:

 - The attributes with the same tag describe one end. What has no tag is an end too.
 - An end needs a Tunnel-Server-Endpoint and a Tunnel-Type. A tag without Tunnel-Server-Endpoint
   describes no end: L{pptpgw.radius.permission} says what it means.
 - Ends that aren't reached by IPv4 (Tunnel-Medium-Type) are left out. If none is left, or an
   attribute can't be read or is there twice for one tag, the whole packet is refused.
 - Whether there is a tunnel of the type shows when the call is placed.
"""

from __future__ import annotations

from collections.abc import Iterable

from pptpgw.error import Malformed
from pptpgw.interfaces import Forward
from pptpgw.radius.packet import LAST_TAG, Reply

_IPV4 = 1
_LONGEST_SECRET = 128


def forwards(reply: Reply) -> tuple[Forward, ...]:
    """
    Return the ends to which C{reply} has the call passed on; none if PPP ends here.

    @raise Malformed: the call is to be passed on, and it can't be read where to.
    """
    endpoints = _texts(reply, "Tunnel-Server-Endpoint")
    if not endpoints:
        return ()
    types = _numbers(reply, "Tunnel-Type")
    media = _numbers(reply, "Tunnel-Medium-Type")
    preferences = _numbers(reply, "Tunnel-Preference")
    secrets = _single("Tunnel-Password", reply.revealedByTag("Tunnel-Password"))
    sources = _texts(reply, "Tunnel-Client-Endpoint")
    assignments = _texts(reply, "Tunnel-Assignment-Id")
    names = _texts(reply, "Tunnel-Client-Auth-Id")
    peerNames = _texts(reply, "Tunnel-Server-Auth-Id")
    found = []
    for tag, endpoint in endpoints.items():
        if tag not in types:
            raise Malformed(f"Tunnel-Server-Endpoint with tag {tag} has no Tunnel-Type")
        if len(secrets.get(tag, b"")) > _LONGEST_SECRET:
            raise Malformed(f"Tunnel-Password of more than {_LONGEST_SECRET} octets")
        if media.get(tag, _IPV4) == _IPV4:
            found.append(
                Forward(
                    types[tag],
                    endpoint,
                    secrets.get(tag, b""),
                    names.get(tag, ""),
                    peerNames.get(tag, ""),
                    sources.get(tag, ""),
                    assignments.get(tag, ""),
                    preferences.get(tag, 0),
                )
            )
    if not found:
        raise Malformed("no Tunnel-Server-Endpoint is reached by IPv4")
    return tuple(found)


def _single(name: str, values: Iterable[tuple[int, bytes]]) -> dict[int, bytes]:
    """
    Return the value for each tag.

    @raise Malformed: a tag has two.
    """
    found: dict[int, bytes] = {}
    for tag, value in values:
        if tag in found:
            raise Malformed(f"{name} is there twice for tag {tag}")
        found[tag] = value
    return found


def _numbers(reply: Reply, name: str) -> dict[int, int]:
    """
    Return the numbers of an attribute by tag. They have three octets (RFC 2868 section 3.1).
    """
    values = []
    for octets in reply.octets(name):
        if len(octets) != 4:
            raise Malformed(f"{name}: {len(octets)} octets, and not 4")
        values.append((octets[0] if octets[0] <= LAST_TAG else 0, octets[1:]))
    return {tag: int.from_bytes(one, "big") for tag, one in _single(name, values).items()}


def _texts(reply: Reply, name: str) -> dict[int, str]:
    """
    Return the texts of an attribute by tag. A first octet that is no tag belongs to the text (RFC
    2868 section 3.3).
    """
    values = []
    for octets in reply.octets(name):
        tagged = octets[:1] <= bytes((LAST_TAG,)) and octets != b""
        values.append((octets[0], octets[1:]) if tagged else (0, octets))
    found = {}
    for tag, octets in _single(name, values).items():
        try:
            text = octets.decode("utf-8")
        except ValueError as problem:
            raise Malformed(f"{name}: {problem}") from problem
        if not text.isprintable() or not text or (" " in text and name.endswith("Endpoint")):
            raise Malformed(f"{name} is no text that can be printed")
        found[tag] = text
    return found
