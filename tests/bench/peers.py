"""
Our data paths beside other PPTP servers: Debian's pptpd, and accel-ppp where C{ACCEL} is the path
of accel-pppd. It runs in the lab kernel: C{make bench-peers}.

The client is Debian's pppd with pptp, and iperf3 runs between its host and one behind the server.
Measured are

 - the time from the start of pppd until its IP is up; one second of it is pptp's own wait;
 - the speed of TCP both ways, in clear and with MPPE-128;
 - at a rate that all of them reach, the processor time of the server's processes for a gigabyte,
   and that of the whole machine, client included. The kernel's own work in the path of a packet is
   only in the latter.

The lab kernel has one processor, and system calls cost several times what they do elsewhere: only
the ratios between servers mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import devices, paths
from tests.bench.report import Report, machine, table, today, write
from tests.bench.row import Figure, Trial, measure
from tests.lab.peers import INSIDE_ADDRESS, Caller, Network, Process, run
from tests.lab.server import ALICE, Gateway

MODES = {"plain": "nomppe", "MPPE": "require-mppe-128"}
"""
The client's options.
"""

RATE = "10M"
TICKS = os.sysconf("SC_CLK_TCK")


class Server(ABC):
    """
    A server that can be dialled.
    """

    name: str

    @abstractmethod
    def start(self, network: Network, folder: Path, encrypted: bool) -> Process:
        """
        Start it, with the user L{ALICE}, and return its process when it listens.
        """


class Ours(Server):
    """
    Our gateway, with one data path.
    """

    def __init__(self, path: str) -> None:
        self.name = path

    def start(self, network: Network, folder: Path, encrypted: bool) -> Process:
        link = {"encryption": "require" if encrypted else "off"}
        return Gateway(
            network.gateway, folder, {"link": link, "datapath": paths.configured(self.name)}
        )


class PPTPD(Server):
    """
    Debian's pptpd.
    """

    name = "pptpd"

    def start(self, network: Network, folder: Path, encrypted: bool) -> Process:
        options = folder / "options"
        mppe = "require-mppe-128" if encrypted else "nomppe"
        options.write_text(f"name gate\nrequire-mschap-v2\n{mppe}\nproxyarp\nlock\nnobsdcomp\n")
        _secrets()
        configuration = folder / "pptpd.conf"
        configuration.write_text(
            f"option {options}\nlocalip 10.77.0.1\nremoteip 10.77.0.10-20\nconnections 10\n"
        )
        command = ["pptpd", "--fg", "--conf", str(configuration), "--pidfile", f"{folder}/pid"]
        return _listening(network, command, folder)


class Accel(Server):
    """
    accel-ppp.
    """

    name = "accel-ppp"

    def __init__(self, program: str) -> None:
        self._program = program

    def start(self, network: Network, folder: Path, encrypted: bool) -> Process:
        _secrets()
        configuration = folder / "accel.conf"
        configuration.write_text(
            "[modules]\nlog_file\npptp\nauth_mschap_v2\nchap-secrets\nippool\n"
            "[core]\nthread-count=1\n"
            f"[log]\nlog-file={folder}/accel.log\nlevel=2\n"
            f"[ppp]\nmppe={'require' if encrypted else 'deny'}\nmtu=1400\nmru=1400\nipv4=require\n"
            "[pptp]\n[chap-secrets]\nchap-secrets=/etc/ppp/chap-secrets\n"
            "[ip-pool]\ngw-ip-address=10.77.0.1\n10.77.0.10-100\n"
            "[client-ip-range]\n0.0.0.0/0\n"
        )
        return _listening(network, [self._program, "-c", str(configuration)], folder)


def _secrets() -> None:
    user, password = ALICE
    Path("/etc/ppp/chap-secrets").write_text(f'{user} * "{password}" *\n')


def _listening(network: Network, command: list[str], folder: Path) -> Process:
    process = Process(network.gateway.command(*command), folder / "server.log")
    deadline = time.monotonic() + 20
    while ":1723" not in network.gateway.run("ss", "-ltn"):
        if not process.running or time.monotonic() > deadline:
            raise RuntimeError(f"{command[0]} doesn't listen:\n{process.text}")
        time.sleep(0.05)
    return process


def busy() -> float:
    """
    Return the seconds that this machine's processor has worked.
    """
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / TICKS


def used(process: Process) -> float:
    """
    Return the seconds of processor time of a process and its descendants.
    """
    fields = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        fields[int(stat.parent.name)] = int(words[1]), int(words[11]) + int(words[12])
    family, size = {process.pid}, 0
    while size != len(family):
        size = len(family)
        family |= {pid for pid, (parent, _) in fields.items() if parent in family}
    return sum(fields[pid][1] for pid in family if pid in fields) / TICKS


@contextmanager
def serving(
    server: Server, network: Network, encrypted: bool
) -> Iterator[tuple[Process, Caller, float]]:
    """
    A server and a call to it.

    @return: its process, the call, and the seconds until it was up.
    """
    with tempfile.TemporaryDirectory() as name:
        process = server.start(network, Path(name), encrypted)
        try:
            host = network.host()
            mode = MODES["MPPE" if encrypted else "plain"]
            begun = time.monotonic()
            caller = host.call(*ALICE, mode, "mtu", "1400", "mru", "1400").up(40)
            took = time.monotonic() - begun
            host.ip(f"route add {INSIDE_ADDRESS} dev {caller.interface}")
            yield process, caller, took
            caller.hangUp()
        finally:
            network.reset()
            process.stop()


def _iperf(caller: Caller, *words: str) -> tuple[float, float]:
    """
    Run iperf3, and return the octets that arrived, and how many a second.
    """
    report = json.loads(caller.host.run("iperf3", "-J", "-c", INSIDE_ADDRESS, *words, timeout=60))
    received = report["end"]["sum_received"]
    return float(received["bytes"]), received["bits_per_second"] / 8


def once(server: Server, network: Network, encrypted: bool, seconds: int) -> tuple[float, ...]:
    """
    Return the seconds until a call was up, Mb/s up and down, and the seconds of processor time for
    a gigabyte: of the server, and of the whole machine.
    """
    with serving(server, network, encrypted) as (process, caller, took):
        far = Process(
            network.inside.command("iperf3", "-s", "--forceflush"), caller.log.with_name("far")
        )
        far.waitFor("listening")
        length = ("-t", str(seconds))
        _, up = _iperf(caller, *length)
        _, down = _iperf(caller, *length, "--reverse")
        begin = used(process), busy()
        octets, _ = _iperf(caller, *length, "--bitrate", RATE)
        own, all_ = used(process) - begin[0], busy() - begin[1]
    return took, up * 8e-6, down * 8e-6, own / octets * 1e9, all_ / octets * 1e9


def servers() -> tuple[list[Server], dict[str, str]]:
    """
    Return the servers that are there, and why others aren't.
    """
    absent = paths.lacking()
    found: list[Server] = [
        Ours(path) for path, reason in absent.items() if not reason and path != paths.TWINS
    ]
    found.append(PPTPD())
    accel = os.environ.get("ACCEL", "")
    if accel:
        found.append(Accel(accel))
    else:
        absent["accel-ppp"] = "ACCEL isn't the path of accel-pppd"
    return found, {name: reason for name, reason in absent.items() if reason}


def main() -> None:
    """
    Measure, and report.
    """
    parser = argparse.ArgumentParser(prog="tests.bench.peers")
    parser.add_argument("--only", metavar="PATTERN", default="", help="a part of a figure's name")
    parser.add_argument("--runs", type=int, default=3, help="runs of each figure (3)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of each iperf3 (4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    options = parser.parse_args()
    if not Path("/run/lab/state").is_dir():
        sys.exit("this runs in the lab kernel: make bench-peers")
    run("modprobe", "-d", "/run/lab/modroot", "-a", "bridge", "veth")
    folder = Path(tempfile.mkdtemp())
    (folder / "ppp").mkdir()
    for name in ("options", "chap-secrets", "pap-secrets"):
        (folder / "ppp" / name).touch(0o600)
    # Hide the machine's own options and secrets of pppd.
    run("mount", "--bind", str(folder / "ppp"), "/etc/ppp")
    Path("/run/pptp").mkdir()
    network = Network(folder)
    found, absent = servers()
    for name, reason in absent.items():
        print(f"not measured: {name}: {reason}", flush=True)

    def failed(figure: str, error: Exception) -> None:
        absent[figure] = f"{type(error).__name__}: {error}"
        print(f"not measured: {figure}: {absent[figure]}", flush=True)

    def trials() -> Iterator[Trial]:
        for mode in MODES:
            for server in found:
                name = f"peer {server.name} {mode}"
                figures = (
                    Figure(f"{name}, dial until IP is up", "s"),
                    Figure(f"{name}, TCP up", "Mb/s", None, True),
                    Figure(f"{name}, TCP down", "Mb/s", None, True),
                    Figure(f"{name}, CPU of the server", "s a GB"),
                    Figure(f"{name}, CPU of the machine", "s a GB"),
                )

                def one(
                    server: Server = server, encrypted: bool = mode == "MPPE"
                ) -> tuple[float, ...]:
                    return once(server, network, encrypted, options.seconds)

                yield Trial(figures, one)
        if not paths.lacking()[paths.KERNEL]:
            yield from devices.trials()

    load = os.getloadavg()[0]
    rows = measure(trials(), (), options.runs, options.only, failed)
    print(table(rows), flush=True)
    after = round(os.getloadavg()[0], 1)
    report = Report(machine(), today(), (round(load, 1), after), options.runs, absent, tuple(rows))
    if options.json:
        write(report, options.json)


if __name__ == "__main__":
    main()
