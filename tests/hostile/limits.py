"""
The limits of all tables of the gateway, and the check that nothing is left in them.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache, partial
from typing import Any

from pptpgw.config.section import LimitsSection
from pptpgw.datapath.channel import Channel
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.link import Link
from pptpgw.sessions.line import Line
from pptpgw.sessions.session import Session
from pptpgw.testing import MemoryGRE
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.connection import ControlConnection
from tests.hostile.world import World


def containers(*roots: object) -> dict[str, int]:
    """
    Return how many entries the containers have that can be reached from C{roots}, added up by class
    and attribute. Those of the callers themselves, beyond the gateway's GRE port, are left out.
    """
    seen: set[int] = set()
    sizes: dict[str, int] = {}
    stack: list[tuple[str, object]] = [("", root) for root in roots]
    while stack:
        name, one = stack.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        if isinstance(one, dict | list | set | frozenset | tuple | deque):
            seen.add(id(one))
            sizes[name] = sizes.get(name, 0) + len(one)
            within = [*one.keys(), *one.values()] if isinstance(one, dict) else list(one)
            stack += [(name + "[]", each) for each in within]
        elif isinstance(one, partial):
            stack += [(name, one.func), (name, one.args)]
        elif hasattr(one, "__self__") and hasattr(one, "__func__"):
            stack.append((name, one.__self__))
        elif type(one).__module__.startswith("pptpgw.") and not isinstance(one, MemoryGRE):
            seen.add(id(one))
            stack += [
                (f"{type(one).__name__}.{attribute}", value)
                for attribute, value in _attributes(one)
                if attribute != "_transport"
            ]
    return sizes


@cache
def _slots(kind: Any) -> tuple[str, ...]:
    names: list[str] = []
    for each in kind.__mro__:
        slots = each.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    return tuple(names)


def _attributes(one: object) -> Iterator[tuple[str, object]]:
    kind: Any = type(one)
    for name in _slots(kind):
        try:
            yield name, getattr(one, name)
        except AttributeError:
            pass
    yield from getattr(one, "__dict__", {}).items()


COUNTED = (Line, Link, Channel, NetworkProtocol, Session, Call, ControlConnection)
"""
The classes of objects that belong to calls and must be freed with them.
"""


def living() -> list[object]:
    """
    Return all objects of these classes that exist.
    """
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, COUNTED)]


CALLS = 64

LIMITS = {
    "Switch._where": 2 * 96,
    "RoutingTable._entries": 2 * 1024,
    "RoutingTable._told": 2 * CALLS,
    "IPXRouter._stations": CALLS,
    "PrefixPool._freed": 2 * 1024,
    "Offers._made": 4,
    "Attempts._over[]": LimitsSection().attempts,
    "Attempts._framed": LimitsSection().attempts,
}
"""
The number of entries that all containers of a kind may have together, however many calls there are.
"""

LIMITS_PER_CALL = {
    "Port.addresses": 96,
    "Bindings._bindings": 8 + 4,
    "AddressSource._used": 8,
    "PrefixPool._used": 5,
    "AddressPool._used": 1,
    "Values._used": 1,
    "NetworkPhase._kept": 16,
    "Window.held": 64,
    "Negotiator.wanted": 20,
    "Negotiator.granted": 20,
    "Negotiator.allowed": 14 * 256,
    "NetworkPhase._networks": 12,
    "GREChannel._opened": 15,
    "Hub.members": 14,
    "MPLSNetwork._neighbours": 1,
    "MPLSNetwork._open": 1,
    "MPLSNetwork._placed": 1,
    "Admission._calls": 1,
    "Bundles._heads": 1,
    "Attempts._going": 1,
    "Registry._identifiers": 1,
    "Registry._numbers": 1,
    "RouteTable.exact": 2,
    "RouteTable._tables[]": 2 * 5,
    "Session.networks": 12,
    "CallIDs._living": 1,
    "ControlConnection.calls": 1,
    "Lapse._queue": 2,
}
"""
The number of entries that all containers of a kind may have together for each call.
"""

TIMERS = 40
"""
The timers of one call, both ends together.
"""

# The containers that keep entries after a call: prefixes, which are limited above; addresses, those
# of the ranges and of accounts; failures, counted for each protocol that is served; counters;
# sources, those whose log lines are limited and those from which somebody has logged in; the
# settings of links, one value for each kind of call; set-up times, for each tunnel; and the
# attempts that are over, and those that keep frames. Settings and attempts are limited above.
_RESTING = (
    "Offers._made",
    "LinkSettings.",
    "PrefixPool._freed",
    "_Pool.freed",
    "AddressPool._owne",
    "CallIDs._resting",
    "PythonDataPath._failures",
    "Counters.discards",
    "Quota.",
    "Known.",
    "Tally.",
    "Distribution.",
    "Attempts._framed",
    "Attempts._over",
    "Attempts._sources",
    "Attempt._",
)


def rest(world: World) -> dict[str, int]:
    """
    Wait until everything received is acknowledged, and return the entries of the gateway's
    containers that must be gone when its callers are.
    """
    world.rest(1)
    sizes = containers(world.gateway, world.callIDs)
    return {name: size for name, size in sizes.items() if not name.startswith(_RESTING)}


def assertWithinLimits(world: World, calls: int) -> None:
    """
    Check that no table exceeds its limit while there are C{calls} calls.
    """
    sizes = containers(world.gateway, world.callIDs)
    for name, limit in LIMITS.items():
        assert sizes.get(name, 0) <= limit, f"{name}: {sizes[name]}"
    for name, limit in LIMITS_PER_CALL.items():
        assert sizes.get(name, 0) <= limit * calls + 4, f"{name}: {sizes[name]}"
    assert len(world.clock.getDelayedCalls()) <= TIMERS * (calls + 1)


def assertGivenBack(world: World, before: dict[str, int], ignored: Iterable[object] = ()) -> None:
    """
    Check that everything that a caller had has been given back, so that the gateway is as it was
    C{before}.
    """
    after = rest(world)
    different = {
        path: (before.get(path, 0), after.get(path, 0))
        for path in before.keys() | after.keys()
        if before.get(path, 0) != after.get(path, 0)
    }
    assert not different, different
    kept = {id(one) for one in ignored}
    left = [one for one in living() if id(one) not in kept]
    assert not left, left
