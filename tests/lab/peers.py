"""
Real clients in network namespaces: one wire, the hosts on it, and their pppd and pptp.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

GATEWAY_ADDRESS = "192.0.2.1"
"""
The address of the gateway on the wire.
"""

INSIDE_ADDRESS = "198.51.100.2"
"""
The address of a host behind the gateway, which routes the pool back to the gateway.
"""

INSIDE_ADDRESS6 = "fc00:0:ff::2"
"""
The IPv6 address of the host behind the gateway, where there is IPv6.
"""

LOCAL_ADDRESS = "10.77.0.1"
"""
The address of the gateway's end of every link, which is the default.
"""


_libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace: str) -> None:
    """
    Move the thread that calls this to another network namespace, given by its file.
    """
    with open(namespace) as entrance:
        if _libc.setns(entrance.fileno(), 0):
            raise OSError(ctypes.get_errno(), "can't enter the namespace", namespace)


def run(*command: str, timeout: float = 30.0, stdin: str = "") -> str:
    """
    Run a command, which must succeed, and return its output.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, input=stdin)
    assert done.returncode == 0, (
        f"{command} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
    )
    return done.stdout


class Process:
    """
    A running program, whose output goes to a file.

    @ivar log: the path of the file.
    @cvar logs: the files of all processes that were started during a test.
    """

    logs: ClassVar[list[Path]] = []

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        self.logs.append(log)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self.pid = self._process.pid

    @property
    def text(self) -> str:
        """
        The output up to now.
        """
        return self.log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def waitFor(self, pattern: str, timeout: float = 20.0) -> re.Match[str]:
        """
        Wait until the output matches C{pattern}, and return the match. Fail if the program ends
        before, or after C{timeout} seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            ended = not self.running
            if match := re.search(pattern, self.text):
                return match
            assert not ended, f"ended ({self._process.returncode}) before {pattern!r}:\n{self.text}"
            assert time.monotonic() < deadline, f"no {pattern!r} in {timeout} s:\n{self.text}"
            time.sleep(0.02)

    def wait(self, timeout: float = 20.0) -> int:
        """
        Wait for the end of the program, and return its exit status, which is negative for a signal.
        """
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s:\n{self.text}") from None

    def stop(self, number: int = signal.SIGTERM, timeout: float = 20.0) -> int:
        """
        Send a signal if the program still runs, and wait for its end.
        """
        if self.running:
            self._process.send_signal(number)
        return self.wait(timeout)

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """
        Send a signal, to which the program must react.

        @return: the exit status.
        """
        return self.stop(number, 15)


class Namespace:
    """
    A network namespace.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = f"/run/netns/{name}"
        run("ip", "netns", "add", name)
        # The IPv6 addresses that the kernel makes seconds later would disturb the tests.
        self.setIPv6(False)
        self.ip("link set lo up")

    def command(self, *command: str) -> list[str]:
        """
        Return the command that runs C{command} in this namespace.
        """
        return ["nsenter", f"--net={self.path}", "--", *command]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """
        Be in this namespace, so that a command that is run is, too. C{nsenter} would be one more
        program to start.
        """
        with open("/proc/thread-self/ns/net") as own:
            enter(self.path)
            try:
                yield
            finally:
                enter(f"/proc/self/fd/{own.fileno()}")

    def run(self, *command: str, timeout: float = 30.0) -> str:
        """
        Run a command in this namespace, which must succeed, and return its output.
        """
        with self.entered():
            return run(*command, timeout=timeout)

    def sysctl(self, *settings: str) -> None:
        """
        Set kernel parameters, each C{"NAME=VALUE"}.
        """
        self.run("sysctl", "-q", "-w", *settings)

    def setIPv6(self, on: bool, *devices: str) -> None:
        """
        Turn IPv6 on or off for these devices, and for those to come.
        """
        for device in (*devices, "default"):
            # Addresses are usable without the seconds of duplicate address detection.
            switches = (f"accept_dad={int(not on)}", f"disable_ipv6={int(not on)}")
            self.sysctl(*(f"net.ipv6.conf.{device}.{switch}" for switch in switches))

    def ip(self, *lines: str) -> None:
        """
        Run lines of ip(8) in this namespace.
        """
        run("ip", "-n", self.name, "-batch", "-", stdin="\n".join(lines))

    def show(self, *what: str) -> list[dict[str, object]]:
        """
        Return what C{ip -json} prints for these words.
        """
        found = json.loads(run("ip", "-n", self.name, "-json", *what) or "[]")
        assert isinstance(found, list)
        return found

    def showEach(self, *lines: str) -> list[list[dict[str, object]]]:
        """
        Return what C{ip -json} prints for each of these lines, by one program.
        """
        batch = ["ip", "-n", self.name, "-json", "-batch", "-"]
        text = run(*batch, stdin="\n".join(lines))
        return [json.loads(line) for line in text.splitlines()]

    def ping(self, address: str, *options: str, count: int = 3) -> None:
        """
        Send C{count} pings, all of which must be answered.
        """
        command = ["ping", "-c", str(count), "-i", "0.05", "-W", "5", *options, address]
        self.run(*command, timeout=30 + count / 20)

    def reaches(self, address: str, *options: str) -> bool:
        """
        Return whether one ping is answered within a second.
        """
        command = ["ping", "-c", "1", "-W", "1", *options, address]
        with self.entered():
            return subprocess.run(command, capture_output=True).returncode == 0

    def kill(self) -> None:
        """
        Kill every process in this namespace by SIGKILL, so that none of them can say goodbye.
        """
        here = os.stat(self.path).st_ino
        pids = []
        for entry in os.listdir("/proc"):
            if entry.isdecimal():
                with suppress(OSError):
                    if os.stat(f"/proc/{entry}/ns/net").st_ino == here:
                        pids.append(int(entry))
        # Stop all first, so that none notices the end of another and reports it.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)


class Network:
    """
    The wire, the gateway's namespace on it, a host behind the gateway, and as many callers' hosts
    as tests need.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gateway = Namespace("gateway")
        self.inside = Namespace("inside")
        self.gateway.ip(
            # The bridge has an address of its own. Otherwise it would have a port's, and another
            # one when that port is unplugged.
            "link add wire address 02:00:00:00:00:01 type bridge",
            f"addr add {GATEWAY_ADDRESS}/24 dev wire",
            "link set wire up",
            "link add lan type veth peer name eth0 netns inside",
            "addr add 198.51.100.1/24 dev lan",
            "link set lan up",
        )
        self.inside.ip(
            f"addr add {INSIDE_ADDRESS}/24 dev eth0",
            "link set eth0 up",
            "route add default via 198.51.100.1",
        )
        self.gateway.sysctl("net.ipv4.ip_forward=1")
        self._hosts: list[Host] = []

    def host(self, index: int = 0) -> Host:
        """
        Return the caller's host with this number, and make it if needed.
        """
        while len(self._hosts) <= index:
            self._hosts.append(Host(self, len(self._hosts)))
        return self._hosts[index]

    def hosts(self, count: int) -> list[Host]:
        """
        Return the first C{count} hosts.
        """
        return [self.host(index) for index in range(count)]

    def enableIPv6(self) -> None:
        """
        Set up IPv6 from the callers' hosts that exist to the host inside.
        """
        self.gateway.setIPv6(True, "lan")
        self.gateway.sysctl("net.ipv6.conf.all.forwarding=1")
        self.gateway.ip("addr add fc00:0:ff::1/64 dev lan nodad")
        self.inside.setIPv6(True, "eth0")
        self.inside.ip(
            f"addr add {INSIDE_ADDRESS6}/64 dev eth0 nodad", "route add default via fc00:0:ff::1"
        )
        for host in self._hosts:
            host.setIPv6(True)

    def disableIPv6(self) -> None:
        """
        Turn IPv6 off again, which removes its addresses and routes.
        """
        self.gateway.sysctl("net.ipv6.conf.all.forwarding=0")
        self.gateway.setIPv6(False, "lan")
        self.inside.setIPv6(False, "eth0")
        for host in self._hosts:
            host.setIPv6(False)

    def reset(self) -> None:
        """
        Kill all programs on the hosts and inside, and restore the wires.
        """
        self.inside.kill()
        # The properties of the path to one caller's address don't apply to the next caller.
        self.inside.ip("route flush cache", "tcp_metrics flush")
        for host in self._hosts:
            host.kill()
            host.restore()


class Host(Namespace):
    """
    The host of a caller.

    @ivar address: its address on the wire.
    """

    def __init__(self, network: Network, index: int) -> None:
        super().__init__(f"host{index}")
        self.address = f"192.0.2.{index + 10}"
        self._network = network
        self._port = f"port{index}"
        self._impaired = False
        self.runFolder = network.folder / self.name
        self.runFolder.mkdir()
        self._mounted = self._mount()
        network.gateway.ip(
            f"link add {self._port} type veth peer name eth0 netns {self.name}",
            f"link set {self._port} master wire up",
        )
        self.ip(f"addr add {self.address}/24 dev eth0", "link set eth0 up")
        self._calls = 0

    def _mount(self) -> int:
        """
        Make the mounts of this host: pptp finds other calls of its host by a socket in
        C{/run/pptp}, which is a folder of the host's own.

        @return: a file descriptor, which keeps them.
        """
        script = 'mount --bind "$0" /run/pptp && echo && read end'
        command = ["unshare", "--mount", "sh", "-c", script, str(self.runFolder)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
            assert process.stdout is not None
            assert process.stdout.read(1) == b"\n"
            return os.open(f"/proc/{process.pid}/ns/mnt", os.O_RDONLY)

    def command(self, *command: str) -> list[str]:
        mounts = f"--mount=/proc/{os.getpid()}/fd/{self._mounted}"
        return ["nsenter", f"--net={self.path}", mounts, "--", *command]

    def call(self, user: str, password: str, *options: str) -> Caller:
        """
        Dial the gateway with pppd and pptp; C{options} are pppd's.
        """
        tunnel = f"pptp {GATEWAY_ADDRESS} --nolaunchpppd --loglevel 0"
        return self.callBy(["pty", tunnel], user, password, *options)

    def callBy(self, line: Sequence[str], user: str, password: str, *options: str) -> Caller:
        """
        Dial with pppd over another line; C{line} are the options of pppd that name it.
        """
        self._calls += 1
        log = self.runFolder / f"pppd-{self._calls}.log"
        return Caller(self, line, user, password, options, log)

    def redial(self, timeout: float, user: str, password: str, *options: str) -> Caller:
        """
        Dial until a call comes up, each time for at most eight seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            caller = self.call(user, password, *options)
            try:
                return caller.up(8)
            except AssertionError:
                caller.stop()
                if time.monotonic() > deadline:
                    raise

    def impair(self, *netem: str) -> None:
        """
        Impair this host's wire in both directions; the arguments are netem's, such as C{"loss",
        "2%"}.
        """
        self.impairSending(*netem)
        self.impairReceiving(*netem)

    def impairSending(self, *netem: str) -> None:
        """
        Impair what this host sends.
        """
        self._impaired = True
        self._netem(self.name, "eth0", *netem)

    def impairReceiving(self, *netem: str) -> None:
        """
        Impair what this host receives.
        """
        self._impaired = True
        self._netem(self._network.gateway.name, self._port, *netem)

    def _netem(self, namespace: str, device: str, *netem: str) -> None:
        run("tc", "-n", namespace, "qdisc", "replace", "dev", device, "root", "netem", *netem)

    def unplug(self) -> None:
        """
        Cut the wire: no more packets pass, and neither end is told.
        """
        self._impaired = True
        self._network.gateway.ip(f"link set {self._port} nomaster")

    def restore(self) -> None:
        """
        Undo L{impair} and L{unplug}.
        """
        if not self._impaired:
            return
        self._impaired = False
        self._network.gateway.ip(f"link set {self._port} master wire")
        for namespace, device in ((self.name, "eth0"), (self._network.gateway.name, self._port)):
            command = ["tc", "-n", namespace, "qdisc", "del", "dev", device, "root"]
            subprocess.run(command, capture_output=True)


class Caller(Process):
    """
    One call of a real client: Debian's pppd, over Debian's pptp or another line.
    """

    def __init__(
        self,
        host: Host,
        line: Sequence[str],
        user: str,
        password: str,
        options: Sequence[str],
        log: Path,
    ) -> None:
        own = ["nodetach", "debug", "noauth", "noipdefault", "user", user, "password", password]
        super().__init__(host.command("pppd", *line, *own, *options), log)
        self.host = host

    def up(self, timeout: float = 20.0) -> Caller:
        """
        Wait until IPCP is open, and return this call.
        """
        self.waitFor(r"remote IP address", timeout)
        return self

    @property
    def address(self) -> str:
        """
        The address that the gateway gave this call.
        """
        return self.waitFor(r"local  IP address (\S+)")[1]

    @property
    def interface(self) -> str:
        """
        The name of the ppp device.
        """
        return self.waitFor(r"Using interface (\S+)")[1]

    def sent(self, pattern: str) -> list[str]:
        """
        Return the packets that pppd sent and that match C{pattern}, as pppd prints them.
        """
        return [
            line for line in re.findall(r"sent (\[.*\])", self.text) if re.search(pattern, line)
        ]

    def received(self, pattern: str) -> list[str]:
        """
        Return the packets that pppd received and that match C{pattern}, as pppd prints them.
        """
        return [
            line for line in re.findall(r"rcvd (\[.*\])", self.text) if re.search(pattern, line)
        ]

    def ping(self, address: str = LOCAL_ADDRESS, *options: str, count: int = 3) -> None:
        """
        Send pings through this call, all of which must be answered.
        """
        self.host.ping(address, "-I", self.interface, *options, count=count)

    def flood(self, count: int) -> None:
        """
        Send pings through this call as fast as they are answered, eight at a time. All must be
        answered.
        """
        self.ping(LOCAL_ADDRESS, "-f", "-i", "0", "-l", "8", count=count)

    def pings(self, count: int) -> tuple[int, int]:
        """
        Send C{count} pings to the gateway. Return how many are answered, and how many answers come
        twice.
        """
        command = ["ping", "-I", self.interface, "-c", str(count), "-i", "0.02", "-W", "2"]
        with self.host.entered():
            done = subprocess.run(
                [*command, LOCAL_ADDRESS], capture_output=True, text=True, timeout=60
            )
        received = re.search(r"(\d+) received", done.stdout)
        assert received, done.stdout
        return int(received[1]), done.stdout.count("DUP!")

    def reaches(self, timeout: float, address: str = LOCAL_ADDRESS) -> bool:
        """
        Return whether a ping through this call is answered before C{timeout} seconds have passed.
        """
        deadline = time.monotonic() + timeout
        while not self.host.reaches(address, "-I", self.interface):
            if time.monotonic() > deadline:
                return False
        return True

    def reachInside(self) -> None:
        """
        Reach the host inside through this call.
        """
        self.host.ip(f"route add {INSIDE_ADDRESS} dev {self.interface}")

    def transfer(self, what: str, seconds: int = 2) -> None:
        """
        Have iperf3 send by TCP to the host inside, which L{reachInside} reaches and where its
        server runs, and back. Print how fast that was.

        @param what: what is printed before the figures.
        @param seconds: how long each direction takes.
        """
        for direction in ("up", "down"):
            reverse = ["--reverse"] if direction == "down" else []
            words = ["iperf3", "-J", "-c", INSIDE_ADDRESS, "-t", str(seconds), *reverse]
            received = json.loads(self.host.run(*words))["end"]["sum_received"]
            print(f"{what} {direction}: {received['bits_per_second'] / 1e6:.1f} Mb/s")
            assert received["bytes"] > 100_000 * seconds

    def hangUp(self) -> int:
        """
        End the call in order, and return the exit status of pppd.
        """
        return self.stop(signal.SIGTERM)
