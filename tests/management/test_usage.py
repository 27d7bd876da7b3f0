"""
Tests for L{pptpgw.management.usage}.
"""

from __future__ import annotations

from typing import Any

from pptpgw.management.operation import Operations
from pptpgw.management.usage import UsageSums
from pptpgw.store.record import SessionRecord
from tests.management.asking import Asking
from tests.management.managed import STARTED, Managed
from tests.management.stored import MemoryStore

DAY = 86400.0


def asked(tunnels: tuple[str, ...] | None) -> Asking:
    """
    What asks a gateway with a store in which alice and bob have a session by each of C{tunnels},
    each a day after the one before; None for a gateway without a store.
    """
    world = Managed()
    if tunnels is not None:
        world.store = store = MemoryStore(lambda: STARTED)
        for number, tunnel in enumerate(tunnels):
            for user in ("alice", "bob"):
                at = number * DAY
                record = SessionRecord(
                    f"{user}{number}",
                    user,
                    "gate",
                    "192.0.2.7",
                    at,
                    at + 60,
                    octetsReceived=5,
                    octetsSent=7,
                    ended=at + 60,
                    tunnel=tunnel,
                )
                store.sessionEnded(record)
    return Asking(Operations(UsageSums(world).operations()))


def listed(asking: Asking, **query: Any) -> list[tuple[str, str]]:
    """
    The users and tunnels of the sums that a query chooses.
    """
    found = asking.ask("GET", "/usage", **query).json["items"]
    return [(one["user"], one["tunnel"]) for one in found]


def test_whoUsesWhich() -> None:
    asking = asked(("", "pptp", "sstp"))
    assert listed(asking, sort="user", user="alice") == [
        ("alice", None),
        ("alice", "pptp"),
        ("alice", "sstp"),
    ]
    assert listed(asking, tunnel="pptp", sort="-user") == [("bob", "pptp"), ("alice", "pptp")]
    assert listed(asking, since=2 * DAY) == [("alice", "sstp"), ("bob", "sstp")]
    (one,) = asking.ask("GET", "/usage", user="bob", tunnel="sstp").json["items"]
    assert one == {
        "user": "bob",
        "tunnel": "sstp",
        "sessions": 1,
        "seconds": 60.0,
        "last_day": "1970-01-03",
        "octets_received": 5,
        "octets_sent": 7,
    }


def test_noStore() -> None:
    """
    A gateway whose sessions have no rows knows nothing.
    """
    assert listed(asked(None)) == []
