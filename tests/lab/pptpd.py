"""
Debian's pptpd with pppd, as a server that we dial.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

from tests.lab.lines import CAROL, SECRETS
from tests.lab.peers import Host, Process

LOCAL, REMOTE = "10.9.0.1", "10.9.0.2"
"""
The address of the server within each call, and the first one that it gives.
"""


class PPTPD(Process):
    """
    pptpd, which knows L{CAROL}. The constructor returns when it listens.
    """

    def __init__(self, host: Host, *options: str) -> None:
        """
        @param options: the options of pppd.
        """
        folder = Path(mkdtemp(prefix="pptpd-", dir=host.runFolder))
        etc = folder / "ppp"
        etc.mkdir()
        (etc / "options").touch()
        for name in ("chap-secrets", "pap-secrets"):
            (etc / name).touch(0o600)
            (etc / name).write_text(SECRETS)
        self.pppd = folder / "pppd.log"
        self.pppd.write_text("")
        words = ["name server", "auth", "debug", f"logfile {self.pppd}", "nobsdcomp", *options]
        (folder / "options").write_text("\n".join(words) + "\n")
        (folder / "pptpd.conf").write_text(
            f"option {folder / 'options'}\nlocalip {LOCAL}\nremoteip {REMOTE}-9\nconnections 8\n"
        )
        mounted = f'mount --bind {etc} /etc/ppp && exec "$@"'
        files = ["--conf", str(folder / "pptpd.conf"), "--pidfile", str(folder / "pid")]
        command = ["unshare", "--mount", "sh", "-c", mounted, "sh", "pptpd", "--fg", *files]
        super().__init__(host.command(*command), folder / "pptpd.log")
        while ":1723" not in host.run("ss", "-ltn"):
            assert self.running, self.text

    @property
    def text(self) -> str:
        """
        The output of pptpd and of all pppds up to now.
        """
        return super().text + self.pppd.read_text(errors="replace")


__all__ = ["CAROL", "LOCAL", "PPTPD", "REMOTE"]
