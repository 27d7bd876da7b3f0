"""
Tests for our own client with the service, over a wire and two kernels.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.world import (
    ALICE,
    CALLER,
    INSIDE,
    LOCAL,
    METER,
    ROOT,
    SECRETS,
    Client,
    World,
)
from tests.lab.server import toml

Start = Callable[[], Client]


class TestCalls:
    def test_severalCallsOnOneConnectionAndOnAnother(self, serve: Serve, client: Start) -> None:
        served, one, other = serve(), client(), client()
        calls = [one.dial(), one.dial(), one.dial(METER)]
        second = other.dial()
        assert len({call["address"] for call in [*calls, second]}) == 4
        for call in calls:
            assert call["encryption"] == "MPPE 128 bit stateless"
            assert one.ask("ping", call["number"]) == {}
        assert other.ask("ping", second["number"]) == {}
        assert served.text.count("control connection from") == 2
        one.ask("close")
        assert other.ask("ping", second["number"]) == {}

    def test_eightRedialsLeaveNothingBehind(self, serve: Serve, client: Start) -> None:
        """
        Eight calls in succession leave nothing behind. The pool has one address, which the next
        caller gets at once. One source has twenty lines in the log, and the rest are counted by a
        timer.
        """
        served, dialling = serve(ipv4={"pool": ["10.77.0.50"]}), client()
        dialling.dial()
        dialling.ask("close")
        served.waitFor("control connection closed")
        quiet = served.state()
        assert (quiet["lines"], quiet["addresses"]) == (0, 0)
        for _ in range(8):
            call = dialling.dial()
            assert call["address"] == "10.77.0.50"
            assert dialling.ask("ping", call["number"]) == {}
            dialling.ask("close")
        # A closed port is kept for some seconds, and so is its timer.
        served.settle(quiet)

    def test_redialsOnOneConnection(self, serve: Serve, client: Start) -> None:
        served, dialling = serve(ipv4={"pool": ["10.77.0.50"]}), client()
        # With the first call the threads open their sockets.
        dialling.ask("hangUp", dialling.dial()["number"])
        quiet = served.state()
        for _ in range(20):
            call = dialling.dial()
            assert "hung up" in dialling.ask("hangUp", call["number"])["cause"]
        served.settle(quiet)

    def test_theServiceStartsAgain(self, serve: Serve, client: Start) -> None:
        """
        The service is started again in the same process after it has hung up its calls.
        """
        served, dialling = serve(), client()
        for again in range(2):
            call = dialling.dial()
            served.restart()
            assert "cause" in dialling.ask("ended", call["number"]), again
            dialling.ask("close")
        assert dialling.ask("ping", dialling.dial()["number"]) == {}


class TestRefusals:
    def test_aWrongPassword(self, serve: Serve, client: Start) -> None:
        served = serve()
        answer = client().ask("call", "alice", "open barley", 1400)
        assert "error" in answer
        served.waitFor("call ended without a session")
        assert served.state()["lines"] == 0

    def test_aClientThatIsNotPermitted(self, serve: Serve, client: Start) -> None:
        served = serve(listen={"clients": ["203.0.113.0/24"]})
        assert "error" in client().ask("connect")
        served.waitFor(f"refused {CALLER}: control connection from a client that isn't permitted")

    def test_moreConnectionsThanAHostMayHave(self, serve: Serve, client: Start) -> None:
        served, one, other = serve(listen={"max-connections-per-host": 1}), client(), client()
        one.dial()
        assert "error" in other.ask("connect")
        served.waitFor(f"refused {CALLER}: too many control connections from one host")
        one.ask("close")
        served.waitFor(f"{CALLER}: control connection closed")
        other.dial()

    def test_anEmptyPool(self, serve: Serve, client: Start) -> None:
        serve(ipv4={"pool": ["10.77.0.50"]})
        dialling = client()
        first = dialling.dial()
        assert "error" in dialling.ask("call", *ALICE, 1400)
        assert dialling.ask("ping", first["number"]) == {}


class TestEnds:
    def test_aKilledClientsSessionEndsWithItsConnection(self, serve: Serve, client: Start) -> None:
        served, dialling = serve(), client()
        dialling.dial()
        began = time.monotonic()
        dialling.kill()
        served.waitFor("alice from .*: ended", timeout=1)
        assert time.monotonic() - began < 1
        assert served.state()["lines"] == 0

    def test_aVanishedHostIsMissed(self, world: World, serve: Serve, client: Start) -> None:
        served, dialling = serve(link={"echo-interval": 1, "echo-failures": 2}), client()
        dialling.dial()
        world.caller.ip("link set eth0 down")
        served.waitFor("alice from .*: ended after [2-6] s.*", timeout=8)
        assert served.state()["addresses"] == 0

    def test_aStoppingGatewayTellsItsCallers(self, serve: Serve, client: Start) -> None:
        served, dialling = serve(), client()
        numbers = [dialling.dial()["number"] for _ in range(3)]
        assert served.interrupt() == 0
        for number in numbers:
            assert "ended" not in dialling.ask("ended", number)
        assert served.text.count("the gateway is stopping") >= 3


class TestPackets:
    def test_pingBothWays(self, world: World, serve: Serve, client: Start) -> None:
        """
        Pings pass in both directions between the caller, the gateway and a host behind it, by each
        kernel's own routing.
        """
        serve()
        dialling = client()
        call = dialling.dial()
        dialling.ask("kernel", call["number"])
        world.caller.ping(LOCAL)
        world.caller.ping(INSIDE)
        world.gateway.ping(call["address"])
        world.inside.ping(call["address"])

    def test_anAddressOutsideThePool(self, world: World, serve: Serve, client: Start) -> None:
        serve()
        dialling = client()
        call = dialling.dial(METER)
        assert call["address"] == "10.99.0.7"
        assert dialling.ask("ping", call["number"]) == {}
        dialling.ask("kernel", call["number"])
        world.caller.ping(INSIDE)
        world.inside.ping("10.99.0.7")
        dialling.ask("close")
        assert not [route for route in world.gateway.show("route") if route["dst"] == "10.99.0.7"]

    def test_aLargePingInFragments(self, world: World, serve: Serve, client: Start) -> None:
        """
        A large ping passes in fragments in both directions over a link whose MTU is smaller than
        the TUN device's.
        """
        serve()
        dialling = client()
        call = dialling.dial(mru=1000)
        dialling.ask("kernel", call["number"])
        world.caller.ping(INSIDE, "-s", "3000")
        world.inside.ping(call["address"], "-s", "3000")

    def test_dontFragment(self, world: World, serve: Serve, client: Start) -> None:
        """
        A sender of unfragmentable packets learns the MTU of the device from the kernel, and from
        the gateway that of the link, in which MPPE and the protocol field take four octets.
        """
        serve()
        for mru, mtu in ((1400, 1400), (1000, 996)):
            dialling = client()
            call = dialling.dial(mru=mru)
            dialling.ask("kernel", call["number"])
            # The first is larger than the link's MTU with its headers, and the second than the
            # device's.
            ping = ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", str(mru), call["address"]]
            done = subprocess.run(world.inside.command(*ping), capture_output=True, text=True)
            assert re.search(rf"[Ff]rag needed.*mtu = {mtu}\b", done.stdout), done.stdout
            dialling.ask("close")

    def test_aForeignSourceAddressIsDropped(
        self, world: World, serve: Serve, client: Start
    ) -> None:
        serve()
        dialling = client()
        call = dialling.dial()
        dialling.ask("kernel", call["number"])
        world.caller.ip("addr add 10.66.0.66/32 dev lo")
        world.inside.ip("route add 10.66.0.66 via 198.51.100.1")
        assert not world.caller.reaches(INSIDE, "-I", "10.66.0.66")
        world.caller.ping(INSIDE)


@pytest.mark.parametrize("host", ["127.0.0.2", "127.0.0.3"])
def test_callingOurselvesAtOneOfSeveralAddresses(world: World, tmp_path: Path, host: str) -> None:
    """
    The gateway calls itself from an address at which it receives GRE, not from the one that the
    kernel would choose.
    """
    configuration, secrets = tmp_path / "pptpgw.toml", tmp_path / "chap-secrets"
    configuration.write_text(toml({"listen": {"addresses": ["127.0.0.2", "127.0.0.3"]}}))
    secrets.touch(0o600)
    secrets.write_text(SECRETS)
    script = str(Path(__file__).parent / "selfcalling.py")
    done = subprocess.run(
        world.gateway.command(
            sys.executable, script, str(configuration), str(secrets), host, *ALICE
        ),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("authentication mschapv2, MPPE 128"), done.stdout + done.stderr
