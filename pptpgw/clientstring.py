"""
The parser of endpoint strings that begin with C{pptp:}. Each describes a gateway and an account
there.
"""

from __future__ import annotations

from typing import Any

from pptpgw.client import PORT, TIMEOUT, PPTPClientEndpoint
from pptpgw.config.discovery import find
from pptpgw.config.secrecy import readSecret
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IAuthenticationProtocol
from pptpgw.ppp.settings import Identity, LinkSettings

_ENCRYPTION = ("require", "prefer", "off")


def fromString(reactor: Any, host: str, port: str = str(PORT), **given: str) -> PPTPClientEndpoint:
    """
    Make the endpoint that a string for L{twisted.internet.endpoints.clientFromString} describes:
    C{pptp:HOST:PORT}, of which the port may be left out, and

     - C{user=NAME};
     - C{password-file=PATH}: a file with the password, which only its owner may read or write; a
       newline at its end doesn't belong to the password;
     - C{networks=NAME,NAME}: see L{pptpgw.client.NETWORKS}; C{ipv4} by default;
     - C{methods=NAME,NAME}: authentication protocols, the best liked first; C{mschapv2} by default;
     - C{encryption=require}, C{prefer} or C{off}; the first by default;
     - C{mtu=OCTETS}: the largest packet to receive and to send, 1400 by default;
     - C{timeout=SECONDS}: until the first network protocol must be open;
     - C{bindAddress=ADDRESS}: where to call from.

    @raise ConfigurationError: the description, or the file, can't be used.
    """
    try:
        user, path = given.pop("user"), given.pop("password-file")
    except KeyError as missing:
        raise ConfigurationError(f"pptp:{host} lacks {missing.args[0]}=") from None
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
    bindAddress = given.pop("bindAddress", None)
    numbers = {"port": port, "mtu": "1400", "timeout": f"{TIMEOUT:g}"}
    numbers |= {name: given.pop(name) for name in tuple(given) if name in numbers}
    if given:
        raise ConfigurationError(f"pptp:{host}: there is no {next(iter(given))}=")
    try:
        octets, number, timeout = (
            int(numbers["mtu"]),
            int(numbers["port"]),
            float(numbers["timeout"]),
        )
    except ValueError as fault:
        raise ConfigurationError(f"pptp:{host}: {fault}") from fault
    return PPTPClientEndpoint(
        reactor,
        host,
        LinkSettings(identity=identity, encryption=encryption, mru=octets),
        networks=networks,
        port=number,
        timeout=timeout,
        bindAddress=bindAddress,
    )
