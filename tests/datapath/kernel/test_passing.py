"""
Tests for L{pptpgw.datapath.kernel.passing}, with programs that this machine's kernel runs.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pptpgw.datapath.kernel.judging import judging
from pptpgw.datapath.kernel.passing import passing
from pptpgw.datapath.source import Sources
from pptpgw.interfaces import Attachment
from pptpgw.ports import bpf
from pptpgw.ports.bpf import Assembled
from pptpgw.ppp.wire.ppp import IPV4, IPV6
from tests.ports.bpfkernel import kept

RECEIVED, SENT = 0, 1
DROP = (bpf.here("drop"), bpf.result(bpf.DROP))
NETWORKS4 = [IPv4Network(one) for one in ("10.77.0.10", "10.0.0.0/8", "192.0.2.0/25", "0.0.0.0/0")]
NETWORKS6 = [IPv6Network(one) for one in ("2001:db8:1::/64", "2001:db8::/29", "fc00::1", "::/0")]
SOURCES4 = ["10.77.0.10", "10.77.0.11", "192.0.2.127", "192.0.2.128", "9.255.255.255", "11.0.0.0"]
SOURCES6 = ["2001:db8:1::5", "2001:db8:2::5", "2001:dc0::1", "fc00::1", "fc00::2", "fe80::1"]


def isKept(
    attachments: dict[int, Attachment], direction: int, protocol: int, packet: bytes
) -> bool:
    octets = bytes((direction, 0)) + protocol.to_bytes(2, "big") + packet
    (found,) = kept(Assembled(passing(attachments), judging(None)), [octets])
    return found


def test_onlyDecrypted() -> None:
    """
    Where packets must have been encrypted, those are dropped that are as they came in. The kernel
    has made a decrypted packet itself, like one from a socket of the family AF_UNIX.
    """
    program = Assembled(
        passing({IPV4: Attachment(tuple(NETWORKS4[3:]), mtu=1400)}, True), judging(None)
    )
    octets = bytes((RECEIVED, 0)) + IPV4.to_bytes(2, "big") + ipv4(bytes((10, 77, 0, 10)))
    assert list(kept(program, [octets])) == [True]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        # What a datagram begins with, which the program sees, are its ports.
        datagram = Assembled(
            (bpf.etherType(), bpf.equal(0, no="drop"), bpf.result(bpf.KEEP), *DROP)
        )
        datagram.attach(one)
        one.sendto(b"x", one.getsockname())
        one.settimeout(0.2)
        with pytest.raises(TimeoutError):
            one.recv(10)


def ipv4(source: bytes) -> bytes:
    return bytes((0x45, *bytes(11))) + source + bytes((198, 51, 100, 2))


def ipv6(source: bytes, destination: bytes) -> bytes:
    return bytes((0x60, *bytes(7))) + source + destination


addresses4 = st.one_of(
    st.sampled_from(SOURCES4).map(lambda one: IPv4Network(one).network_address.packed),
    st.binary(min_size=4, max_size=4),
)
NOBODY: Any = None
"""
The peer where there are no routes.
"""

addresses6 = st.one_of(
    st.sampled_from(SOURCES6).map(lambda one: IPv6Network(one).network_address.packed),
    st.binary(min_size=16, max_size=16),
)


@given(st.lists(st.sampled_from(NETWORKS4), max_size=6), addresses4)
@settings(deadline=None)
def test_ipv4(networks: list[IPv4Network], source: bytes) -> None:
    """
    The kernel permits the sources that this process would.
    """
    attachment = Attachment(tuple(networks))
    permitted = Sources(attachment, IPv4Network, None).permit(source, NOBODY)
    assert isKept({IPV4: attachment}, RECEIVED, IPV4, ipv4(source)) == permitted
    assert isKept({IPV4: attachment}, SENT, IPV4, ipv4(source))


@given(st.lists(st.sampled_from(NETWORKS6), max_size=6), addresses6, addresses6)
@settings(deadline=None)
def test_ipv6(networks: list[IPv6Network], source: bytes, destination: bytes) -> None:
    attachment = Attachment(tuple(networks))
    permitted = Sources(attachment, IPv6Network, None).permit(source, NOBODY)
    isLocal = destination[0] == 0xFF or (destination[0] == 0xFE and destination[1] & 0xC0 == 0x80)
    packet = ipv6(source, destination)
    # What passes on the link itself is for L{test_linklocal} to say: this isn't among it.
    assert isKept({IPV6: attachment}, RECEIVED, IPV6, packet) == (permitted and not isLocal)


def test_protocolsThatAreNotOpen() -> None:
    """
    A protocol that isn't open doesn't pass, nor does one that the kernel doesn't carry, nor a
    packet that is cut short.
    """
    every4, every6 = Attachment((NETWORKS4[-1],)), Attachment((NETWORKS6[-1],))
    packet4, packet6 = ipv4(bytes(4)), ipv6(bytes(16), bytes(16))
    local = ipv6(bytes(16), b"\xff" + bytes(15))
    assert isKept({IPV4: every4, IPV6: every6}, RECEIVED, IPV4, packet4)
    assert isKept({IPV4: every4, IPV6: every6}, RECEIVED, IPV6, packet6)
    assert not isKept({IPV6: every6}, RECEIVED, IPV4, packet4)
    assert not isKept({IPV4: every4}, RECEIVED, IPV6, packet6)
    assert not isKept({IPV4: every4}, RECEIVED, IPV6, local)
    assert not isKept({IPV4: every4}, RECEIVED, 0x002B, packet4)
    assert not isKept({IPV4: Attachment((NETWORKS4[0],))}, RECEIVED, IPV4, packet4[:15])


@pytest.mark.parametrize("isHost", [False, True])
@pytest.mark.parametrize("direction", [RECEIVED, SENT])
def test_theRolesOfALink(isHost: bool, direction: int) -> None:
    """
    Of what concerns the link alone that passes which the peer may send in its role, and which this
    end may send in its: only a router advertises, and DHCPv6 has a port for each.
    """
    attachments = {IPV6: Attachment((NETWORKS6[0],), isHost=isHost)}
    here, there = (IPv6Network(one).network_address.packed for one in ("fe80::1", "fe80::2"))
    head = bytearray(ipv6(there, here) if direction == RECEIVED else ipv6(here, there))
    fromRouter = isHost is (direction == RECEIVED)
    for number, expected in (
        (133, not fromRouter),
        (134, fromRouter),
        (135, True),
        (128, True),
        (1, direction == RECEIVED or not isHost),
        (137, direction == SENT and not isHost),
    ):
        # Whatever this end sends as the router is its own.
        own = direction == SENT and not isHost
        head[6] = 58
        packet = bytes(head) + bytes((number, 0))
        assert isKept(attachments, direction, IPV6, packet) is (expected or own), number
    head[6] = 17
    for source, destination in ((546, 547), (547, 546)):
        ports = source.to_bytes(2, "big") + destination.to_bytes(2, "big")
        packet = bytes(head) + ports + bytes(4)
        assert isKept(attachments, direction, IPV6, packet) is ((source == 547) is fromRouter)
