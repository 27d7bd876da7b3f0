"""
Tests of what rules of nftables do with packets of new callers.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from pptpgw.command.ruleset import GRE, Fate, control, fate

TCP = control(1723)


def match(left: Any, right: Any, op: str = "==") -> Any:
    return {"match": {"op": op, "left": left, "right": right}}


def payload(protocol: str, field: str) -> Any:
    return {"payload": {"protocol": protocol, "field": field}}


def meta(key: str) -> Any:
    return {"meta": {"key": key}}


ACCEPT, DROP = {"accept": None}, {"drop": None}
LOOPBACK = [match(meta("iifname"), "lo"), ACCEPT]
KNOWN = [match({"ct": {"key": "state"}}, ["established", "related"], "in"), ACCEPT]
PPTP = [match(payload("tcp", "dport"), 1723), ACCEPT]
GRE_ACCEPT = [match(meta("l4proto"), "gre"), ACCEPT]


def ruleset(*rules: Any, policy: str = "accept", hook: str = "input") -> str:
    place = {"family": "inet", "table": "filter"}
    chain = {"name": "input", "type": "filter", "hook": hook, "prio": 0, "policy": policy}
    return json.dumps(
        {
            "nftables": [
                {"metainfo": {}},
                {"chain": {**place, **chain}},
                *({"rule": {**place, "chain": "input", "expr": one}} for one in rules),
            ]
        }
    )


@pytest.mark.parametrize(
    ("text", "tcp", "gre"),
    [
        ('{"nftables": []}', Fate.ACCEPTED, Fate.ACCEPTED),
        (ruleset(policy="drop"), Fate.DROPPED, Fate.DROPPED),
        (ruleset(policy="drop", hook="forward"), Fate.ACCEPTED, Fate.ACCEPTED),
        # The usual rules of a host, with and without those for PPTP.
        (ruleset(LOOPBACK, KNOWN, policy="drop"), Fate.DROPPED, Fate.DROPPED),
        (ruleset(LOOPBACK, KNOWN, PPTP, policy="drop"), Fate.ACCEPTED, Fate.DROPPED),
        (ruleset(KNOWN, PPTP, GRE_ACCEPT, policy="drop"), Fate.ACCEPTED, Fate.ACCEPTED),
        (
            ruleset([match(payload("tcp", "dport"), {"set": [22, {"range": [1700, 1800]}]}), DROP]),
            Fate.DROPPED,
            Fate.ACCEPTED,
        ),
        (
            ruleset([match(payload("tcp", "dport"), 22, "!="), {"counter": {}}, DROP]),
            Fate.DROPPED,
            Fate.ACCEPTED,
        ),
        (
            ruleset([match(payload("ip", "protocol"), 47), {"reject": None}]),
            Fate.ACCEPTED,
            Fate.DROPPED,
        ),
        # What depends on the caller's address isn't sure.
        (
            ruleset([match(payload("ip", "saddr"), "192.0.2.7"), ACCEPT], policy="drop"),
            Fate.UNKNOWN,
            Fate.UNKNOWN,
        ),
        (
            ruleset([match(payload("ip", "saddr"), "192.0.2.7"), DROP], [DROP]),
            Fate.DROPPED,
            Fate.DROPPED,
        ),
        (ruleset([{"jump": {"target": "more"}}], policy="drop"), Fate.UNKNOWN, Fate.UNKNOWN),
        (ruleset([{"xt": None}], policy="drop"), Fate.UNKNOWN, Fate.UNKNOWN),
    ],
)
def test_fate(text: str, tcp: Fate, gre: Fate) -> None:
    assert (fate(text, TCP)[0], fate(text, GRE)[0]) == (tcp, gre)


def test_theChainIsNamed() -> None:
    assert fate(ruleset(policy="drop"), GRE) == (Fate.DROPPED, "inet filter input")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nftables": [{"chain": 3}]}'])
def test_noRules(text: str) -> None:
    with pytest.raises(ValueError):
        fate(text, TCP)
