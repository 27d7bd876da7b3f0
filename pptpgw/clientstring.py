"""
Endpoint strings for clients: C{TUNNEL:HOST:PORT} and what is to be said of the gateway and of an
account there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pptpgw.client import TIMEOUT, CallEndpoint
from pptpgw.config.discovery import find
from pptpgw.config.secrecy import readSecret
from pptpgw.config.table import keysOf, valuesOf
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IAuthenticationProtocol, ITunnelClient, ITunnelClientFactory
from pptpgw.ppp.settings import Identity, LinkSettings

_ENCRYPTION = ("require", "prefer", "off")


def fromString(reactor: Any, tunnel: str, *place: str, **given: str) -> CallEndpoint:
    """
    Make the endpoint that a string for L{twisted.internet.endpoints.clientFromString} describes:
    C{TUNNEL:HOST:PORT}, of which the port may be left out, and

     - C{user=NAME};
     - C{password-file=PATH}: a file with the password, which only its owner may read or write; a
       newline at its end doesn't belong to the password;
     - C{networks=NAME,NAME}: see L{pptpgw.client.NETWORKS}; C{ipv4} by default;
     - C{methods=NAME,NAME}: authentication protocols, the best liked first; C{mschapv2} by default;
     - C{encryption=require}, C{prefer} or C{off}; the first by default. A tunnel that encrypts
       satisfies each of them;
     - C{mtu=OCTETS}: the largest packet to receive and to send, 1400 by default;
     - C{timeout=SECONDS}: until the first network protocol must be open;
     - what the tunnel has besides. But for lines that is C{bind-address=ADDRESS}, where to call
       from. For SSTP C{ca=PATH} or C{fingerprint=DIGITS} say which servers are believed; for L2TP
       C{secret-file=PATH} has the secret of the tunnel; for lines there is C{chat=SCRIPT}.

    @raise ConfigurationError: the description, or a file, can't be used.
    """
    where = ":".join((tunnel, *place))
    try:
        user, path = given.pop("user"), given.pop("password-file")
    except KeyError as missing:
        raise ConfigurationError(f"{where} lacks {missing.args[0]}=") from None
    encryption: Any = given.pop("encryption", "require")
    if encryption not in _ENCRYPTION:
        raise ConfigurationError(f"encryption={encryption}: {', '.join(_ENCRYPTION)}")
    names = given.pop("methods", "mschapv2").split(",")
    identity = Identity(
        user.encode(),
        readSecret(path),
        tuple(find(IAuthenticationProtocol, name) for name in names),
    )
    networks = given.pop("networks", "ipv4").split(",")
    try:
        octets = int(given.pop("mtu", "1400"))
        timeout = float(given.pop("timeout", f"{TIMEOUT:g}"))
    except ValueError as fault:
        raise ConfigurationError(f"{where}: {fault}") from fault
    # The endpoint's own timeout comes first.
    client = clientOf(reactor, find(ITunnelClientFactory, tunnel), place, given, timeout + 1)
    settings = LinkSettings(identity=identity, encryption=encryption, mru=octets)
    return CallEndpoint(client, settings, networks=networks, timeout=timeout)


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
