"""
Debian's xl2tpd with pppd, as LAC that calls and as LNS that is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from tests.lab.lines import CAROL, SECRETS
from tests.lab.peers import GATEWAY_ADDRESS, Caller, Host, Process


def _private(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path


class XL2TPD(Caller):
    """
    A call of xl2tpd, which starts pppd. Its output is that of both.
    """

    def __init__(
        self,
        host: Host,
        user: str,
        password: str,
        *options: str,
        secret: str = "",
        challenge: bool = True,
        server: str = GATEWAY_ADDRESS,
        lac: Sequence[str] = (),
        port: int = 1701,
    ) -> None:
        """
        @param options: the options of pppd.
        @param secret: the secret of the tunnel; empty for none.
        @param challenge: whether we must prove that we know the secret, too.
        @param lac: more lines of the section C{[lac]}.
        @param port: the UDP port of this end; several on one host need several.
        """
        self.host = host
        folder = Path(mkdtemp(prefix="xl2tpd-", dir=host.runFolder))
        self._control = folder / "control"
        self.pppd = folder / "pppd.log"
        self.pppd.write_text("")
        words = ["noauth", "noipdefault", "debug", f"logfile {self.pppd}", "nodetach"]
        words += [f"user {user}", f'password "{password}"', *options]
        (folder / "options").write_text("\n".join(words) + "\n")
        demand = ["challenge = yes"] if secret and challenge else []
        (folder / "xl2tpd.conf").write_text(
            "\n".join(
                [
                    "[global]",
                    "debug tunnel = yes",
                    "debug state = yes",
                    f"port = {port}",
                    "[lac gateway]",
                    f"lns = {server}",
                    "autodial = yes",
                    f"pppoptfile = {folder / 'options'}",
                    *demand,
                    *lac,
                    "",
                ]
            )
        )
        _private(folder / "secrets", f"* * {secret}\n" if secret else "")
        Process.__init__(self, host.command(*_command(folder)), folder / "xl2tpd.log")

    @property
    def text(self) -> str:
        """
        The output of xl2tpd and of all pppds up to now.
        """
        return super().text + self.pppd.read_text(errors="replace")

    def up(self, timeout: float = 20.0) -> XL2TPD:
        """
        Wait until IPCP is open, and return this call.
        """
        super().up(timeout)
        return self

    def disconnect(self) -> None:
        """
        Hang up in order. xl2tpd stays, and says nothing when it is ended by a signal.
        """
        with self._control.open("w") as control:
            control.write("d gateway")


def _command(folder: Path) -> list[str]:
    return [
        *("xl2tpd", "-D", "-c", str(folder / "xl2tpd.conf"), "-s", str(folder / "secrets")),
        *("-p", str(folder / "pid"), "-C", str(folder / "control")),
    ]


class LNS(Process):
    """
    xl2tpd as an LNS, which knows L{CAROL} and gives addresses from 10.9.0.2 on.
    """

    def __init__(self, host: Host, *options: str, secret: str = "") -> None:
        folder = Path(mkdtemp(prefix="lns-", dir=host.runFolder))
        etc = folder / "ppp"
        etc.mkdir(exist_ok=True)
        (etc / "options").touch()
        for name in ("chap-secrets", "pap-secrets"):
            _private(etc / name, SECRETS)
        self.pppd = folder / "pppd.log"
        self.pppd.write_text("")
        words = ["auth", "name server", "debug", f"logfile {self.pppd}", "nodetach", *options]
        (folder / "options").write_text("\n".join(words) + "\n")
        challenge = ["challenge = yes"] if secret else []
        (folder / "xl2tpd.conf").write_text(
            "\n".join(
                [
                    "[global]",
                    "debug tunnel = yes",
                    "[lns default]",
                    "ip range = 10.9.0.2-10.9.0.9",
                    "local ip = 10.9.0.1",
                    "require authentication = yes",
                    f"pppoptfile = {folder / 'options'}",
                    *challenge,
                    "",
                ]
            )
        )
        _private(folder / "secrets", f"* * {secret}\n" if secret else "")
        mounted = f'mount --bind {etc} /etc/ppp && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", mounted, "sh", *_command(folder)]
        super().__init__(host.command(*command), folder / "xl2tpd.log")
        self.waitFor("Listening on IP address")

    @property
    def text(self) -> str:
        """
        The output of xl2tpd and of all pppds up to now.
        """
        return super().text + self.pppd.read_text(errors="replace")


__all__ = ["CAROL", "LNS", "XL2TPD"]
