"""
Tests for L{pptpgw.ports.cleartext}, with the real kernel in a network namespace; C{tests/lab} has
IPsec too. Run as a program (C{python -m tests.ports.test_cleartext refusing}), this is in one.
"""

from __future__ import annotations

import errno
import select
import socket
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from pptpgw.error import NotPermitted
from pptpgw.ports.cleartext import Cleartext, lackingPolicies
from pptpgw.ports.rtnetlink import KernelLink
from pptpgw.ports.upkeep import SOON
from tests.lab.peers import run
from tests.ports.namespace import Readers, inNamespace

KEY = '[l2tp] clear = "refuse"'
HERE, THERE = ("127.0.0.1", 1701), ("127.0.0.2", 1701)


class Reactor(Readers):
    """
    A reactor whose readers are asked when the test says so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: object) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        self.readers.remove(reader)

    def read(self) -> None:
        """
        Have readers read what is there.
        """
        for one in select.select(self.readers, [], [], 5)[0]:
            one.doRead()


def passes(address: tuple[str, int] = HERE) -> bool:
    """
    Return whether a datagram in clear comes to the port, and one leaves from it.
    """
    results = []
    for inward in (True, False):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        ):
            ours.bind(address)
            other.bind(("127.0.0.1", 0))
            sender, receiver = (other, ours) if inward else (ours, other)
            try:
                sender.sendto(b"clear", receiver.getsockname())
                results.append(bool(select.select([receiver], [], [], 0.2)[0]))
            except PermissionError:
                results.append(False)
    assert results[0] == results[1]
    return results[0]


def refusing() -> None:
    """
    Nothing passes in clear, whatever another program does, and everything does afterwards.
    """
    run("ip", "link", "set", "lo", "up")
    for switch in ("disable_xfrm", "disable_policy"):
        Path(f"/proc/sys/net/ipv4/conf/lo/{switch}").write_text("0")
    reactor = Reactor()
    every = Cleartext(reactor, 1701, (), KEY)
    every.accept()
    assert passes()
    every.refuse()
    every.refuse()
    assert not passes() and passes(("127.0.0.1", 1702))
    listed = run("ip", "xfrm", "policy")
    assert listed.count("action block") == 2, listed
    for taken in (
        ["flush"],
        ["delete", "src", "0.0.0.0/0", "dst", "0.0.0.0/0", "proto", "udp", "dport", "1701"],
    ):
        direction = ["dir", "in"] if taken[0] == "delete" else []
        run("ip", "xfrm", "policy", *taken, *direction)
        reactor.read()
        reactor.advance(SOON)
        assert not passes() and every.fault == ""
        reactor.advance(100)
    # Our own changes are no loss.
    reactor.read()
    reactor.advance(100)
    # A run that was killed leaves them, and the next one replaces or removes them.
    later = Cleartext(Reactor(), 1701, (), KEY)
    later.refuse()
    assert not passes()
    later.accept()
    every.accept()
    assert passes() and not reactor.readers and "block" not in run("ip", "xfrm", "policy")
    inward = Cleartext(reactor, 1701, (), KEY, outward=False)
    inward.refuse()
    assert run("ip", "xfrm", "policy").count("action block") == 1
    inward.accept()
    one = Cleartext(reactor, 1701, [IPv4Address("127.0.0.2")], KEY)
    one.refuse()
    assert passes() and not passes(THERE)
    one.accept()
    assert lackingPolicies() == ""


def test_refusing() -> None:
    if why := lackingPolicies():
        pytest.skip(why)
    inNamespace("refusing", module="tests.ports.test_cleartext")


class NoKernel:
    """
    A kernel that refuses everything.
    """

    port = 1

    def ask(self, requests: Sequence[bytes]) -> list[int]:
        return [errno.EPERM] * len(requests)

    def link(self, name: str) -> KernelLink | None:
        return None

    def close(self) -> None: ...


def test_theKernelRefuses() -> None:
    """
    It is said what is missing, and nothing is watched.
    """
    reactor = Reactor()
    cleartext = Cleartext(reactor, 1701, (), KEY, open=NoKernel)
    with pytest.raises(NotPermitted, match=r"\[l2tp\] clear.*not permitted.*CAP_NET_ADMIN"):
        cleartext.refuse()
    cleartext.accept()
    assert not reactor.readers

    def nothing() -> Any:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    assert "modprobe xfrm_user" in lackingPolicies(nothing)
    Cleartext(reactor, 1701, (), KEY, open=nothing).accept()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
