"""
Tests for calls that are passed on to an LNS, Debian's xl2tpd with pppd.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.lab.kernelstate import assertGone, loadL2TP
from tests.lab.l2tp import CAROL, LNS
from tests.lab.lines import NullModem, answering
from tests.lab.peers import GATEWAY_ADDRESS, LOCAL_ADDRESS, Network
from tests.lab.server import ALICE, Gateway, StartGateway


@pytest.mark.parametrize("path", ["python", "auto"], indirect=True)
def test_passedOn(network: Network, startGateway: StartGateway, tmp_path: Path, path: str) -> None:
    """
    pppd dials the gateway by PPTP and authenticates. The call passes to an LNS, after one that
    isn't there. pppd authenticates anew there, by another protocol, and gets its address from
    there. The gateway counts what passes.
    """
    hosts = network.hosts(2)
    lns = LNS(hosts[1], "noccp", secret="open sesame")
    for name, text in (("secret", "open sesame\n"), ("users", 'carol * "battery staple" *\n')):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(text)
    destination = {
        "name": "isp",
        "tunnel": "l2tp",
        "endpoints": ["192.0.2.250", hosts[1].address],
        "secret-file": str(tmp_path / "secret"),
        "host-name": "pop1",
        "called": [GATEWAY_ADDRESS],
    }
    sections = {"forwarding": {"timeout": 3}, "[forwarding.destination]": destination}
    gateway = startGateway(
        auth=f"chap-secrets:{tmp_path / 'users'}",
        listen={"tunnels": ["pptp", "l2tp"]},
        l2tp={"clear": "accept"},
        link={"encryption": "off", "authentication": ["chap"]},
        **sections,
    )
    caller = hosts[0].call(*CAROL, "noccp").up(60)
    assert "remote IP address 10.9.0.1" in caller.text
    gateway.waitFor("L2TP 192.0.2.250 doesn't take a call")
    gateway.waitFor(f"carol from {hosts[0].address}: .*passed on by l2tp to {hosts[1].address}")
    caller.ping("10.9.0.1", "-s", "1300")
    assert "EAP authentication succeeded" in caller.text
    lns.waitFor("Connection established to 192.0.2.1")
    caller.stop()
    gateway.waitFor("carol from .* ended after .*octets received")


def test_anIncomingCall(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    pppd calls a PAC over a line, which offers the call to a PNS (RFC 2637 section 2.9). The PNS
    authenticates pppd and gives it an address. The call ends if pppd hangs up, if its line is cut,
    and if the PNS stops.
    """
    caller, server = network.hosts(2)
    folder = tmp_path / "pns"
    folder.mkdir()
    concentrators = {"access-concentrators": [f"{GATEWAY_ADDRESS}/32"]}
    pns = Gateway(server, folder, {"pptp": concentrators, "link": {"encryption": "require"}})
    destination = {
        "name": "company",
        "tunnel": "pptp",
        "endpoints": [server.address],
        "called": [GATEWAY_ADDRESS],
        "authenticated": False,
    }
    pac = startGateway(
        listen={"tunnels": ["pptp", "hdlc"]},
        hdlc={"endpoints": [f"tcp:2000:interface={GATEWAY_ADDRESS}"]},
        **{"[forwarding.destination]": destination},
    )
    line = ["socket", f"{GATEWAY_ADDRESS}:2000"]
    for number in range(3):
        link = caller.callBy(line, *ALICE, "require-mppe-128", "asyncmap", "a0000").up(60)
        link.ping(LOCAL_ADDRESS, "-s", "1300")
        assert "<asyncmap 0x0>" in link.received("LCP ConfReq")[0]
        if number == 0:
            link.hangUp()
        elif number == 1:
            link.stop(signal.SIGKILL)
        else:
            pns.shutDown()
            link.wait()
        pac.waitFor("(?s)" + ".*ended after" * (number + 1))
    assert len(re.findall(rf"alice from {GATEWAY_ADDRESS}.* ended after", pns.text)) == 3
    assert pns.text.count("the peer disconnected the call: lost carrier") == 1


def test_toOurLNS(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    The call passes to a gateway of ours that believes this one: pppd authenticates once, here, and
    hears from there that it is let in, by keys of which there is MPPE.
    """
    hosts = network.hosts(2)
    for name, text in (("secret", "open sesame\n"), ("secrets", 'pop1 "open sesame"\n')):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(text)
    clear = {"clear": "accept"}
    listen = {"tunnels": ["pptp", "l2tp"]}
    lns = Gateway(
        hosts[1],
        tmp_path,
        {
            "listen": listen,
            "l2tp": {**clear, "secrets": str(tmp_path / "secrets")},
            "datapath": {"path": "python"},
        },
    )
    destination = {
        "name": "isp",
        "tunnel": "l2tp",
        "endpoints": [hosts[1].address],
        "secret-file": str(tmp_path / "secret"),
        "host-name": "pop1",
        "called": [GATEWAY_ADDRESS],
    }
    startGateway(listen=listen, l2tp=clear, **{"[forwarding.destination]": destination})
    caller = hosts[0].call(*ALICE, "require-mppe-128").up(60)
    assert caller.text.count("rcvd [CHAP Challenge") == 1
    assert caller.text.count("rcvd [LCP ConfAck") == 1
    assert "MPPE 128-bit stateless compression enabled" in caller.text
    lns.waitFor("alice from 192.0.2.1")
    caller.ping("10.77.0.1", "-s", "1300")
    caller.stop()
    lns.waitFor("alice from .* ended after")
    lns.shutDown()


def test_anOutgoingCall(network: Network, startGateway: StartGateway, nullModem: NullModem) -> None:
    """
    A PNS asks the gateway, a PAC, for a call to a number (RFC 2637 section 2.7). The gateway dials
    it on a serial line, and PPP passes between the PNS and the pppd that answers there.
    """
    device, answered = nullModem.devices
    destination = {
        "name": "modem",
        "tunnel": "hdlc",
        "endpoints": [f"serial:{device}:115200"],
        "called": ["5551234"],
        "authenticated": False,
    }
    gateway = startGateway(
        listen={"tunnels": ["pptp", "hdlc"]},
        hdlc={"endpoints": ["pty:"], "chat": "'' 'ATDT\\T' CONNECT"},
        **{"[forwarding.destination]": destination},
    )
    caller, server = network.hosts(2)
    tunnel = f"pptp {GATEWAY_ADDRESS} --nolaunchpppd --loglevel 0 --phone 5551234"
    link = caller.callBy(["pty", tunnel], *CAROL, "noccp")
    # A modem would dial. This one says at once that somebody has answered.
    modem = os.open(answered, os.O_RDWR | os.O_NOCTTY)
    heard = b""
    while not heard.endswith(b"\r"):
        heard += os.read(modem, 64)
    assert heard == b"ATDT5551234\r"
    os.write(modem, b"CONNECT\r")
    os.close(modem)
    answering(server, [answered, "115200", "local"], "noccp")
    link.up(60)
    link.ping("10.9.0.1", "-s", "1300")
    gateway.waitFor("passed on by hdlc to serial:")
    link.hangUp()
    gateway.waitFor("ended after")


def processorTime(gateway: Gateway) -> int:
    """
    Return the processor's time that the gateway has used, in ticks.
    """
    words = Path(f"/proc/{gateway.pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


@pytest.mark.parametrize("path", ["kernel"], indirect=True)
def test_inTheKernel(
    network: Network, startGateway: StartGateway, tmp_path: Path, path: str
) -> None:
    """
    Where the kernel carries both calls it passes frames from one to the other, and counts them.
    Either end hangs up. With a limit of idle time, for which the kernel's figures are too coarse,
    frames pass through the process.
    """
    loadL2TP()
    hosts = network.hosts(2)
    (tmp_path / "users").touch(0o600)
    (tmp_path / "users").write_text('carol * "battery staple" *\n')
    destination = {
        "name": "isp",
        "tunnel": "l2tp",
        "endpoints": [hosts[1].address],
        "called": [GATEWAY_ADDRESS],
    }
    used: list[int] = []
    for idle in (600, 0):
        lns = LNS(hosts[1], "noccp")
        gateway = startGateway(
            auth=f"chap-secrets:{tmp_path / 'users'}",
            listen={"tunnels": ["pptp", "l2tp"]},
            l2tp={"clear": "accept"},
            limits={"idle-timeout": idle},
            link={"encryption": "off", "authentication": ["chap"]},
            **{"[forwarding.destination]": destination},
        )
        for end in ("caller", "LNS"):
            caller = hosts[0].call(*CAROL, "noccp").up(60)
            before = processorTime(gateway)
            caller.ping("10.9.0.1", "-s", "1000", "-f", "-i", "0", "-l", "8", count=1000)
            used.append(processorTime(gateway) - before)
            if end == "caller":
                caller.hangUp()
            else:
                lns.stop()
                caller.wait(30)
            ended = (
                rf"0000{len(used) % 2 or 2}\] carol .* ended .* (\d+) octets received, (\d+) sent"
            )
            found = gateway.waitFor(ended)
            # The kernel counts some control frames besides.
            assert all(1_028_000 <= int(one) < 1_029_000 for one in found.groups())
        gateway.shutDown()
        assertGone(network)
    assert 4 * sum(used[2:]) < sum(used[:2]), used
