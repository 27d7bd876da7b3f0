"""
What the rules of nftables do with a packet of a new caller: as far as that is sure.

A chain is walked rule by rule. A rule that can't be understood leaves the fate open if it may
accept the packet, or jump elsewhere; if it may only drop it, the walk goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Fate(Enum):
    """
    What the rules do with a packet, or that they are too complicated to say.
    """

    ACCEPTED = "accepted"
    DROPPED = "dropped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Packet:
    """
    The first packet of a new caller who isn't on this machine.

    @ivar protocols: the names and the number of its IP protocol.
    @ivar port: the TCP port that it is for; None if it isn't TCP.
    """

    protocols: frozenset[str | int]
    port: int | None = None


GRE = Packet(frozenset(("gre", 47)))


def control(port: int) -> Packet:
    """
    Return the packet that opens a control connection.
    """
    return Packet(frozenset(("tcp", 6)), port)


def fate(text: str, packet: Packet) -> tuple[Fate, str]:
    """
    Say what becomes of a packet for this machine.

    @param text: the rules, as C{nft -j list ruleset} prints them.
    @return: the fate, and the chain that decides it; empty if none does.
    @raise ValueError: the text has another form.
    """
    try:
        items = json.loads(text)["nftables"]
        chains = [one["chain"] for one in items if "chain" in one]
        rules = [one["rule"] for one in items if "rule" in one]
        open_ = ""
        for chain in chains:
            if chain.get("hook") not in ("input", "prerouting", "ingress"):
                continue
            if chain["family"] not in ("ip", "inet") or chain.get("type") != "filter":
                continue
            name = f"{chain['family']} {chain['table']} {chain['name']}"
            found = _walk(chain, rules, packet)
            if found is Fate.DROPPED:
                return found, name
            if found is Fate.UNKNOWN:
                open_ = open_ or name
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no rules of nftables: {error!r}") from error
    return (Fate.UNKNOWN, open_) if open_ else (Fate.ACCEPTED, "")


def _walk(chain: Mapping[str, Any], rules: list[Any], packet: Packet) -> Fate:
    place = tuple(chain[key] for key in ("family", "table", "name"))
    mayAccept = False
    for rule in rules:
        if tuple(rule[key] for key in ("family", "table", "chain")) != place:
            continue
        expressions = rule.get("expr", [])
        matches = _all(expressions, packet)
        if matches is False:
            continue
        verdict = next(_verdicts(expressions), None)
        if verdict is None:
            continue
        if verdict == "drop":
            if matches and not mayAccept:
                return Fate.DROPPED
            if matches:
                return Fate.UNKNOWN
        elif verdict == "accept" and matches:
            return Fate.ACCEPTED
        else:
            # It may accept the packet, or what it jumps to may.
            mayAccept = True
    isDropped = chain.get("policy") == "drop"
    if mayAccept and isDropped:
        return Fate.UNKNOWN
    return Fate.DROPPED if isDropped else Fate.ACCEPTED


def _verdicts(expressions: list[Any]) -> Iterator[str]:
    for one in expressions:
        for key in one:
            if key in ("drop", "reject"):
                yield "drop"
            elif key == "accept":
                yield "accept"
            elif key in ("jump", "goto", "vmap", "queue", "return", "xt", "tproxy"):
                yield "other"


def _all(expressions: list[Any], packet: Packet) -> bool | None:
    """
    Return whether a rule matches the packet; None if that isn't sure.
    """
    sure = True
    for one in expressions:
        if "match" in one:
            found = _matches(one["match"], packet)
            if found is False:
                return False
            sure = sure and found is True
        elif not one.keys() & _HARMLESS:
            sure = False
    return True if sure else None


_HARMLESS = {"accept", "counter", "drop", "goto", "jump", "log", "reject", "return"}
"""
The statements that match every packet.
"""

_OTHERS = {"ip6", "icmp", "icmpv6"}
_TRANSPORTS = {"tcp", "udp", "udplite", "sctp", "dccp", "esp", "ah"}


def _matches(match: Mapping[str, Any], packet: Packet) -> bool | None:
    left, right, operator = match["left"], match["right"], match.get("op", "==")
    if operator not in ("==", "!=", "in"):
        return None
    protocol = left.get("payload", {}).get("protocol") if isinstance(left, dict) else None
    if protocol in _OTHERS or (protocol in _TRANSPORTS and protocol not in packet.protocols):
        # Whatever the value, a packet of another protocol has no such field.
        return False
    found = _isIn(left, right, packet)
    return found if found is None or operator != "!=" else not found


def _isIn(left: Any, right: Any, packet: Packet) -> bool | None:
    if not isinstance(left, dict):
        return None
    if left.get("ct", {}).get("key") == "state":
        states = _values(right)
        return None if states is None else "new" in states
    key = left.get("meta", {}).get("key")
    if key in ("iif", "iifname"):
        return False if right == "lo" else None
    if key == "nfproto":
        return right == "ipv4" if isinstance(right, str) else None
    payload = left.get("payload", {})
    if key == "l4proto" or (payload.get("protocol"), payload.get("field")) == ("ip", "protocol"):
        values = _values(right)
        return None if values is None else any(one in packet.protocols for one in values)
    if (payload.get("protocol"), payload.get("field")) == ("tcp", "dport"):
        values = _values(right)
        return None if values is None else packet.port in values
    return None


def _values(right: Any) -> list[Any] | None:
    """
    Return the values that the right side of a match has; None if there are others than numbers,
    names and ranges of numbers.
    """
    members = right["set"] if isinstance(right, dict) and "set" in right else right
    found: list[Any] = []
    for one in members if isinstance(members, list) else [members]:
        if isinstance(one, dict) and "range" in one:
            first, last = one["range"]
            if not isinstance(first, int) or not isinstance(last, int):
                return None
            found += range(first, last + 1)
        elif isinstance(one, str) and one.startswith("@"):
            return None
        elif isinstance(one, int | str):
            found.append(one)
        else:
            return None
    return found
