"""
Tests of accel-ppp's commands.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pptpgw.command.accel import COLUMNS, table
from pptpgw.command.output import find
from tests.command.invocation import Command
from tests.command.test_live import live


def test_table() -> None:
    """
    The table is accel-ppp's, to the character: headings in the middle, cells at the left.
    """
    titles = [one.name for one in COLUMNS if one.usual]
    row = ["ppp0", "vyos", "192.168.0.36", "192.168.255.1", "", "l2tp", "", "active", "00:06:13"]
    assert table(titles, [row]).splitlines() == [
        " ifname | username | calling-sid  |      ip       | rate-limit | type | comp | state  "
        "|  uptime  ",
        "--------+----------+--------------+---------------+------------+------+------+--------"
        "+----------",
        " ppp0   | vyos     | 192.168.0.36 | 192.168.255.1 |            | l2tp |      | active "
        "| 00:06:13 ",
    ]
    assert table(["sid"], []) == " sid \n-----"


@pytest.mark.parametrize(
    ("name", "fields", "text"),
    [
        ("uptime", {"uptime_seconds": 62.9}, "00:01:02"),
        ("uptime", {"uptime_seconds": 86400 + 81228.0}, "1.22:33:48"),
        ("uptime-raw", {"uptime_seconds": 62.9}, "62"),
        (
            "rate-limit",
            {"limits": {"send_rate": 20480000, "receive_rate": 10240000}},
            "20480/10240",
        ),
        ("rate-limit", {"limits": {"send_rate": None, "receive_rate": 64000}}, "0/64"),
        ("rate-limit", {"limits": {"send_rate": None, "receive_rate": None}}, ""),
        ("rx-bytes", {"octets_received": 214}, "214 B"),
        ("rx-bytes", {"octets_received": 7885}, "7.7 KiB"),
        ("tx-bytes", {"octets_sent": 3 << 60}, "3072.0 PiB"),
        ("ip6", {"networks": {"ipv6": ["2001:db8::/64", "2001:db8:1::/56"]}}, "2001:db8::/64"),
        ("ip6-dp", {"networks": {"ipv6": ["2001:db8::/64", "2001:db8:1::/56"]}}, "2001:db8:1::/56"),
        ("ip6-dp", {"networks": {"ipv4": ["192.0.2.1"]}}, ""),
        ("comp", {"encryption": "MPPE 128 bit stateless"}, "mppe"),
        ("comp", {"encryption": "not encrypted"}, ""),
        ("username", {"user": "a\nb"}, r"'a\nb'"),
        ("ifname", {"number": 7, "interface": ""}, "ppp7"),
        ("ifname", {"number": 7, "interface": "ppp8"}, "ppp8"),
    ],
)
def test_cells(name: str, fields: dict[str, object], text: str) -> None:
    assert find(COLUMNS, name).text(fields) == text


class TestSessions:
    async def test_bothWays(self, pptpgw: Command, configuration: Path) -> None:
        """
        accel-ppp's command and C{--format accel} print the same, with its usual columns.
        """
        async with live(configuration, b"alice"):
            done = await pptpgw("show", "sessions")
            same = await pptpgw("sessions", "--format", "accel")
        assert done.out == same.out
        head, line, row = done.out.splitlines()
        assert [one.strip() for one in head.split("|")] == [
            *("ifname", "username", "calling-sid", "ip", "rate-limit"),
            *("type", "comp", "state", "uptime"),
        ]
        assert set(line) == {"-", "+"}
        cells = [one.strip() for one in row.split("|")]
        assert cells[1] == "alice" and cells[3] == "10.77.0.10"
        assert cells[5:8] == ["pptp", "mppe", "active"]

    async def test_words(self, pptpgw: Command, configuration: Path) -> None:
        """
        What VyOS asks for, in an order and with a match.
        """
        names = (
            "ifname,username,ip,ip6,ip6-dp,type,state,uptime-raw,calling-sid,called-sid,sid,comp"
        )
        async with live(configuration, b"bob", b"alice", b"carol") as gateway:
            words = ("order", "username", "match", "username", "^(alice|bob)$")
            done = await pptpgw("show", "sessions", names + ",rx-bytes-raw,rx-pkts", *words)
            asJSON = await pptpgw("show", "sessions", "sid", *words, "--json")
            nobody = await pptpgw("show", "sessions", "sid", "match", "username", "dave")
            identifiers = [*gateway.identifiers("alice"), *gateway.identifiers("bob")]
        head, _, *rows = done.out.splitlines()
        fields = [one.strip() for one in head.split("|")]
        found = [dict(zip(fields, map(str.strip, row.split("|")), strict=True)) for row in rows]
        assert [one["username"] for one in found] == ["alice", "bob"]
        assert [one["sid"] for one in found] == identifiers
        assert int(found[0]["uptime-raw"]) >= 0 and int(found[0]["rx-pkts"]) >= 0
        assert json.loads(asJSON.out) == [{"sid": one} for one in identifiers]
        assert nobody.out == " sid \n-----\n"

    @pytest.mark.parametrize(
        "words", [["nonsense"], ["order"], ["match", "username"], ["sid", "sid"], ["sid,none"]]
    )
    async def test_wrongWords(self, pptpgw: Command, configuration: Path, words: list[str]) -> None:
        async with live(configuration):
            assert (await pptpgw("show", "sessions", *words)).status == 2


class TestTerminate:
    @pytest.mark.parametrize(
        ("words", "left"),
        [
            ("username alice", ["bob", "soft"]),
            ("username soft", ["alice", "bob"]),
            ("username soft hard", ["alice", "bob"]),
            ("ip 10.77.0.11 soft", ["alice", "soft"]),
            ("match username ^[ab]", ["soft"]),
            ("match ip 77.0.10 hard", ["bob", "soft"]),
            ("username ali", ["alice", "bob", "soft"]),
            ("match comp hard", ["alice", "bob", "soft"]),
            ("if ppp0", ["alice", "bob", "soft"]),
            ("all", []),
            ("all hard", []),
        ],
    )
    async def test_who(
        self, pptpgw: Command, configuration: Path, words: str, left: list[str]
    ) -> None:
        """
        Only the sessions that are named end. A user may be called like another word.
        """
        async with live(configuration, b"alice", b"bob", b"soft") as gateway:
            done = await pptpgw("terminate", *words.split(), "--json")
            gateway.world.run(1)
            assert gateway.users == left
        assert len(json.loads(done.out)["session_ids"]) == 3 - len(left)

    async def test_bySession(self, pptpgw: Command, configuration: Path) -> None:
        async with live(configuration) as gateway:
            (identifier,) = gateway.identifiers("alice")
            done = await pptpgw("terminate", "sid", identifier)
            gateway.world.run(1)
            assert gateway.users == ["bob", "bob"]
            # As accel-ppp's scripts do it: the name from the table, and then that one.
            table = await pptpgw("show", "sessions", "ifname,sid")
            name, kept = (one.strip() for one in table.out.splitlines()[-1].split("|"))
            await pptpgw("terminate", "if", name)
            gateway.world.run(1)
            assert gateway.users == ["bob"] and kept not in gateway.identifiers("bob")
            caller = next(iter(gateway.world.sessions)).caller
            await pptpgw("terminate", "csid", caller)
            gateway.world.run(1)
            assert gateway.users == []
        assert done.out == f"1 session is ended.\n{identifier}\n"

    @pytest.mark.parametrize(
        "words",
        [
            "",
            "soft",
            "username",
            "all of",
            "username alice bob",
            "match username",
            "match none x",
            "match ip (",
        ],
    )
    async def test_wrongWords(self, pptpgw: Command, configuration: Path, words: str) -> None:
        async with live(configuration) as gateway:
            done = await pptpgw("terminate", *words.split())
            assert (done.status, len(gateway.users)) == (2, 3)
