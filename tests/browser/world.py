"""
A gateway whose console a real browser opens.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.integration.test_management import ask
from tests.integration.world import ROOT, Client, Served, World

CHROMIUM = shutil.which("chromium") or ""
URL = "http://127.0.0.1:8723/"
PASSWORD = "open sesame"
ALICE = ("alice", PASSWORD)
MARKUP = "<script>alert(1)</script>"
ARABIC = "مريم"
FAILURES = 4
"""
The wrong passwords that lock a user out. The first of them is answered after a second, the last one
after eight.
"""
OPERATORS = {"ada": "admin", "olga": "operator", "vic": "viewer"}
ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def lacking() -> str:
    """
    The reason why there is no browser, or an empty string.
    """
    if not CHROMIUM:
        return "needs Debian's package chromium"
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "needs the package playwright"
    return ""


def until(condition: Callable[[], Any], timeout: float = 10.0) -> Any:
    """
    Wait until C{condition} returns something true, and return that.
    """
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)
    return found


class Site:
    """
    The gateway, its store with users and operators, and callers.
    """

    def __init__(self, world: World, folder: Path, name: str = "gate <b>1</b>") -> None:
        """
        @param name: the name of the gateway.
        """
        self.world = world
        self.name = name
        self.folder = folder
        self.socket = folder / "socket"
        self.certificate = folder / "sstp.pem"
        self._store = f"sqlite:{folder / 'accounts.sqlite'}"
        self._key = folder / "accounts.key"
        self._client: Client | None = None
        command = [sys.executable, "-m", "pptpgw.command", "user", "add", ALICE[0], "--stdin"]
        subprocess.run(
            [*command, "--store", self._store],
            input=f"{PASSWORD}\n".encode(),
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        self.served = self.serve()
        for name in (MARKUP, ARABIC):
            self.ask("POST", "/users", {"name": name, "password": PASSWORD})
        for name, role in OPERATORS.items():
            self.ask("POST", "/operators", {"name": name, "role": role, "password": PASSWORD})

    def serve(self) -> Served:
        """
        Start the gateway.
        """
        return Served(
            self.world,
            self.folder,
            {
                "management": {
                    "endpoints": [f"unix:{self.socket}:mode=600", "tcp:8723:interface=127.0.0.1"]
                },
                "accounts": {"store": self._store, "key": str(self._key)},
                "limits": {"max-failures": FAILURES},
                "link": {"name": self.name},
                "listen": {"tunnels": ["pptp", "sstp", "l2tp"]},
                "sstp": {"certificate": str(self.certificate)},
                "l2tp": {"clear": "accept"},
            },
            "accounts",
        )

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """
        Ask the gateway on its Unix socket, and return its answer.
        """
        status, answer = ask(self.socket, method, path, body)
        assert status < 300, answer
        return answer

    def client(self) -> Client:
        """
        Return the client on the caller's host, which all tests share: it takes a second to start.
        """
        if self._client is None or not self._client.running:
            self._client = Client(self.world.caller)
        return self._client

    def stop(self) -> None:
        """
        Stop the client and the gateway, which must end in order.
        """
        if self._client is not None:
            self._client.kill()
        status = self.served.interrupt()
        assert status == 0, self.served.text
        assert "Traceback" not in self.served.text, self.served.text

    def hangUp(self) -> None:
        """
        End all calls of the client, and wait until no session is left.
        """
        if self._client is not None and self._client.running:
            self._client.ask("close")
        until(lambda: self.ask("GET", "/sessions")["total"] == 0)

    def logOut(self, name: str) -> None:
        """
        End all sessions of the console of an operator, by disabling and enabling the operator.
        """
        for disabled in (True, False):
            self.ask("PATCH", f"/operators/{quote(name)}", {"disabled": disabled})
