"""
Tests of C{pptpgw doctor}, with a machine in memory and with this one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pptpgw.command.findings import Examined, Level
from pptpgw.command.hostchecks import examine
from pptpgw.config.configuration import parse
from pptpgw.datapath import engine
from pptpgw.ports.host import Host
from pptpgw.ports.pppox import L2TP
from tests.certificates import Authority
from tests.command.invocation import Command
from tests.command.test_live import live

LISTENER = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    "   0: 00000000:06BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1\n"
)
ALL = (1 << 12) | (1 << 13)


@dataclass
class FakeHost(Host):
    """
    A machine in memory, on which all is well.
    """

    files: dict[str, str] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=lambda: {"/dev/net/tun": 0o666})
    folders: dict[str, list[str]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    has: int = ALL
    usable: bool = True
    space: int = 1 << 40
    isMountedReadOnly: bool = False
    isRight: bool | None = True
    rules: str | None = '{"nftables": []}'
    lacksPPP: str = ""
    lacksL2TP: str = ""

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def mode(self, path: str) -> int | None:
        return self.modes.get(path)

    def names(self, path: str) -> list[str]:
        return self.folders.get(path, [])

    def link(self, path: str) -> str:
        return self.links.get(path, "")

    def mayUse(self, path: str) -> bool:
        return self.usable

    def capabilities(self) -> int:
        return self.has

    def free(self, path: str) -> tuple[int, int] | None:
        return self.space, 1 << 41

    def isReadOnly(self, path: str) -> bool:
        return self.isMountedReadOnly

    def synchronised(self) -> bool | None:
        return self.isRight

    def lackingPPP(self) -> str:
        return self.lacksPPP

    def lackingPPPoX(self, protocol: int) -> str:
        return self.lacksL2TP if protocol == L2TP else ""

    def lackingTables(self) -> str:
        return ""

    def ruleset(self) -> str | None:
        return self.rules


def bad(host: FakeHost, text: str = "", runs: bool = False) -> list[tuple[str, str, str]]:
    """
    What isn't well: level, subject and text.
    """
    return [
        (one.level.value, one.subject, one.text)
        for one in examine(host, parse(text, "test"), runs)
        if one.level is not Level.OK
    ]


def only(host: FakeHost, text: str = "", runs: bool = False) -> Examined:
    """
    The one thing that isn't well. It says what to do.
    """
    (found,) = [
        one for one in examine(host, parse(text, "test"), runs) if one.level is not Level.OK
    ]
    assert found.advice
    return found


def test_well() -> None:
    assert bad(FakeHost()) == []


def test_privileges() -> None:
    """
    Who may not is told so, unless the gateway runs anyway.
    """
    host = FakeHost(has=1 << 12, usable=False)
    assert bad(host) == [
        ("fault", "privileges", "this process lacks CAP_NET_RAW"),
        ("fault", "/dev/net/tun", "this process may not use it"),
    ]
    assert bad(host, runs=True) == [
        ("fault", "TCP port 1723", "the gateway runs, but nobody listens")
    ]
    assert only(FakeHost(modes={})).text == "it is missing"


def test_portTaken() -> None:
    """
    The process that has the port is named, if that is visible.
    """
    host = FakeHost({"/proc/net/tcp": LISTENER})
    assert only(host).text == "it is taken by another program (root sees which)"
    host.folders = {"/proc": ["net", "77"], "/proc/77/fd": ["3"]}
    host.links = {"/proc/77/fd/3": "socket:[4711]"}
    host.files |= {"/proc/77/comm": "accel-pppd\n", "/proc/77/cmdline": "accel-pppd\0-d"}
    assert only(host).text == "it is taken by accel-pppd (process 77)"
    assert bad(host, "[pptp]\nport = 1724\n") == []
    assert bad(host, runs=True) == []
    host.files["/proc/77/cmdline"] = "python\0/usr/bin/pptpgw\0run"
    assert (only(host).level, only(host).text) == (
        Level.WARNING,
        "pptpgw (process 77) listens",
    )


def test_portOfAnotherAddress() -> None:
    host = FakeHost({"/proc/net/tcp": LISTENER.replace("00000000:06BB", "0100007F:06BB")})
    assert bad(host, '[listen]\naddresses = ["192.0.2.1"]\n') == []
    assert only(host, '[listen]\naddresses = ["127.0.0.1"]\n').level is Level.FAULT


def test_firewall() -> None:
    """
    A chain that surely drops is named; of what isn't sure nothing is claimed.
    """
    host = FakeHost(
        rules=json.dumps(
            {
                "nftables": [
                    {
                        "chain": {
                            "family": "ip",
                            "table": "t",
                            "name": "in",
                            "type": "filter",
                            "hook": "input",
                            "policy": "drop",
                        }
                    }
                ]
            }
        )
    )
    assert [one[2] for one in bad(host)] == [
        "the chain ip t in drops TCP port 1723 of new callers",
        "the chain ip t in drops protocol 47 (GRE) of new callers",
    ]
    for rules in (None, "nonsense"):
        host.rules = rules
        assert bad(host) == []
        texts = [one.text for one in examine(host, parse("", "test"), False)]
        assert sum("can't be told" in one for one in texts) == 2


def test_kernel() -> None:
    """
    Modules, forwarding and rp_filter are warnings.
    """
    host = FakeHost(
        {
            "/proc/modules": "nf_conntrack_pptp 16384 0 - Live 0x0\nppp_mppe 1 0 - Live 0x0\n",
            "/proc/sys/net/ipv4/ip_forward": "0\n",
            "/proc/sys/net/ipv4/conf/all/rp_filter": "0\n",
            "/proc/sys/net/ipv4/conf/eth0/rp_filter": "1\n",
        },
        folders={"/proc/sys/net/ipv4/conf": ["all", "default", "eth0", "eth1", "lo"]},
    )
    assert [(level, subject) for level, subject, _ in bad(host)] == [
        ("warning", "kernel modules"),
        ("warning", "forwarding"),
        ("warning", "rp_filter"),
    ]
    assert "strict on eth0" in bad(host)[2][2]


@pytest.mark.parametrize(
    ("path", "lacks", "level", "text"),
    [
        ("auto", "", "ok", "packets pass by kernel"),
        ("auto", "no pptp", "ok", "packets pass by native: no pptp"),
        ("kernel", "no pptp", "fault", "the kernel can't carry packets: no pptp"),
        ("python", "", "ok", "packets pass by python"),
    ],
)
def test_dataPath(
    path: str, lacks: str, level: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "makeThreads", object)
    configuration = parse(f'[datapath]\npath = "{path}"\n', "test")
    found = examine(FakeHost(lacksPPP=lacks), configuration, False)
    (one,) = [one for one in found if one.subject == "data path"]
    assert (one.level.value, one.text) == (level, text)


def test_dataPathOfEachTunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The kernel may lack something for one tunnel alone, and its modules matter without PPTP too.
    """
    monkeypatch.setattr(engine, "makeThreads", object)
    host = FakeHost(lacksL2TP="no l2tp_ppp")
    for names, text in (
        ('["pptp", "l2tp"]', "packets pass by kernel, those of l2tp by native: no l2tp_ppp"),
        ('["l2tp"]', "packets pass by native: no l2tp_ppp"),
        ('["sstp"]', ""),
    ):
        found = examine(host, parse(f"[listen]\ntunnels = {names}", "test"), False)
        assert "".join(one.text for one in found if one.subject == "data path") == text


def test_dataPathOfAGatewayThatRuns() -> None:
    """
    Somebody without the gateway's privileges isn't told of their own.
    """
    found = examine(FakeHost(has=0, lacksPPP="no permission"), parse("", "test"), True)
    (one,) = [one for one in found if one.subject == "data path"]
    assert one.level is Level.OK and "can't be told" in one.text


def test_clock() -> None:
    assert only(FakeHost(isRight=False)).subject == "clock"
    assert bad(FakeHost(isRight=None)) == []


@pytest.mark.parametrize(("days", "level"), [(90, None), (5, Level.WARNING), (-1, Level.FAULT)])
def test_certificates(tmp_path: Path, days: int, level: Level | None) -> None:
    """
    Certificates expire.
    """
    path, key = Authority(tmp_path).issue("gate", days=(-30, days))
    text = f'[management]\nendpoints = ["ssl:8723:privateKey={key}:certKey={path}"]\n'
    # The authority's certificate, which stands in the file too, is valid for 30 days.
    alone = path.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    host = FakeHost({str(path): alone})
    host.modes[str(key)] = 0o600
    found = [one.level for one in examine(host, parse(text, "test"), False)]
    assert [one for one in found if one is not Level.OK] == ([] if level is None else [level])


def test_secrets() -> None:
    """
    Files with secrets must be there, and private.
    """
    text = '[auth]\ncheckers = ["chap-secrets:/etc/ppp/chap-secrets"]\n'
    assert only(FakeHost(), text).text == "/etc/ppp/chap-secrets can't be found"
    host = FakeHost()
    host.modes["/etc/ppp/chap-secrets"] = 0o644
    assert only(host, text).advice == "chmod 600 /etc/ppp/chap-secrets"
    host.modes["/etc/ppp/chap-secrets"] = 0o600
    assert bad(host, text) == []


@pytest.mark.parametrize(
    ("space", "level"), [(1 << 40, None), (100 << 20, Level.WARNING), (0, Level.FAULT)]
)
def test_disk(space: int, level: Level | None) -> None:
    host = FakeHost(space=space)
    text = '[audit]\nfile = "/var/log/pptpgw/audit.json"\n'
    found = [one[:2] for one in bad(host, text)]
    assert found == ([] if level is None else [(level.value, "disk")])


def test_aDiskThatIsReadOnly() -> None:
    text = '[audit]\nfile = "/var/log/pptpgw/audit.json"\n'
    found = only(FakeHost(isMountedReadOnly=True), text)
    assert found.text == "the disk of /var/log/pptpgw/audit.json is mounted read-only"
    assert found.level is Level.FAULT


async def test_storeAndGateway(configuration: Path, pptpgw: Command) -> None:
    """
    The store and the running gateway are asked.
    """
    with configuration.open("a") as file:
        file.write('[auth]\ncheckers = ["accounts"]\n')

    async def found() -> dict[str, str]:
        done = await pptpgw("doctor", "--json")
        said = json.loads(done.out)
        assert done.status == (1 if said["faults"] else 0)
        every = {one["subject"]: f"{one['level']}: {one['text']}" for one in said["findings"]}
        return {name: every[name] for name in ("store", "gateway")}

    before = await found()
    assert before["store"].startswith("fault: ") and "there is no store" in before["store"]
    assert before["gateway"].startswith("warning: the gateway isn't running")
    await pptpgw("user", "add", "bob", "--stdin", stdin="sesame\n")
    async with live(configuration):
        after = await found()
    assert after["store"].startswith("ok: ")
    assert after["gateway"] == "ok: it runs, and is serving"


async def test_lines(pptpgw: Command) -> None:
    """
    Each finding is a line, and what to do stands below it.
    """
    lines = (await pptpgw("doctor")).out.splitlines()
    assert all(one.split()[0] in ("ok", "warning", "fault") or one[:9].isspace() for one in lines)
    assert any(one.startswith("warning  gateway: ") for one in lines)
