"""
C{[[dial]]} of the configuration: the calls that this gateway places itself, as a client of another
gateway, and keeps up.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal

from pptpgw.config import discovery
from pptpgw.config.forwarding import ENDS, PEER_NAME, TUNNEL
from pptpgw.config.kind import (
    BITS,
    BOOLEAN,
    FILE,
    INTERFACE,
    METHODS_OR_NONE,
    NAME,
    NEW,
    PROTOCOLS,
    ValueKind,
    choice,
    exactly,
    key,
    listOf,
    matching,
    orZero,
    require,
    seconds,
    whole,
)
from pptpgw.config.secrecy import readSecret
from pptpgw.config.table import tables
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import Forward, IAuthenticationProtocol
from pptpgw.sessions import hours
from pptpgw.sessions.profile import Profile

USER = matching("1 to 253 printable characters", r"[^\x00-\x1f\x7f]{1,253}")
NUMBER = matching("a telephone number", r"[0-9A-Za-z*#+,.()/-]{0,64}")
FINGERPRINT = matching(
    "the SHA-256 of a certificate, 64 hexadecimal digits with or without colons; empty for none",
    "(?i)([0-9a-f]{2}(:?[0-9a-f]{2}){31})?",
)
FILTER = matching("the name of a [[network.filter]]; empty for none", r"[!-~]{0,63}")


def _hours(value: object) -> str:
    text = exactly(str, value)
    try:
        require(not text or bool(hours.parse(text).spans))
    except ConfigurationError:
        require(False)
    return text


def _route(value: object) -> IPv4Network | IPv6Network:
    return ip_network(exactly(str, value))


def _source(value: object) -> str:
    text = exactly(str, value)
    return str(ip_address(text)) if text else ""


HOURS = ValueKind('hours as those of an account, as in "Mo-Fr 08:00-18:00"; empty: always', _hours)
ROUTES = listOf("distinct networks without host bits", _route)
INTERFACES = listOf("distinct names of interfaces", INTERFACE.convert)
SOURCE = ValueKind("an IP address of this machine; empty for any", _source)


@dataclass(frozen=True, slots=True)
class Dial:
    """
    C{[[dial]]}: a call that this gateway places.

    @ivar name: its name in commands, in the log, and as the user of its session.
    @ivar tunnel: the tunnel, by the name of its plugin. It needn't be one of C{[listen] tunnels}.
    @ivar addresses: where the other end is, in the order in which it is tried: host names and
        addresses, with a port behind a colon if it isn't the usual one; for C{hdlc} lines, as
        Twisted's client endpoint strings.
    @ivar user: the name by which we authenticate.
    @ivar passwordFile: the file with the password.
    @ivar newPasswordFile: the file with the password that replaces it if the other end says that it
        has expired; empty for none.
    @ivar certificate: for EAP-TLS: the file of our certificate, followed by the intermediate ones.
    @ivar certificateKey: the file of our certificate's private key.
    @ivar authorities: the file of the authorities that the other end's certificate may be by.
    @ivar certificateName: the name that the other end's certificate must have; empty for any.
    @ivar methods: the authentication protocols that we are willing to use, the best liked first;
        none: the other end needn't ask who we are.
    @ivar peerName: the name by which the other end must authenticate itself to us; empty if it
        needn't, beyond what the method proves of both ends.
    @ivar peerPasswordFile: the file with the password of C{peerName}.
    @ivar encryption: whether MPPE must open, may open, or stays off. A tunnel that encrypts
        satisfies each of them.
    @ivar encryptionBits: the lengths of MPPE keys in bits that may be used.
    @ivar encryptionStateful: whether MPPE may be stateful, if the other end insists.
    @ivar when: whether the call is placed always, or only when an operator or a program asks.
    @ivar hours: when it may be up, as an account's hours; empty for always.
    @ivar timeout: seconds that one attempt may take until a network is open.
    @ivar retryMin: the seconds between the first attempts, of which half is random.
    @ivar retryMax: the seconds to which that grows, and those after a refused password.
    @ivar timeLimit: seconds that a call may last before it is placed anew; 0 for no limit.
    @ivar idleTimeout: seconds without a packet from the other end after which it ends; 0 for none.
    @ivar volume: octets that a call may carry, both ways together, before it is placed anew; 0 for
        any number.
    @ivar receiveRate: bits a second from the other end, at most; 0 for no limit.
    @ivar sendRate: bits a second to the other end, at most; 0 for no limit.
    @ivar filter: the filter that its packets must pass.
    @ivar networks: the network protocols.
    @ivar echoInterval: seconds of silence before an LCP Echo-Request; as many go unanswered as
        C{[link] echo-failures} says before the call counts as lost.
    @ivar routes: the networks that are reached by the call.
    @ivar masquerade: whether the networks behind this gateway reach C{routes} by the address that
        the other end gives us.
    @ivar prefixTo: the interfaces that get a /64 each of the IPv6 prefix that the other end
        delegates (RFC 8415), in the order of these; none: no prefix is asked for.
    @ivar prefixLength: the length of the prefix that is asked for, in bits; 0: whatever the other
        end gives.
    @ivar leaseAddress: whether DHCPv6 is asked for an IPv6 address, too, besides the one made from
        an advertised prefix.
    @ivar resolvFile: the file that has the other end's name servers while the call is up; empty:
        none are asked for.
    @ivar mtu: the largest packet in octets that is sent; 0: as C{[link] mru} says.
    @ivar source: the address of ours to call from; empty for any.
    @ivar number: the telephone number that the other end, or the modem, is to dial.
    @ivar secretFile: for C{l2tp}: the file with the secret of the tunnel; empty for none.
    @ivar hostName: the name by which the tunnel introduces itself; empty: the tunnel's own.
    @ivar ca: for C{sstp}: the file with the authorities of the server's certificate.
    @ivar fingerprint: for C{sstp}: the SHA-256 of the server's certificate.
    """

    name: str = key(NAME)
    tunnel: str = key(TUNNEL)
    addresses: tuple[str, ...] = key(ENDS)
    user: str = key(USER)
    passwordFile: str = key(FILE)
    newPasswordFile: str = key(FILE, "")
    certificate: str = key(FILE, "")
    certificateKey: str = key(FILE, "")
    authorities: str = key(FILE, "")
    certificateName: str = key(PEER_NAME, "")
    methods: tuple[str, ...] = key(METHODS_OR_NONE, ("mschapv2",))
    peerName: str = key(PEER_NAME, "")
    peerPasswordFile: str = key(FILE, "")
    encryption: Literal["require", "prefer", "off"] = key(
        choice("require", "prefer", "off"), "require"
    )
    encryptionBits: tuple[int, ...] = key(BITS, (128,))
    encryptionStateful: bool = key(BOOLEAN, False)
    when: Literal["always", "asked"] = key(choice("always", "asked"), "always")
    hours: str = key(HOURS, "")
    timeout: float = key(seconds(1, 300), 30.0)
    retryMin: float = key(seconds(1, 3600), 5.0)
    retryMax: float = key(seconds(1, 86400), 300.0)
    timeLimit: float = key(orZero(seconds(1, 31536000)), 0.0)
    idleTimeout: float = key(orZero(seconds(1, 31536000)), 0.0)
    volume: int = key(whole(0, 2**63 - 1), 0)
    receiveRate: int = key(whole(0, 10**12), 0)
    sendRate: int = key(whole(0, 10**12), 0)
    filter: str = key(FILTER, "")
    networks: tuple[str, ...] = key(PROTOCOLS, ("ipv4",))
    echoInterval: float = key(seconds(1, 3600), 10.0)
    routes: tuple[IPv4Network | IPv6Network, ...] = key(ROUTES, ())
    masquerade: bool = key(BOOLEAN, False)
    prefixTo: tuple[str, ...] = key(INTERFACES, ())
    prefixLength: int = key(orZero(whole(16, 64)), 0)
    leaseAddress: bool = key(BOOLEAN, False)
    resolvFile: str = key(FILE, "")
    mtu: int = key(orZero(whole(576, 4000)), 0)
    source: str = key(SOURCE, "")
    number: str = key(NUMBER, "")
    secretFile: str = key(FILE, "")
    hostName: str = key(PEER_NAME, "")
    ca: str = key(FILE, "")
    fingerprint: str = key(FINGERPRINT, "")

    @property
    def profile(self) -> Profile:
        """
        What the session of the call may do. The limits of C{[limits]} are for callers.
        """
        return Profile(
            self.name,
            routes=self.routes,
            mtu=self.mtu or None,
            hours=self.hours,
            sessionTimeout=self.timeLimit,
            idleTimeout=self.idleTimeout,
            volume=self.volume,
            receiveRate=self.receiveRate or None,
            sendRate=self.sendRate or None,
            filter=self.filter,
        )

    def ends(self) -> tuple[Forward, ...]:
        """
        Return the ends that the call may be placed to, in the order in which they are tried.

        @raise ConfigurationError: the file with the secret can't be used.
        """
        secret = self._secret(self.secretFile)
        return tuple(
            Forward(
                self.tunnel,
                address,
                secret,
                self.hostName,
                source=self.source,
                number=self.number,
                ca=self.ca,
                fingerprint=self.fingerprint,
            )
            for address in self.addresses
        )

    def passwords(self) -> tuple[bytes, bytes]:
        """
        Return our password, and the one that replaces it if it has expired; empty without a file.

        @raise ConfigurationError: a file can't be used.
        """
        return self._secret(self.passwordFile), self._secret(self.newPasswordFile)

    def authentication(self) -> tuple[IAuthenticationProtocol, ...]:
        """
        Find the authentication protocols, in order of preference.

        @raise ConfigurationError: one isn't installed.
        """
        try:
            found = discovery.choose(IAuthenticationProtocol, self.methods, 0)
        except discovery.NotInstalled as error:
            raise ConfigurationError(f"[[dial]] {self.name}: methods: {error.why}") from error
        return tuple(found.values())

    def peerPassword(self) -> bytes:
        """
        Return the password of the other end; empty if it needn't authenticate itself.

        @raise ConfigurationError: the file can't be used, or only one of name and file is given.
        """
        if bool(self.peerName) != bool(self.peerPasswordFile):
            raise ConfigurationError(
                f"[[dial]] {self.name}: peer-name and peer-password-file need each other"
            )
        return self._secret(self.peerPasswordFile)

    def _secret(self, path: str) -> bytes:
        try:
            return readSecret(path) if path else b""
        except ConfigurationError as error:
            raise ConfigurationError(f"[[dial]] {self.name}: {error}") from error


DIALS = tables("dial", "describes a call that this gateway places", Dial, unique=True)
"""
A list of such calls.
"""


@dataclass(frozen=True, slots=True)
class DialSection:
    """
    All of C{[[dial]]}.

    @ivar dial: the calls.
    """

    dial: tuple[Dial, ...] = key(DIALS, (), NEW)
