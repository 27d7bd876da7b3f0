"""
What C{pptpgw doctor} finds out of this machine, from a L{Host}.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from cryptography import x509

from pptpgw.command.findings import Examined, fault, ok, warning
from pptpgw.command.output import shown
from pptpgw.command.ruleset import GRE, Fate, control, fate
from pptpgw.config.configuration import Configuration
from pptpgw.config.secrecy import exposure
from pptpgw.config.section import KERNEL
from pptpgw.datapath.choice import foreseen
from pptpgw.datapath.hindrance import carriable
from pptpgw.ports.capabilities import NET_ADMIN, NET_RAW
from pptpgw.ports.host import Host
from pptpgw.ports.listening import wordsOf
from pptpgw.ports.privileges import TUN_DEVICE
from pptpgw.tunnels.pptp.tunnel import PPTPSettings
from pptpgw.tunnels.pptp.tunnel import factory as pptp

_IPV4 = "/proc/sys/net/ipv4"
_LISTENS = "0A"
_SOON_DAYS = 30
_MEBIBYTE = 1 << 20
_LITTLE, _TOO_LITTLE = 500 * _MEBIBYTE, 50 * _MEBIBYTE
_GRANT = (
    "run as root, or as a service with AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW "
    "(tap/pptpgw.service)"
)


def examine(host: Host, configuration: Configuration, runs: bool) -> Iterator[Examined]:
    """
    Examine this machine.

    @param runs: whether the gateway of this configuration runs, so that it has what it needs and
        its ports are open.
    """
    yield from _privileges(host, runs)
    if pptp.name in configuration.listen.tunnels:
        yield from _port(host, configuration, runs)
        yield from _firewall(host, configuration)
        yield from _modules(host)
    if carriable(configuration):
        yield from _dataPath(host, configuration, runs)
    yield from _forwarding(host, configuration)
    yield from _reversePath(host)
    yield from _clocks(host)
    yield from _certificates(host, configuration)
    yield from _keys(host, configuration)
    yield from _disks(host, configuration)


def _privileges(host: Host, runs: bool) -> Iterator[Examined]:
    has = host.capabilities()
    for bit, name in ((NET_ADMIN, "CAP_NET_ADMIN"), (NET_RAW, "CAP_NET_RAW")):
        if has >> bit & 1:
            yield ok("privileges", f"this process has {name}")
        elif runs:
            yield ok("privileges", f"this process lacks {name}, but the gateway runs")
        else:
            yield fault("privileges", f"this process lacks {name}", _GRANT)
    if host.mode(TUN_DEVICE) is None:
        advice = "modprobe tun; in a container, pass the device in"
        yield fault(TUN_DEVICE, "it is missing", advice)
    elif not runs and not host.mayUse(TUN_DEVICE):
        yield fault(TUN_DEVICE, "this process may not use it", f"chmod 666 {TUN_DEVICE}")
    else:
        yield ok(TUN_DEVICE, "it is there")


def _port(host: Host, configuration: Configuration, runs: bool) -> Iterator[Examined]:
    settings: PPTPSettings = configuration.section(pptp)
    if settings.endpoints or not settings.port:
        return
    subject = f"TCP port {settings.port}"
    wanted = {_hex(one.packed) for one in configuration.listen.addresses}
    found = [
        (inode, who)
        for address, port, inode in _listeners(host)
        if port == settings.port and (not wanted or address in wanted or not address.strip("0"))
        for who in [_owner(host, inode)]
    ]
    if not found:
        if runs:
            advice = "look at its log, and whether --config names the configuration that it has"
            yield fault(subject, "the gateway runs, but nobody listens", advice)
        else:
            yield ok(subject, "it is free")
    elif runs:
        yield ok(subject, f"{found[0][1] or 'the gateway'} listens")
    elif found[0][1].startswith("pptpgw "):
        advice = "if it is the one of this configuration, start no other"
        yield warning(subject, f"{found[0][1]} listens", advice)
    else:
        who = found[0][1] or "another program (root sees which)"
        advice = "stop it (systemctl disable --now ...), or set [pptp] port"
        yield fault(subject, f"it is taken by {who}", advice)


def _hex(packed: bytes) -> str:
    # /proc has the address as a number in the machine's order of octets.
    return f"{int.from_bytes(packed, 'little'):08X}"


def _listeners(host: Host) -> Iterator[tuple[str, int, str]]:
    """
    Iterate over the TCP ports that are open: address in hexadecimal, port, inode.
    """
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (host.read(path) or "").splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[3] == _LISTENS:
                address, _, port = words[1].partition(":")
                yield address, int(port, 16), words[9]


def _owner(host: Host, inode: str) -> str:
    """
    Return the name and number of the process that has a socket open; empty if that isn't visible.
    """
    for process in host.names("/proc"):
        if process.isdigit():
            folder = f"/proc/{process}/fd"
            if any(host.link(f"{folder}/{n}") == f"socket:[{inode}]" for n in host.names(folder)):
                words = (host.read(f"/proc/{process}/cmdline") or "").split("\0")
                name = (host.read(f"/proc/{process}/comm") or "").strip()
                ours = any(one.rpartition("/")[2] == "pptpgw" for one in words)
                return f"{'pptpgw' if ours else shown(name)} (process {process})"
    return ""


def _firewall(host: Host, configuration: Configuration) -> Iterator[Examined]:
    settings: PPTPSettings = configuration.section(pptp)
    rules = host.ruleset()
    legacy = (host.read("/proc/net/ip_tables_names") or "").split()
    packets = (
        (f"TCP port {settings.port}", control(settings.port), f"tcp dport {settings.port}"),
        ("protocol 47 (GRE)", GRE, "meta l4proto gre"),
    )
    for what, packet, match in packets:
        subject = "firewall"
        try:
            end, chain = (Fate.UNKNOWN, "") if rules is None else fate(rules, packet)
        except ValueError:
            end, chain = Fate.UNKNOWN, ""
        if end is Fate.DROPPED:
            advice = f"nft insert rule {chain} {match} accept, and the same in the saved rules"
            yield fault(subject, f"the chain {chain} drops {what} of new callers", advice)
        elif end is Fate.ACCEPTED and "filter" not in legacy:
            yield ok(subject, f"no rule of this machine drops {what} of new callers")
        else:
            looking = "nft list ruleset" if chain else "nft list ruleset; iptables -S"
            text = f"it can't be told whether {what} of new callers is let in"
            yield ok(subject, f"{text}: see {looking}")


def _modules(host: Host) -> Iterator[Examined]:
    loaded = {line.split()[0] for line in (host.read("/proc/modules") or "").splitlines() if line}
    bad = {
        "nf_conntrack_pptp": (
            "it may change the call ids of calls that end here, if a rule assigns it",
            "modprobe -r nf_nat_pptp nf_conntrack_pptp, unless this machine forwards others' PPTP",
        ),
    }
    for name in bad.keys() & loaded:
        text, advice = bad[name]
        yield warning("kernel modules", f"{name} is loaded: {text}", advice)
    if not bad.keys() & loaded:
        yield ok("kernel modules", "none that gets in the way")


def _dataPath(host: Host, configuration: Configuration, runs: bool) -> Iterator[Examined]:
    if runs and not host.capabilities() >> NET_ADMIN & 1:
        yield ok("data path", "without CAP_NET_ADMIN it can't be told; the gateway's log says it")
        return
    path = foreseen(configuration, host)
    _, _, why = path.partition(": ")
    if why and configuration.datapath.path == KERNEL:
        advice = 'set [datapath] path = "auto", or mend that'
        yield fault("data path", f"the kernel can't carry packets: {why}", advice)
    else:
        yield ok("data path", f"packets pass by {path}")


def _forwarding(host: Host, configuration: Configuration) -> Iterator[Examined]:
    switches = {
        "ipv4": (f"{_IPV4}/ip_forward", "net.ipv4.ip_forward"),
        "ipv6": ("/proc/sys/net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"),
    }
    for protocol, (path, name) in switches.items():
        if protocol not in configuration.network.protocols:
            continue
        value = (host.read(path) or "").strip()
        if not value:
            yield ok("forwarding", f"{name} can't be read here")
        elif value == "0":
            text = f"{name} is 0: callers reach nothing beyond this machine"
            advice = f"sysctl -w {name}=1, and a line in /etc/sysctl.d"
            yield warning("forwarding", text, advice)
        else:
            yield ok("forwarding", f"{name} is on")


def _reversePath(host: Host) -> Iterator[Examined]:
    folder = f"{_IPV4}/conf"

    def value(name: str) -> int:
        text = (host.read(f"{folder}/{name}/rp_filter") or "").strip()
        return int(text) if text.isdigit() else 0

    every = value("all")
    others = [name for name in host.names(folder) if name not in ("all", "default", "lo")]
    strict = [name for name in others if max(every, value(name)) == 1]
    if strict and len(others) > 1:
        yield warning(
            "rp_filter",
            f"it is strict on {', '.join(strict)}: packets of callers are lost that come in by "
            "another interface than answers leave by",
            "if there are several ways to callers: sysctl -w net.ipv4.conf.all.rp_filter=2",
        )
    else:
        yield ok("rp_filter", "it is in nobody's way")


def _clocks(host: Host) -> Iterator[Examined]:
    if not host.isMonotonic():
        advice = "use a kernel with CLOCK_MONOTONIC"
        yield fault("clock", "there is no clock that never goes back", advice)
    if host.synchronised() is False:
        text = "nothing keeps it right: hours, expiry and certificates depend on it"
        yield warning("clock", text, "install and start chrony, or systemd-timesyncd; timedatectl")
    else:
        yield ok("clock", "it is monotonic, and nothing says that the time is wrong")


def _certificates(host: Host, configuration: Configuration) -> Iterator[Examined]:
    eap = configuration.eap
    ipsec = configuration.ipsec
    paths = [eap.certificate, eap.ca, ipsec.certificate, ipsec.ca]
    for server in configuration.radius.server:
        if server.transport == "tls":
            paths += [server.tlsCertificate, server.tlsAuthority]
    paths += [certificate for _, certificate in _tlsEndpoints(configuration)]
    for path in dict.fromkeys(filter(None, paths)):
        text = host.read(path)
        if text is None:
            yield fault("certificate", f"{path} can't be read", "look at its path and its owner")
            continue
        try:
            found = x509.load_pem_x509_certificates(text.encode())
        except ValueError:
            yield fault("certificate", f"{path} has no certificate", "it must be in PEM")
            continue
        yield _expiry(path, min(one.not_valid_after_utc for one in found))


def _expiry(path: str, end: datetime) -> Examined:
    left = (end - datetime.now(UTC)).days
    if left < 0:
        return fault("certificate", f"{path} expired on {end:%Y-%m-%d}", "issue another one")
    text = f"{path} is valid until {end:%Y-%m-%d}"
    if left < _SOON_DAYS:
        return warning("certificate", f"{text}, {left} days", "issue another one soon")
    return ok("certificate", text)


def _tlsEndpoints(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """
    Iterate over key and certificate of the endpoints of the management interface.
    """
    for text in configuration.management.endpoints:
        words = wordsOf(text)
        if words.kind == "ssl":
            key = words.named.get("privateKey", "server.pem")
            yield key, words.named.get("certKey", key)


def _keys(host: Host, configuration: Configuration) -> Iterator[Examined]:
    ipsec = configuration.ipsec
    paths = [configuration.eap.key, ipsec.privateKey, ipsec.secretFile]
    paths += [key for key, _ in _tlsEndpoints(configuration)]
    for server in configuration.radius.server:
        paths += [server.secretFile, server.tlsKey]
    paths += [client.secretFile for client in configuration.radius.client]
    for name in configuration.auth.checkers:
        kind, _, argument = name.partition(":")
        if kind == "chap-secrets":
            paths.append(argument)
    needed = set(filter(None, paths))
    for path in dict.fromkeys([*paths, configuration.accounts.key]):
        mode = host.mode(path) if path else None
        if mode is not None and (why := exposure(path, mode)):
            text, _, advice = why.partition("; ")
            yield fault("secrets", text, advice)
        elif mode is not None:
            yield ok("secrets", f"{path} is private")
        elif path in needed:
            yield fault("secrets", f"{path} can't be found", "look at its path and its owner")


def _disks(host: Host, configuration: Configuration) -> Iterator[Examined]:
    audit, radius = configuration.audit, configuration.radius
    paths = [radius.spool, audit.spool, audit.file, configuration.management.history]
    stores = [audit.store]
    if any(one.partition(":")[0] == "accounts" for one in configuration.auth.checkers):
        stores.append(configuration.accounts.store)
    paths += [one.removeprefix("sqlite:") for one in stores if one.startswith("sqlite:")]
    for path in dict.fromkeys(filter(None, paths)):
        found = host.free(path)
        if found is None:
            continue
        free, total = found
        text = f"{free // _MEBIBYTE} MiB of {total // _MEBIBYTE} MiB are free for {path}"
        if host.isReadOnly(path):
            advice = "mount it for writing, or records and accounts are lost"
            yield fault("disk", f"the disk of {path} is mounted read-only", advice)
        elif free < _TOO_LITTLE:
            yield fault("disk", text, "make room, or records and accounts are lost")
        elif free < _LITTLE:
            yield warning("disk", text, "make room")
        else:
            yield ok("disk", text)
