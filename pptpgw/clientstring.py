"""
Endpoint strings for clients: C{TUNNEL:HOST:PORT} and what is to be said of the gateway and of an
account there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pptpgw.auth.identity import Certificate, makeIdentity
from pptpgw.client import TIMEOUT, CallEndpoint
from pptpgw.config.discovery import find
from pptpgw.config.secrecy import readSecret
from pptpgw.config.table import keysOf, valuesOf
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IAuthenticationProtocol, ITunnelClient, ITunnelClientFactory
from pptpgw.ppp.settings import Identity, LinkSettings

# What the link is like where nothing is said of it.
_LINK = LinkSettings()
_ENCRYPTION = ("require", "prefer", "off")
_COMPRESSION = ("deflate", "mppc")
_BITS = ("40", "56", "128")
_ANSWERS = {"yes": True, "no": False}


def fromString(reactor: Any, tunnel: str, *place: str, **given: str) -> CallEndpoint:
    """
    Make the endpoint that a string for L{twisted.internet.endpoints.clientFromString} describes:
    C{TUNNEL:HOST:PORT}, of which the port may be left out, and

     - C{user=NAME};
     - what L{accountOf} and L{linkOf} know;
     - C{networks=NAME,NAME}: see L{pptpgw.client.NETWORKS}; C{ipv4} by default;
     - C{timeout=SECONDS}: until the first network protocol must be open;
     - what the tunnel has besides. But for lines that is C{bind-address=ADDRESS}, where to call
       from. For SSTP C{ca=PATH} or C{fingerprint=DIGITS} say which servers are believed; for L2TP
       C{secret-file=PATH} has the secret of the tunnel; for lines there is C{chat=SCRIPT}.

    @raise ConfigurationError: the description, or a file, can't be used.
    """
    where = ":".join((tunnel, *place))
    user = given.pop("user", "")
    if not user:
        raise ConfigurationError(f"{where} lacks user=")
    try:
        identity = accountOf(user, given)
        settings = replace(linkOf(given), identity=identity)
        timeout = float(given.pop("timeout", f"{TIMEOUT:g}"))
    except (ConfigurationError, ValueError) as fault:
        raise ConfigurationError(f"{where}: {fault}") from fault
    networks = given.pop("networks", "ipv4").split(",")
    # The endpoint's own timeout comes first.
    client = clientOf(reactor, find(ITunnelClientFactory, tunnel), place, given, timeout + 1)
    return CallEndpoint(client, settings, networks=networks, timeout=timeout)


def accountOf(user: str, given: dict[str, str], password: bytes = b"") -> Identity:
    """
    Take what an endpoint string says of an account at the gateway out of C{given}:

     - C{password-file=PATH}: a file with the password, which only its owner may read or write; a
       newline at its end doesn't belong to the password;
     - C{new-password-file=PATH}: a file with the password that replaces one that has expired, which
       MS-CHAPv2 can do;
     - C{methods=NAME,NAME}: authentication protocols, the best liked first; C{mschapv2} by default;
     - C{eap-certificate=PATH}, C{eap-key=PATH} and C{eap-ca=PATH}: our certificate for EAP-TLS, its
       key, and the authorities of servers; C{eap-server=NAME}: the name that the server's
       certificate must have.

    @param password: our password, if no file has it.
    @return: who we are.
    @raise ConfigurationError: the description, or a file, can't be used.
    """
    files = [given.pop(f"eap-{one}", "") for one in ("certificate", "key", "ca", "server")]
    certificate = None
    if any(files):
        if not all(files[:3]):
            raise ConfigurationError("eap-certificate=, eap-key= and eap-ca= belong together")
        certificate = Certificate(*files)
    path = given.pop("password-file", "")
    if path:
        password = readSecret(path)
    elif not password and certificate is None:
        raise ConfigurationError("it lacks password-file=")
    path = given.pop("new-password-file", "")
    newPassword = readSecret(path) if path else b""
    names = given.pop("methods", "mschapv2").split(",")
    methods = [find(IAuthenticationProtocol, name) for name in names]
    return makeIdentity(user, password, methods, certificate, newPassword)


def linkOf(given: dict[str, str], default: LinkSettings = _LINK) -> LinkSettings:
    """
    Take what an endpoint string says of the link out of C{given}:

     - C{encryption=require}, C{prefer} or C{off}; a tunnel that encrypts satisfies each of them;
     - C{encryption-bits=NUMBER,NUMBER}: the lengths of MPPE keys that may be used, of 40, 56 and
       128;
     - C{encryption-stateful=yes} or C{no}: whether MPPE may be stateful, if the gateway insists;
     - C{compression=NAME,NAME}: how packets may be compressed if nothing encrypts: C{deflate},
       C{mppc};
     - C{mtu=OCTETS}: the largest packet to receive and to send.

    @param default: the settings of a link of which nothing is said.
    @raise ConfigurationError: the description can't be used.
    """
    encryption: Any = given.pop("encryption", default.encryption)
    if encryption not in _ENCRYPTION:
        raise ConfigurationError(f"encryption={encryption}: {', '.join(_ENCRYPTION)}")
    bits, stateful, mru = default.bits, default.stateful, default.mru
    if text := given.pop("encryption-bits", ""):
        if not set(text.split(",")) <= set(_BITS):
            raise ConfigurationError(f"encryption-bits={text}: {', '.join(_BITS)}")
        bits = tuple(sorted({int(one) for one in text.split(",")}, reverse=True))
    if text := given.pop("encryption-stateful", ""):
        if text not in _ANSWERS:
            raise ConfigurationError(f"encryption-stateful={text}: {', '.join(_ANSWERS)}")
        stateful = _ANSWERS[text]
    compression = default.compression
    if text := given.pop("compression", ""):
        compression = tuple(text.split(","))
        if not set(compression) <= set(_COMPRESSION):
            raise ConfigurationError(f"compression={text}: {', '.join(_COMPRESSION)}")
    if text := given.pop("mtu", ""):
        if not text.isdecimal():
            raise ConfigurationError(f"mtu={text}: must be a number of octets")
        mru = int(text)
    return replace(
        default,
        encryption=encryption,
        bits=bits,
        stateful=stateful,
        compression=compression,
        mru=mru,
    )


def clientOf(
    reactor: Any,
    factory: ITunnelClientFactory,
    place: Sequence[str],
    given: dict[str, str],
    timeout: float,
) -> ITunnelClient:
    """
    Make the client that an endpoint string describes.

    @param place: the parts of the string behind its beginning that have no name.
    @param given: those that have a name and are about the gateway.
    @param timeout: seconds until a connection must be open.
    @raise ConfigurationError: a part isn't known or can't be used; the text says which.
    """
    where = ":".join((factory.name, *place))
    keys = keysOf(factory.options)
    for name in given:
        if name not in keys:
            known = ", ".join(f"{one}=" for one in keys) or "nothing of the sort"
            raise ConfigurationError(f"{where}: there is no {name}=; there is {known}")
    faults: list[str] = []
    values = valuesOf("", factory.options, given, faults)
    if faults:
        raise ConfigurationError(f"{where}: {'; '.join(faults)}")
    try:
        return factory.makeClient(reactor, place, factory.options(**values), timeout)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
