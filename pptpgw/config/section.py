"""
The sections of the configuration, one dataclass each.

Each attribute is a key of the file (C{maxConnections} is C{max-connections} there). Its row says
which values are allowed, and which one is used if the file has none. A new key is one row here and
one in C{tap/pptpgw.toml}. RADIUS's section is in L{pptpgw.radius.section}.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar, Literal

from pptpgw.config import discovery
from pptpgw.config.kind import (
    ADDRESSES,
    BITS,
    BOOLEAN,
    COMPRESSIONS,
    EAP_METHODS,
    ENDPOINTS,
    FILE,
    HOSTS,
    INTERFACE,
    LIVE,
    METHODS,
    METHODS_OR_NONE,
    NAME,
    NETWORKS,
    NEW,
    PROTOCOLS,
    SPECIFICATION,
    SPECIFICATIONS,
    STORE,
    STORE_OR_NONE,
    TEXTS,
    TUNNELS,
    USER_OR_NONE,
    Fault,
    ValueKind,
    choice,
    key,
    orZero,
    restart,
    seconds,
    shown,
    whole,
)
from pptpgw.config.table import tables
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IAuthenticationProtocol
from pptpgw.sessions.filter import ALLOWED, Filter


@dataclass(frozen=True, slots=True)
class ListenSection:
    """
    C{[listen]}: what callers may arrive by, and what all tunnels have in common.

    @ivar tunnels: the tunnels, by the names of their plugins.
    @ivar addresses: where they are served; empty: every address.
    @ivar clients: the networks that may connect; empty: everyone.
    @ivar maxConnections: connections at a time by which calls arrive, in all.
    @ivar maxConnectionsPerHost: the same, from one address.
    @ivar maxSilentConnections: such connections at a time that have sent no message yet.
    @ivar drainTimeout: seconds that calls are given to end when the gateway stops.
    """

    tunnels: tuple[str, ...] = key(
        TUNNELS, ("pptp",), restart("their ports are opened at the start")
    )
    addresses: tuple[IPv4Address, ...] = key(ADDRESSES, (), restart("ports are open there"))
    clients: tuple[IPv4Network, ...] = key(NETWORKS, (), NEW)
    maxConnections: int = key(whole(1, 65535), 4096, NEW)
    maxConnectionsPerHost: int = key(whole(1, 65535), 512, NEW)
    maxSilentConnections: int = key(whole(1, 65535), 2048, NEW)
    drainTimeout: float = key(seconds(0, 300), 5.0, LIVE)


@dataclass(frozen=True, slots=True)
class TunnelSection:
    """
    What the sections of all tunnels have in common: what callers by that tunnel are offered, where
    it differs from C{[link]}. The settings of a tunnel plugin derive from it.

    @cvar mayEncrypt: whether the tunnel may encrypt calls itself
        (L{pptpgw.interfaces.ICall.encrypted}): then methods may be permitted that earn no keys for
        MPPE, although encryption is required.
    @ivar authentication: the methods permitted, by the names of their plugins; none: those of
        C{[link]}.
    @ivar encryption: whether MPPE must open, may open, or stays off; empty: as C{[link]} says.
    """

    mayEncrypt: ClassVar[bool] = False

    authentication: tuple[str, ...] = key(METHODS_OR_NONE, (), NEW)
    encryption: Literal["", "require", "prefer", "off"] = key(
        choice("", "require", "prefer", "off"), "", NEW
    )


@dataclass(frozen=True, slots=True)
class LinkSection:
    """
    C{[link]}: PPP, from LCP to encryption.

    @ivar authentication: the methods permitted, by the names of their plugins. If the file doesn't
        have this key, but has one of C{[eap]}, EAP is permitted too.
    @ivar name: the authenticator's name.
    @ivar user: the name by which the gateway authenticates to callers that demand it; empty: it
        doesn't.
    @ivar passwordFile: the file with the password of C{user}.
    @ivar rechallenge: seconds between challenges during a session; 0: none.
    @ivar encryption: whether MPPE must open, may open, or stays off.
    @ivar encryptionRelaxable: whether an account may go without encryption that is required.
    @ivar encryptionBits: the key lengths permitted, strongest first.
    @ivar encryptionStateful: whether stateful MPPE is accepted where the client insists on it.
    @ivar compression: the methods by which packets may be compressed where nothing encrypts.
    @ivar mru: the largest information field in octets that this end asks to receive, and sends.
    @ivar echoInterval: seconds of silence before an LCP Echo-Request.
    @ivar echoFailures: unanswered Echo-Requests that end the link; 0: none is ever sent.
    @ivar setupTimeout: seconds that a call has to be authenticated and open its first network.
    @ivar qualityReports: seconds between two Link-Quality-Reports; 0: there are none.
    @ivar multilink: whether links of one user, to one peer, become one bundle (RFC 1990).
    @ivar mrru: the largest information field in octets that is received in fragments.
    @ivar shortSequenceNumbers: whether peers are asked for the short sequence numbers of fragments.
    @ivar qualityLoss: the losses, in per cent, by which reports make a period bad; 0: any are
        borne.
    """

    authentication: tuple[str, ...] = key(METHODS, ("mschapv2",), NEW)
    name: str = key(NAME, "pptpgw", NEW)
    rechallenge: float = key(orZero(seconds(1, 86400)), 0.0, NEW)
    user: str = key(USER_OR_NONE, "", NEW)
    passwordFile: str = key(FILE, "", NEW)
    encryption: Literal["require", "prefer", "off"] = key(
        choice("require", "prefer", "off"), "require", NEW
    )
    encryptionRelaxable: bool = key(BOOLEAN, False, NEW)
    encryptionBits: tuple[int, ...] = key(BITS, (128,), NEW)
    encryptionStateful: bool = key(BOOLEAN, False, NEW)
    compression: tuple[str, ...] = key(COMPRESSIONS, (), NEW)
    mru: int = key(whole(576, 4000), 1400, NEW)
    echoInterval: float = key(seconds(1, 3600), 30.0, NEW)
    echoFailures: int = key(whole(0, 100), 3, NEW)
    setupTimeout: float = key(seconds(5, 600), 60.0, NEW)
    qualityReports: float = key(orZero(seconds(1, 3600)), 0.0, NEW)
    qualityLoss: int = key(whole(0, 99), 0, NEW)
    multilink: bool = key(BOOLEAN, False, NEW)
    mrru: int = key(whole(1500, 16384), 1614, NEW)
    shortSequenceNumbers: bool = key(BOOLEAN, False, NEW)

    @property
    def largest(self) -> int:
        """
        The largest information field that is received, in fragments or not, in octets.
        """
        return max(self.mru, self.mrru) if self.multilink else self.mru

    def offered(self, tunnel: TunnelSection) -> LinkSection:
        """
        Return the section as it is for calls by the tunnel whose section is C{tunnel}.
        """
        return replace(
            self,
            authentication=tunnel.authentication or self.authentication,
            encryption=tunnel.encryption or self.encryption,
        )

    def methods(
        self, place: str = "link", mayEncrypt: bool = False
    ) -> tuple[IAuthenticationProtocol, ...]:
        """
        Find the methods permitted, strongest first.

        @param place: the section that names them.
        @param mayEncrypt: whether calls may be encrypted without MPPE.
        @raise ConfigurationError: one isn't installed, callers can't tell two of them from each
            other, or none earns the keys that encryption needs.
        """
        try:
            chosen = discovery.choose(IAuthenticationProtocol, self.authentication)
        except discovery.NotInstalled as error:
            raise ConfigurationError(f"[{place}] authentication: {error.why}") from error
        found = strongestFirst(chosen.values())
        setting = f"[{place}] authentication = {shown(self.authentication)}"
        options: dict[tuple[int, bytes], str] = {}
        for method in found:
            same = options.setdefault((method.number, method.algorithm), method.name)
            if same != method.name:
                raise ConfigurationError(
                    f"{setting}: callers can't tell {same} from {method.name}, so it is either"
                )
        needsKeys = self.encryption == "require" and not mayEncrypt
        if needsKeys and not any(method.earnsKeys for method in found):
            every = discovery.installed(IAuthenticationProtocol).values()
            able = ", ".join(one.name for one in every if one.earnsKeys)
            raise ConfigurationError(
                f'{setting}: encryption = "require" needs one that earns MPPE keys: {able}'
            )
        return found


def strongestFirst(
    methods: Iterable[IAuthenticationProtocol],
) -> tuple[IAuthenticationProtocol, ...]:
    """
    Sort C{methods} in the order in which they are offered: by strength, and by name if they are of
    the same strength.
    """
    return tuple(sorted(methods, key=lambda method: (-method.strength, method.name)))


@dataclass(frozen=True, slots=True)
class AuthSection:
    """
    C{[auth]}: who judges callers.

    @ivar checkers: the credentials checkers in the order in which they are asked, each as
        C{--auth} takes it: C{NAME} or C{NAME:ARGUMENT}. C{--auth} replaces all of them; if there
        are none, C{--auth} must name some.
    """

    checkers: tuple[str, ...] = key(SPECIFICATIONS, (), LIVE)


@dataclass(frozen=True, slots=True)
class EAPSection:
    """
    C{[eap]}: the settings of EAP, which C{"eap"} in C{[link] authentication} permits. All keys but
    C{methods} are for the method C{"tls"}.

    @ivar methods: the methods permitted, by the names of their plugins, in the order in which they
        are tried; empty: all of our own that the other keys and the checkers make possible.
    @ivar certificate: the file of our certificate, followed by the intermediate ones.
    @ivar ca: the file of the certificates of the authorities that issue callers' certificates.
    @ivar identity: the part of a caller's certificate that is the name of its account.
    @ivar key: the file of our certificate's private key.
    """

    methods: tuple[str, ...] = key(EAP_METHODS, (), NEW)
    certificate: str = key(FILE, "", NEW)
    ca: str = key(FILE, "", NEW)
    identity: str = key(choice("common-name", "email", "upn", "dns"), "common-name", NEW)
    # The last one, because from here on in this class the name no longer means the function.
    key: str = key(FILE, "", NEW)


@dataclass(frozen=True, slots=True)
class AccountsSection:
    """
    C{[accounts]}: the embedded account store.

    @ivar store: the URL of its database.
    @ivar key: the file with the key that encrypts recoverable passwords.
    """

    store: str = key(
        STORE, "sqlite:/var/lib/pptpgw/accounts.sqlite", restart("the store is opened at the start")
    )
    key: str = key(FILE, "/etc/pptpgw/accounts.key", restart("the store is opened at the start"))


def _rules(value: object) -> tuple[str, ...]:
    rules: tuple[str, ...] = TEXTS.convert(value)
    faults = []
    for number, rule in enumerate(rules, 1):
        try:
            Filter([rule])
        except ValueError:
            faults.append(f"rule {number}, {shown(rule)}: must be {ALLOWED}")
    if faults:
        raise Fault(*faults)
    return rules


RULES = ValueKind(TEXTS.allowed, _rules)
"""
The rules of a filter.
"""


@dataclass(frozen=True, slots=True)
class NamedFilter:
    """
    C{[[network.filter]]}: rules that decide which packets pass, for accounts that name them.

    @ivar name: the name by which accounts choose the filter.
    @ivar rules: the rules, each of the form L{pptpgw.sessions.filter.ALLOWED}.
    """

    name: str = key(NAME)
    rules: tuple[str, ...] = key(RULES)


FILTERS = tables("network.filter", "describes a filter", NamedFilter, unique=True)
"""
A list of filters.
"""


@dataclass(frozen=True, slots=True)
class NetworkSection:
    """
    C{[network]}: how callers' packets reach the rest of the world. Its other keys are declarations
    of network protocols, and belong to plugins.

    @ivar protocols: the network protocols, by the names of their plugins.
    @ivar interface: the name of the TUN device.
    @ivar masquerade: whether to forward, and to hide callers behind the default route's interface.
    @ivar mssClamp: whether to lower the maximum segment size of TCP connections to what fits.
    @ivar filter: the filters that accounts may name.
    """

    protocols: tuple[str, ...] = key(
        PROTOCOLS, ("ipv4",), restart("networks are opened at the start")
    )
    interface: str = key(INTERFACE, "pptp0", restart("the device has its name from the start"))
    masquerade: bool = key(
        BOOLEAN, False, restart("the rules are made with privileges, at the start")
    )
    mssClamp: bool = key(BOOLEAN, True, NEW)
    filter: tuple[NamedFilter, ...] = key(FILTERS, (), LIVE)


DEFAULT_MANAGEMENT = ("unix:/run/pptpgw/management.sock:mode=660",)
"""
Where the management interface listens by default.
"""


@dataclass(frozen=True, slots=True)
class ManagementSection:
    """
    C{[management]}: how operators see and steer the running gateway.

    @ivar endpoints: where the management interface listens, as Twisted's server endpoint strings;
        empty for nowhere. The gateway starts without the default one if that can't be opened.
    @ivar hosts: the names of this machine, besides its addresses and localhost, by which browsers
        and programs may address the management interface.
    @ivar metricsPublic: whether whoever can connect may read the metrics.
    @ivar history: the file that keeps the figures of the last 30 days, for plots; empty: they are
        kept in memory.
    """

    endpoints: tuple[str, ...] = key(ENDPOINTS, DEFAULT_MANAGEMENT, LIVE)
    hosts: tuple[str, ...] = key(HOSTS, (), LIVE)
    metricsPublic: bool = key(BOOLEAN, False, LIVE)
    history: str = key(FILE, "", restart("it is read when the gateway starts"))


@dataclass(frozen=True, slots=True)
class PluginsSection:
    """
    C{[plugins]}: plugins that no other section names, each as C{NAME} or C{NAME:ARGUMENT}.

    @ivar observers: the session observers, which are told of sessions.
    """

    observers: tuple[str, ...] = key(
        SPECIFICATIONS, (), restart("observers are told of sessions from their beginning")
    )


AUTO, KERNEL = "auto", "kernel"
"""
The names of the data paths by which the kernel carries calls: where it can, and alone.
"""


@dataclass(frozen=True, slots=True)
class DataPathSection:
    """
    C{[datapath]}: what carries packets.

    @ivar path: the plugin, as C{NAME} or C{NAME:ARGUMENT}.
    @ivar threads: how many threads the native data path has; 0: one for each processor.
    """

    path: str = key(SPECIFICATION, AUTO, restart("it carries the current calls"))
    threads: int = key(whole(0, 64), 0, restart("they carry the current calls"))

    @property
    def mayBeKernel(self) -> bool:
        """
        Whether the kernel carries calls, where it can.
        """
        return self.path in (AUTO, KERNEL)


@dataclass(frozen=True, slots=True)
class CaptureSection:
    """
    C{[capture]}: files with all frames that pass, decrypted.

    @ivar file: the path of the first file; empty: nothing is captured.
    @ivar size: how large a file becomes before the next one begins, in MiB.
    @ivar files: how many files are kept.
    """

    file: str = key(FILE, "", NEW)
    size: int = key(whole(1, 65536), 100, LIVE)
    files: int = key(whole(1, 1000), 10, LIVE)


@dataclass(frozen=True, slots=True)
class LimitsSection:
    """
    C{[limits]}: how many may call, how long they may stay, and how often they may guess. Limits of
    an account take precedence; 0 is no limit.

    @ivar maxSessions: sessions at a time, in all.
    @ivar maxSessionsPerSource: sessions at a time of callers at one address.
    @ivar maxSessionsPerUser: the same, of one user.
    @ivar perUser: whether a user's call beyond C{maxSessionsPerUser} is denied, or replaces the
        user's oldest session.
    @ivar maxSetups: calls at a time that have no network protocol open yet.
    @ivar maxSetupsPerSource: the same, from one address.
    @ivar maxLinks: links at a time in the bundle of one session.
    @ivar knownSources: how many addresses are remembered from which somebody has logged in.
    @ivar sessionTimeout: seconds that a session may last.
    @ivar idleTimeout: seconds that a session may last without a packet from its user.
    @ivar volume: octets that a session may carry, both ways together.
    @ivar maxFailures: wrong passwords for one user that lead to its lockout.
    @ivar maxFailuresPerSource: wrong passwords from one address that lead to its lockout.
    @ivar lockout: seconds that a lockout lasts, and after which as many failures are forgotten.
    @ivar attempts: how many calls that are over, and callers that were turned away, are remembered
        to tell why they failed; 0: none.
    @ivar papClients: the networks that PAP is offered to; empty: everyone.
    """

    maxSessions: int = key(whole(0, 1_000_000), 0, NEW)
    maxSessionsPerSource: int = key(whole(0, 1_000_000), 0, NEW)
    maxSessionsPerUser: int = key(whole(0, 1_000_000), 0, NEW)
    perUser: Literal["deny", "replace"] = key(choice("deny", "replace"), "deny", NEW)
    maxSetups: int = key(whole(0, 1_000_000), 2000, NEW)
    maxSetupsPerSource: int = key(whole(0, 1_000_000), 1000, NEW)
    maxLinks: int = key(whole(1, 64), 8, NEW)
    knownSources: int = key(whole(1, 1_000_000), 16384, LIVE)
    sessionTimeout: float = key(orZero(seconds(1, 31_536_000)), 0.0, LIVE)
    idleTimeout: float = key(orZero(seconds(1, 31_536_000)), 0.0, LIVE)
    volume: int = key(whole(0, 2**63 - 1), 0, LIVE)
    maxFailures: int = key(whole(0, 1_000_000), 10, LIVE)
    maxFailuresPerSource: int = key(whole(0, 1_000_000), 100, LIVE)
    lockout: float = key(seconds(1, 86_400), 300.0, LIVE)
    attempts: int = key(whole(0, 100_000), 500, LIVE)
    papClients: tuple[IPv4Network, ...] = key(NETWORKS, (), NEW)


@dataclass(frozen=True, slots=True)
class AuditSection:
    """
    C{[audit]}: the records that are kept of sessions.

    @ivar file: the path of a file with a line for each event; empty: no file.
    @ivar store: the store where each session has a row; empty: that of the checker C{accounts}, if
        it is used.
    @ivar spool: the folder that keeps rows until the store has them; empty: they are kept in
        memory.
    @ivar interim: seconds after which the row of a session that goes on is brought up to date.
    """

    file: str = key(FILE, "", LIVE)
    store: str = key(STORE_OR_NONE, "", restart("rows of the current sessions are in the old one"))
    spool: str = key(FILE, "", restart("rows wait in the old folder"))
    interim: float = key(seconds(10, 86400), 300.0, LIVE)


@dataclass(frozen=True, slots=True)
class HooksSection:
    """
    C{[hooks]}: paths of scripts that are run in the manner of pppd; empty: nothing is run.

    @ivar authUp: the script for a caller that has been authenticated.
    @ivar authDown: the script for a session that is over.
    @ivar ipUp: the script for IPv4 that opens.
    @ivar ipDown: the script for IPv4 that closes.
    @ivar ipv6Up: the script for IPv6 that opens.
    @ivar ipv6Down: the script for IPv6 that closes.
    @ivar deadline: seconds after which a script is killed.
    @ivar processes: how many scripts run at a time.
    """

    authUp: str = key(FILE, "", LIVE)
    authDown: str = key(FILE, "", LIVE)
    ipUp: str = key(FILE, "", LIVE)
    ipDown: str = key(FILE, "", LIVE)
    ipv6Up: str = key(FILE, "", LIVE)
    ipv6Down: str = key(FILE, "", LIVE)
    deadline: float = key(seconds(1, 3600), 10.0, LIVE)
    processes: int = key(whole(1, 1000), 8, LIVE)
