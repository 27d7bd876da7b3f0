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
FAILURES = 2
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
        self._store = f"sqlite:{folder / 'accounts.sqlite'}"
        self._key = folder / "accounts.key"
        self._clients: list[Client] = []
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
        Start a client on the caller's host.
        """
        self._clients.append(Client(self.world.caller))
        return self._clients[-1]

    def hangUp(self) -> None:
        """
        Kill all clients, and wait until no session is left.
        """
        while self._clients:
            self._clients.pop().kill()
        until(lambda: self.ask("GET", "/sessions")["total"] == 0)

    def restart(self) -> None:
        """
        Kill the gateway, and start it again.
        """
        self.served.stop(9)
        self.served = self.serve()

    def logOut(self, name: str) -> None:
        """
        End all sessions of the console of an operator, by giving it another password and back.
        """
        self.ask("PATCH", f"/operators/{quote(name)}", {"password": PASSWORD + "!"})
        self.ask("PATCH", f"/operators/{quote(name)}", {"password": PASSWORD})
