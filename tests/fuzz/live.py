"""
Fuzzing of a running gateway over all its tunnels, in every phase, in namespaces of its own.

L{tests.fuzz.attacker} attacks, and an honest client must get its calls all the while. At the end
the gateway must have logged no failure, hold nothing of the attackers' and stop in order.

Run it as root: C{python -m tests.fuzz.live SECONDS [SEED]}. In C{make fuzz} it is one of the kinds.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.attacker import ADDRESS
from tests.integration.world import ALICE, ROOT, Client, Served, World, fingerprint

SETTLE_SECONDS = 150.0
"""
Seconds within which the loss of a call's peer is noticed, by echoes or by the end of the set-up
time.
"""

OWN_TIMERS = 4
"""
The number of timers that the gateway may have more than before.
"""

SECTIONS: dict[str, dict[str, object]] = {
    "listen": {"max-connections-per-host": 512, "tunnels": ["pptp", "sstp", "l2tp"]},
    "l2tp": {"clear": "accept"},
    "link": {
        "authentication": ["mschapv2", "mschap", "chap", "pap"],
        "encryption": "prefer",
        "encryption-bits": [128, 56, 40],
        "encryption-stateful": True,
        "echo-interval": 5,
        "echo-failures": 3,
        "setup-timeout": 20,
    },
    "limits": {"max-failures": 0, "max-failures-per-source": 0},
    "network": {"protocols": ["ipv4", "ipv6", "ipx", "bridge", "appletalk", "netbios"]},
    "ipv6": {"delegate": ["fc00:1::/48"]},
}

_FAILURE = re.compile(r"Traceback|critical\]", re.IGNORECASE)
_SHOWN_LINES = 60


def fuzz(seconds: float, seed: str = "") -> list[str]:
    """
    Attack a gateway for C{seconds}.

    @return: what was wrong.
    """
    seed = seed or str(time.time_ns())
    print(f"live: seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="pptpgw-fuzz.") as name:
        folder = Path(name)
        world = World(folder)
        try:
            world.gateway.run("sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=0")
            world.caller.ip(f"addr add {ADDRESS}/24 dev eth0")
            return _attacked(world, folder, seconds, seed)
        finally:
            world.remove()


def _attacked(world: World, folder: Path, seconds: float, seed: str) -> list[str]:
    certificate = folder / "sstp.pem"
    served = Served(world, folder, SECTIONS | {"sstp": {"certificate": str(certificate)}})
    commands = (
        ("call", *ALICE, 1400),
        ("sstp", *ALICE, fingerprint(certificate)),
        ("l2tp", *ALICE),
    )
    honest = Client(world.caller)
    wrong: list[str] = []
    answered = 0
    try:
        # Some sockets are opened for the first call.
        for command in commands:
            assert "error" not in honest.ask(*command)
        honest.ask("close")
        quiet = served.state()
        quiet["timers"] += OWN_TIMERS
        attackers = (sys.executable, "-m", "tests.fuzz.attacker", str(seconds), seed)
        attacker = subprocess.Popen(world.caller.command(*attackers), cwd=ROOT)
        try:
            while attacker.poll() is None:
                command = commands[answered % len(commands)]
                call = honest.ask(*command)
                if "error" in call or honest.ask("ping", call["number"]):
                    wrong.append(f"an honest caller wasn't served: {command[0]}: {call}")
                honest.ask("close")
                answered += 1
        finally:
            attacker.kill()
            if attacker.wait() != 0:
                wrong.append("the attackers failed")
        print(f"live: {answered} honest calls were served", flush=True)
        deadline = time.monotonic() + SETTLE_SECONDS
        while any((state := served.state())[name] > most for name, most in quiet.items()):
            if time.monotonic() > deadline:
                wrong.append(f"left behind: {state}, at most {quiet} is allowed")
                break
            time.sleep(0.5)
    except AssertionError as error:
        wrong.append(str(error))
    finally:
        honest.kill()
    try:
        # SIGTERM, as a program in the background may ignore SIGINT.
        if served.interrupt(signal.SIGTERM) != 0:
            wrong.append("the gateway didn't stop in order")
    except AssertionError:
        wrong.append("the gateway doesn't stop")
    if _FAILURE.search(served.text):
        wrong.append("a failure was logged")
    if wrong:
        wrong.append("\n".join(served.text.splitlines()[-_SHOWN_LINES:]))
    return wrong


if __name__ == "__main__":
    found = fuzz(float(sys.argv[1]), *sys.argv[2:3])
    print("\n".join(found) or "live: nothing was found")
    sys.exit(bool(found))
