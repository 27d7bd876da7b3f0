"""
Debian's pptpd and pppd as the server: a gateway that isn't ours, for our client.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab.peers import GATEWAY_ADDRESS, LOCAL_ADDRESS, Namespace, Process
from tests.lab.server import ALICE

SECONDS = 20


class PPTPD(Process):
    """
    pptpd on the wire, with pppd behind it for each call.

    @ivar calls: the file that every pppd writes its log to.
    """

    def __init__(
        self,
        namespace: Namespace,
        folder: Path,
        options: Sequence[str],
        address: str = GATEWAY_ADDRESS,
    ) -> None:
        """
        @param options: those of pppd, a line each.
        @param address: where it listens.
        """
        folder.mkdir()
        user, password = ALICE
        for name in ("chap-secrets", "pap-secrets"):
            (Path("/etc/ppp") / name).write_text(f'{user} * "{password}" *\n')
        self.calls = folder / "pppd.log"
        self.calls.touch()
        self.logs.append(self.calls)
        own = ["name gate", "debug", f"logfile {self.calls}", "nobsdcomp", "novj", "lock"]
        (folder / "options").write_text("\n".join([*own, *options, ""]))
        (folder / "pptpd.conf").write_text(
            f"option {folder}/options\nlisten {address}\nlocalip {LOCAL_ADDRESS}\n"
            "remoteip 10.77.0.10-20\nconnections 10\n"
        )
        conf, pid = f"{folder}/pptpd.conf", f"{folder}/pid"
        command = ["pptpd", "--fg", "--conf", conf, "--pidfile", pid]
        super().__init__(namespace.command(*command), folder / "pptpd.log")
        deadline = time.monotonic() + SECONDS
        while ":1723" not in namespace.run("ss", "-ltn"):
            assert self.running and time.monotonic() < deadline, self.text
            time.sleep(0.05)

    @property
    def said(self) -> str:
        """
        What all pppd have logged.
        """
        return self.calls.read_text(errors="replace")

    def end(self) -> None:
        """
        End pptpd and its pppd, and forget the secrets.
        """
        self.stop()
        for name in ("chap-secrets", "pap-secrets"):
            (Path("/etc/ppp") / name).write_text("")
