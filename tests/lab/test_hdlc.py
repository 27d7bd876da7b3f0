"""
Tests for PPP over lines (serial ones, pseudoterminals, TCP and Unix sockets, standard input and
output), with Debian's pppd as the end that calls or answers.
"""

from __future__ import annotations

import re
import signal
from os import urandom
from pathlib import Path

import pytest

from tests.lab.lines import (
    CAROL,
    PPTPGW,
    NullModem,
    Spoiler,
    answering,
    doubled,
    dropped,
    echoed,
    flipped,
    nothing,
    passwordFile,
    ppp,
    unchanged,
)
from tests.lab.peers import GATEWAY_ADDRESS, LOCAL_ADDRESS, Caller, Network, Process
from tests.lab.server import ALICE, StartGateway, toml
from tests.lab.server import SECRETS as USERS

TCP = ["socket", f"{GATEWAY_ADDRESS}:2000"]
LISTEN = {"tunnels": ["pptp", "hdlc"]}
ENDPOINTS = [f"tcp:2000:interface={GATEWAY_ADDRESS}"]
STATEFUL = Path(__file__).with_name("stateful.py")

METHODS = {
    "mschapv2": "chap MS-v2",
    "mschap": "chap MS",
    "chap": "chap MD5",
    "eap": "eap",
    "pap": "pap",
}
"""
The authentication protocols, with pppd's names of them.
"""
_REFUSE = {"mschapv2": "mschap-v2"}


def only(method: str) -> list[str]:
    """
    pppd's options for a caller that accepts this method alone.
    """
    return [f"refuse-{_REFUSE.get(name, name)}" for name in METHODS if name != method]


def passed(record: bytes) -> list[bytes]:
    """
    The octets that pppd sent, and those that it received, from a file of its option C{record}.
    """
    ways = {1: b"", 2: b""}
    while record:
        kind = record[0]
        if kind in ways:
            end = 3 + int.from_bytes(record[1:3], "big")
            ways[kind] += record[3:end]
        else:
            # A time: seconds since 1970, or tenths of a second since the last record.
            end = {5: 5, 6: 2, 7: 5}.get(kind, 1)
        record = record[end:]
    return list(ways.values())


def serving(process: Process) -> Process:
    """
    Wait until C{pptpgw ppp} answers.
    """
    process.waitFor("answers on")
    return process


def test_everyMethodOverTCP(network: Network, startGateway: StartGateway) -> None:
    startGateway(
        listen=LISTEN,
        hdlc={"endpoints": ENDPOINTS},
        link={"encryption": "off", "authentication": list(METHODS)},
    )
    for method, name in METHODS.items():
        caller = network.host().callBy(TCP, *ALICE, *only(method)).up()
        assert f"<auth {name}>" in caller.sent("LCP ConfAck")[-1]
        caller.ping(count=2)
        caller.hangUp()


def test_PPTPAndLinesSideBySide(network: Network, startGateway: StartGateway) -> None:
    """
    A gateway with PPTP and with lines carries packets between a caller of each.
    """
    startGateway(listen=LISTEN, hdlc={"endpoints": ENDPOINTS})
    network.gateway.sysctl("net.ipv4.conf.all.forwarding=1")
    hosts = network.hosts(2)
    near = hosts[0].callBy(TCP, *ALICE, "require-mppe-128").up()
    far = hosts[1].call(*ALICE, "require-mppe-128").up()
    assert "MPPE 128-bit stateless compression enabled" in near.text
    # More packets than the coherency count has values, as fast as they go.
    near.flood(4200)
    hosts[0].ip(f"route add {far.address} dev {near.interface}")
    hosts[1].ip(f"route add {near.address} dev {far.interface}")
    near.ping(far.address, "-s", "1300")


@pytest.mark.parametrize("accm", [0, 0xFFFFFFFF])
def test_theACCMOfBothEnds(
    accm: int, network: Network, startGateway: StartGateway, tmp_path: Path
) -> None:
    """
    pppd grants our character map and we use pppd's, and packets with every octet pass. (pppd
    doesn't ask for a map that equals the default.)
    """
    startGateway(
        listen=LISTEN,
        hdlc={"endpoints": ENDPOINTS, "accm": accm},
        link={"encryption": "off"},
    )
    recorded = tmp_path / "recorded"
    caller = network.host().callBy(TCP, *ALICE, "asyncmap", f"{accm:x}", "record", str(recorded))
    caller.up()
    assert f"<asyncmap 0x{accm:x}>" in caller.received("LCP ConfReq")[0]
    every = bytes(range(256)).hex()
    for part in (every[:32], every[32:64], every[-32:], "7e7d" * 8):
        caller.ping(LOCAL_ADDRESS, "-s", "1000", "-p", part, count=2)
    run = bytes(range(16)) * 2
    for octets in passed(recorded.read_bytes()):
        # The payload's control characters, unless they are escaped.
        assert (run in octets) is (accm == 0)


def test_aBadLine(network: Network, startGateway: StartGateway, nullModem: NullModem) -> None:
    """
    Both ends stay in step with MPPE over a serial line that drops, doubles or changes octets in
    both directions, and only the frames with those octets are lost.
    """
    gateway = startGateway(
        listen=LISTEN, hdlc={"endpoints": [f"serial:{nullModem.devices[1]}:115200"]}
    )
    line = [nullModem.devices[0], "115200", "local"]
    caller = network.host().callBy(line, *ALICE, "require-mppe-128").up()
    for change in (dropped, doubled, flipped):
        spoilers = [Spoiler(every, change) for every in (1501, 1201)]
        nullModem.damage[:] = spoilers
        answered, _ = caller.pings(60)
        assert all(spoiler.done > 2 for spoiler in spoilers)
        assert 30 < answered < 60
        nullModem.damage[:] = [unchanged, unchanged]
        caller.ping(count=5)
    assert caller.hangUp() is not None
    gateway.waitFor("ended after")


VJ = {"header-compression": "vj"}


def headers(caller: Caller) -> tuple[dict[str, int], dict[str, int]]:
    """
    What pppd's statistics say of the headers that it received and sent, by the names of columns.
    """
    titles, figures = caller.host.run("pppstats", "-c", "1", "-v", caller.interface).splitlines()
    ways = [
        dict(zip(names.split(), map(int, numbers.split()), strict=True))
        for names, numbers in zip(titles.split("|"), figures.split("|"), strict=True)
    ]
    return ways[0], ways[1]


def compressed(caller: Caller) -> tuple[list[float], list[float]]:
    """
    What pppd's statistics say of the compression of packets that it received and sent.
    """
    *_, figures = caller.host.run("pppstats", "-c", "1", "-z", caller.interface).splitlines()
    received, sent = ([float(one) for one in way.split()] for way in figures.split("|"))
    return received, sent


@pytest.mark.parametrize("omits", [True, False])
def test_headerCompression(
    omits: bool, network: Network, startGateway: StartGateway, nullModem: NullModem
) -> None:
    """
    The gateway and pppd compress headers of TCP in both directions. What TCP carries arrives also
    if the line changes octets.
    """
    gateway = startGateway(
        listen=LISTEN,
        hdlc={"endpoints": [f"serial:{nullModem.devices[1]}:115200"]},
        link={"encryption": "off"},
        ipv4=VJ,
    )
    host = network.host()
    for namespace in (host, network.gateway):
        # Timestamps change in every packet, for which RFC 1144 has no short form.
        namespace.sysctl("net.ipv4.tcp_timestamps=0")
    options = [] if omits else ["novjccomp", "vj-max-slots", "4"]
    line = [nullModem.devices[0], "115200", "local"]
    caller = host.callBy(line, *ALICE, *options).up()
    # pppd naks what it doesn't have.
    agreed = "<compress VJ 0f 01>" if omits else "<compress VJ 03 00>"
    assert agreed in caller.sent("IPCP ConfReq")[-1]
    assert agreed in caller.received("IPCP ConfReq")[-1]
    octets = bytes(range(256)) * 400
    assert echoed(host, network.gateway, LOCAL_ADDRESS, octets) == octets
    received, sent = headers(caller)
    assert received["VJCOMP"] > 50 and sent["VJCOMP"] > 50
    assert received["VJERR"] == received["VJTOSS"] == 0
    spoilers = [Spoiler(every, flipped) for every in (15001, 12001)]
    nullModem.damage[:] = spoilers
    assert echoed(host, network.gateway, LOCAL_ADDRESS, octets) == octets
    assert all(spoiler.done > 2 for spoiler in spoilers)
    nullModem.damage[:] = [unchanged, unchanged]
    caller.ping(count=5)
    assert caller.hangUp() is not None
    gateway.waitFor("ended after")


def test_deflateOnABadLine(
    network: Network, startGateway: StartGateway, nullModem: NullModem
) -> None:
    """
    The gateway and pppd compress packets by Deflate in both directions. After frames that the line
    has damaged both ends begin anew, by Reset-Requests of either.
    """
    startGateway(
        listen=LISTEN,
        hdlc={"endpoints": [f"serial:{nullModem.devices[1]}:115200"]},
        link={"encryption": "off", "compression": ["deflate"]},
    )
    host = network.host()
    line = [nullModem.devices[0], "115200", "local"]
    caller = host.callBy(line, *ALICE, "deflate", "15", "nobsdcomp", "nopcomp").up()
    caller.waitFor(r"Deflate \(15\) compression enabled")
    octets = Path(__file__).read_bytes() * 8
    random = urandom(20_000)
    assert echoed(host, network.gateway, LOCAL_ADDRESS, octets + random) == octets + random
    received, sent = compressed(caller)
    # Octets and packets that were compressed, and the same of those that wouldn't shrink.
    for way in received, sent:
        assert way[0] < len(octets) / 2 and way[1] > 50 and way[2] > 20_000 and way[3] > 10
    resets = caller.received("CCP ResetReq") + caller.sent("CCP ResetReq")
    assert not resets or nullModem.lost
    spoilers = [Spoiler(every, flipped) for every in (5501, 4501)]
    nullModem.damage[:] = spoilers
    assert echoed(host, network.gateway, LOCAL_ADDRESS, octets) == octets
    nullModem.damage[:] = [unchanged, unchanged]
    assert all(spoiler.done > 2 for spoiler in spoilers)
    assert caller.received("CCP ResetReq") and caller.sent("CCP ResetReq")
    caller.ping(LOCAL_ADDRESS, "-s", "1300", "-p", "00", count=20)


def test_aSerialLineAnswersAgain(
    network: Network, startGateway: StartGateway, nullModem: NullModem
) -> None:
    """
    A serial line answers again after a call that ended in order, and after one whose cable was cut.
    """
    gateway = startGateway(
        listen=LISTEN,
        hdlc={"endpoints": [f"serial:{nullModem.devices[1]}:115200"]},
        link={"echo-interval": 1, "echo-failures": 2},
    )
    line = [nullModem.devices[0], "115200", "local"]
    for cut in (False, True, False):
        caller = network.host().callBy(
            line, *ALICE, "require-mppe-128", "lcp-max-configure", "30", "lcp-restart", "1"
        )
        caller.up()
        caller.ping(count=1)
        if cut:
            nullModem.damage[:] = [nothing, nothing]
            gateway.waitFor("Echo-Requests unanswered")
        caller.stop()
        nullModem.damage[:] = [unchanged, unchanged]


def test_statefulMPPEOnABadLine(
    network: Network, startGateway: StartGateway, nullModem: NullModem
) -> None:
    """
    The gateway recovers stateful MPPE by Reset-Requests.
    """
    startGateway(
        STATEFUL,
        listen=LISTEN,
        hdlc={"endpoints": [f"serial:{nullModem.devices[1]}:115200"]},
        link={"encryption-stateful": True},
    )
    line = [nullModem.devices[0], "115200", "local"]
    caller = network.host().callBy(line, *ALICE, "require-mppe-128", "mppe-stateful").up()
    assert "MPPE 128-bit stateful compression enabled" in caller.text
    caller.ping(LOCAL_ADDRESS, "-f", "-i", "0", count=500)
    nullModem.damage[0] = Spoiler(2501, dropped)
    answered, _ = caller.pings(100)
    assert 20 < answered < 100
    nullModem.damage[0] = unchanged
    assert caller.reaches(5)
    assert caller.received("CCP ResetReq")
    caller.ping(count=10)


@pytest.fixture
def configuration(tmp_path: Path) -> list[str]:
    """
    The options of C{pptpgw ppp} for the end that answers.
    """
    secrets = tmp_path / "chap-secrets"
    secrets.touch(0o600)
    secrets.write_text(USERS)
    path = tmp_path / "ppp.toml"
    path.write_text(toml({"ipv4": {"local": "10.78.0.1", "pool": ["10.78.0.10-10.78.0.20"]}}))
    return ["--config", str(path), "--auth", f"chap-secrets:{secrets}"]


def test_standardInputAndOutput(network: Network, configuration: list[str]) -> None:
    """
    C{pptpgw ppp} on standard input and output, as pppd's option C{pty} runs it, serves one call and
    leaves no device.
    """
    host = network.host()
    status = host.runFolder / "status"
    command = " ".join([str(PPTPGW), "ppp", *configuration])
    script = f"nsenter --net=/run/netns/gateway {command}; echo $? >{status}"
    caller = host.callBy(["pty", script], *ALICE, "require-mppe-128").up()
    assert caller.address == "10.78.0.10"
    caller.ping("10.78.0.1")
    caller.hangUp()
    assert not [link for link in network.gateway.show("link") if "pptp" in str(link["ifname"])]


def test_aPseudoterminal(network: Network, configuration: list[str]) -> None:
    """
    C{pptpgw ppp --pty} prints the path of its pseudoterminal, and answers one call after another.
    """
    hosts = network.hosts(2)
    answerer = serving(ppp(hosts[1], "--pty", *configuration))
    device = answerer.waitFor(r"(?m)^/dev/pts/\d+$")[0]
    for _ in range(2):
        caller = hosts[0].callBy([device, "local"], *ALICE, "require-mppe-128").up()
        caller.ping("10.78.0.1")
        assert caller.hangUp() is not None
        answerer.waitFor("ended after")
    assert answerer.stop() == 128 + signal.SIGTERM


def dial(network: Network, *words: str) -> Process:
    host = network.host()
    user = ["--user", CAROL[0], "--password-file", passwordFile(host, CAROL[1])]
    return ppp(host, "--dial", *user, *words)


def test_diallingByEveryMethod(network: Network, tmp_path: Path) -> None:
    """
    C{pptpgw ppp --dial} connects by TCP to a pppd that demands one method, for each method.
    """
    hosts = network.hosts(2)
    for method in METHODS:
        keys = method.startswith("mschap")
        configuration = tmp_path / f"{method}.toml"
        configuration.write_text(
            toml(
                {
                    "link": {
                        "authentication": [method],
                        "encryption": "require" if keys else "off",
                        "encryption-bits": [128],
                    }
                }
            )
        )
        mppe = ["require-mppe-128"] if keys else []
        required = f"require-{_REFUSE.get(method, method)}"
        answerer = answering(hosts[1], ["notty"], required, *mppe, port=2000)
        caller = dial(network, f"tcp:{hosts[1].address}:2000", "--config", str(configuration))
        caller.waitFor(f"connected: {method}, .*local address 10.9.0.2, remote 10.9.0.1")
        hosts[0].ping("10.9.0.1", "-s", "1300")
        assert ("MPPE 128" in caller.text) is keys
        caller.stop()
        answerer.waitFor("LCP TermReq|Modem hangup")
        answerer.wait()


def test_diallingOnASerialLineByAChatScript(
    network: Network, nullModem: NullModem, tmp_path: Path
) -> None:
    """
    C{pptpgw ppp --chat} dials by a modem, which pppd's chat program plays, and reaches pppd.
    """
    hosts = network.hosts(2)
    modem = "chat -v -s '' \\\\c ATZ 'OK\\\\c' ATDT5551234 'CONNECT 115200\\\\c'"
    answerer = answering(
        hosts[1],
        [nullModem.devices[1], "115200", "local", "connect", modem],
        "require-mschap-v2",
        "require-mppe-128",
    )
    # pppd discards what has come before it starts the modem.
    answerer.waitFor(r"expect \(ATZ\)")
    caller = dial(
        network,
        f"serial:{nullModem.devices[0]}:115200",
        "--chat",
        "ABORT BUSY TIMEOUT 5 '' ATZ OK ATDT5551234 CONNECT '\\c'",
    )
    caller.waitFor("connected: ")
    hosts[0].ping("10.9.0.1")
    assert caller.stop() == 128 + signal.SIGTERM
    answerer.waitFor("LCP TermReq")


def test_aWrongPassword(network: Network, tmp_path: Path) -> None:
    """
    A call with a wrong password fails with the reason in the output and with the exit status 1.
    """
    hosts = network.hosts(2)
    answering(hosts[1], ["notty"], "require-mschap-v2", "require-mppe-128", port=2000)
    words = ["--user", "carol", "--password-file", passwordFile(hosts[0], "wrong")]
    caller = ppp(hosts[0], "--dial", *words, f"tcp:{hosts[1].address}:2000")
    assert caller.wait() == 1
    assert re.search("(?m)^pptpgw: .*(691|denied|authentication)", caller.text, re.I)


@pytest.mark.parametrize("method", ["deflate", "mppc"])
def test_twoOfOurOwnThatCompress(method: str, network: Network, tmp_path: Path) -> None:
    """
    Two of our own compress packets and headers in both directions.
    """
    hosts = network.hosts(2)
    secrets, file, path = tmp_path / "chap-secrets", tmp_path / "ppp.toml", tmp_path / "line"
    secrets.touch(0o600)
    secrets.write_text(USERS)
    ipv4 = {"local": "10.78.0.1", "pool": ["10.78.0.10-10.78.0.20"], **VJ}
    file.write_text(toml({"ipv4": ipv4, "link": {"encryption": "off", "compression": [method]}}))
    shared = ["--config", str(file)]
    own = ["--auth", f"chap-secrets:{secrets}"]
    answerer = serving(ppp(hosts[1], f"unix:{path}", *shared, *own, log="answer.log"))
    words = ["--user", ALICE[0], "--password-file", passwordFile(hosts[0], ALICE[1])]
    caller = ppp(hosts[0], "--dial", *words, *shared, f"unix:{path}")
    caller.waitFor("connected: mschapv2, not encrypted")
    octets = Path(__file__).read_bytes() * 4 + urandom(20_000)
    assert echoed(hosts[0], hosts[1], "10.78.0.1", octets) == octets
    assert caller.stop() == 128 + signal.SIGTERM
    ended = answerer.waitFor(r"ended after .* (\d+) octets received")
    assert int(ended[1]) > len(octets)


def test_twoOfOurOwnOverAUnixSocket(
    network: Network, configuration: list[str], tmp_path: Path
) -> None:
    hosts = network.hosts(2)
    path = tmp_path / "line"
    answerer = serving(ppp(hosts[1], f"unix:{path}", *configuration, log="answer.log"))
    words = ["--user", ALICE[0], "--password-file", passwordFile(hosts[0], ALICE[1])]
    caller = ppp(hosts[0], "--dial", *words, f"unix:{path}")
    caller.waitFor("connected: mschapv2, MPPE 128")
    hosts[0].ping("10.78.0.1", "-s", "1400")
    assert caller.stop() == 128 + signal.SIGTERM
    answerer.waitFor("ended after")
