"""
The gateway as RADIUS sees it, a network access server (NAS), and the attributes by which a request
tells which NAS has which call.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

from pptpgw.config.configuration import Configuration
from pptpgw.interfaces import Caller, TunnelEnds, TunnelKind
from pptpgw.radius.packet import FRAMED, LONGEST_VALUE, Attributes, integer

# The value of Framed-Protocol for PPP (RFC 2865 section 5.7).
_PPP = 1
# The Tunnel-Medium-Type of IPv6 (RFC 2868 section 3.2).
_IPV6 = 2

SERVICE: Attributes = (
    ("Service-Type", integer(FRAMED)),
    ("Framed-Protocol", integer(_PPP)),
)
"""
The attributes of the service that every caller has: PPP.
"""


LONGEST_CONNECTION = 50
"""
The characters of Connect-Info that are sent: FreeRADIUS's table in MySQL had no more for a long
time, and refuses a record with a longer one.
"""


def connectInfo(tunnel: TunnelKind, encryption: str) -> Attributes:
    """
    Return Connect-Info (RFC 2869 section 5.11), which says what the connection is like: the tunnel
    and how it is encrypted, such as C{L2TP: IPsec ESP AES_CBC-256/HMAC_SHA1_96}.

    @param encryption: how it is encrypted, in words, of which those behind a comma are left out;
        empty if that isn't known yet.
    """
    words = ": ".join(filter(None, (tunnel.title, encryption.partition(",")[0])))
    return (("Connect-Info", words.encode()[:LONGEST_CONNECTION]),)


class NAS(NamedTuple):
    """
    The name and addresses of the gateway.

    @ivar identifier: the NAS-Identifier.
    @ivar addresses: the addresses that may be the NAS-IP-Address, the preferred one first; if there
        are none, the address that was called is used.
    """

    identifier: bytes
    addresses: tuple[IPv4Address, ...]

    @classmethod
    def of(cls, configuration: Configuration) -> NAS:
        """
        Return the name and addresses that C{configuration} gives the gateway.
        """
        radius = configuration.radius
        return cls(
            (radius.nasIdentifier or configuration.link.name).encode(),
            radius.nasAddress or configuration.listen.addresses,
        )

    def identity(self, called: str = "") -> Attributes:
        """
        Return the attributes that name the gateway.

        @param called: the address that was called, in text; empty if there is no call.
        """
        try:
            address = self.addresses[0] if self.addresses else IPv4Address(called)
        except ValueError:
            # The end of a line is no address.
            return (("NAS-Identifier", self.identifier),)
        return ("NAS-Identifier", self.identifier), ("NAS-IP-Address", address.packed)

    def call(self, caller: Caller) -> Attributes:
        """
        Return the attributes that name the gateway and describe a call, as far as they are known.
        Those of the tunnel are untagged (RFC 2868 section 3); there are none if the tunnel has no
        Tunnel-Type.
        """
        tunnel, stations = caller.tunnel, caller.stations
        address, called = caller.address, caller.called
        attributes = [
            *self.identity(caller.called),
            *SERVICE,
            ("Acct-Session-Id", caller.session.encode()),
            ("NAS-Port", integer(caller.port)),
            ("NAS-Port-Type", integer(tunnel.portType)),
            ("Calling-Station-Id", _text(stations.calling or address)),
            ("Called-Station-Id", _text(stations.called or called)),
            ("NAS-Port-Id", _text(stations.channel)),
        ]
        if tunnel.type:
            attributes += tunnelAttributes(caller.ends)
            attributes.append(("Tunnel-Private-Group-Id", _text(stations.group)))
        return [(name, value) for name, value in attributes if value]


def tunnelAttributes(ends: TunnelEnds, tag: int = 0) -> Attributes:
    """
    Return the attributes that describe a tunnel (RFC 2868).

    @param tag: what tells this tunnel from others in the same packet; 0 for no tag.
    """
    before = bytes((tag,)) if tag else b""
    medium = _IPV6 if ":" in ends.client else ends.kind.medium
    texts = {
        "Tunnel-Client-Endpoint": ends.client,
        "Tunnel-Server-Endpoint": ends.server,
        "Tunnel-Client-Auth-Id": ends.clientName,
        "Tunnel-Server-Auth-Id": ends.serverName,
        "Tunnel-Assignment-Id": ends.assignment,
    }
    return (
        ("Tunnel-Type", integer(tag << 24 | ends.kind.type)),
        ("Tunnel-Medium-Type", integer(tag << 24 | medium)),
        *((name, before + _text(text)) for name, text in texts.items() if text),
    )


def _text(text: str) -> bytes:
    """
    Return the octets of a text, which may get a tag before it.
    """
    return text.encode("utf-8", "surrogateescape")[: LONGEST_VALUE - 1]
