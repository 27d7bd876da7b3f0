"""
Where the management interface of a running gateway is, and how a client connects to it.

The rules:

 - A URL names the place, or it is found in C{[management] endpoints}. There a Unix socket is
   preferred, since nobody has to log in on it; otherwise the first endpoint is taken that a client
   can connect to.
 - Over TLS the certificate must have the name of the URL's host. For an C{ssl:} endpoint of a
   configuration that is the first of C{[management] hosts} or, if there is none, the address that
   is connected to. An authority of the system must have issued it, or one in a file that is named
   instead.
 - Without TLS only the loopback interface is connected to, since what logs in would pass in clear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint

from pptpgw.config.section import ManagementSection
from pptpgw.error import ConfigurationError
from pptpgw.ports.listening import isLoopback, wordsOf

CONNECT_SECONDS = 5.0
"""
Seconds until the connection must be there.
"""

_PORTS = {"http": 80, "https": 443}
_WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Place:
    """
    A place where a management interface may be.

    @ivar text: the place as it was named: a URL, or a server endpoint string.
    @ivar wrong: what is wrong if nobody listens there, as the rest of a sentence.
    @ivar url: the beginning of the URLs of requests.
    @ivar endpoint: connects to it.
    @ivar isLocal: whether it is a Unix socket, on which nobody logs in.
    """

    text: str
    wrong: str
    url: str
    endpoint: IStreamClientEndpoint
    isLocal: bool


def fromURL(reactor: Any, url: str, authority: str | None = None) -> Place:
    """
    Return the place that C{url} names: C{https://HOST:PORT}, C{http://HOST:PORT} or C{unix:PATH}.

    @param authority: the file with the certificates that are trusted, in PEM; None for those of the
        system.
    @raise ConfigurationError: C{url} isn't such a URL, other machines can read what passes on the
        way there, or the file can't be used.
    """
    wrong = f"isn't at {url}"
    if url.startswith("unix:"):
        local = _socket(reactor, url, wrong)
        if local is not None:
            return local
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        host, port = "", 0
    if not host or parts.username is not None or parts.path.strip("/") or parts.query:
        # The URL isn't shown, as it may have a password.
        raise ConfigurationError(
            "the URL of a gateway must be https://HOST:PORT, http://HOST:PORT or unix:PATH, and no "
            "more"
        )
    if parts.scheme == "http":
        if not isLoopback(host):
            raise ConfigurationError(
                f"{url}: without TLS the login would pass in clear: use https:, or a tunnel of ssh "
                "to the loopback interface"
            )
        return _overTCP(reactor, url, wrong, host, port, host, None)
    return _overTCP(reactor, url, wrong, host, port, host, _trusted(authority))


def fromEndpoints(
    reactor: Any, section: ManagementSection, source: str, authority: str | None = None
) -> Place:
    """
    Return the place of the gateway whose configuration has C{section}.

    @param source: where C{section} stands, for error messages.
    @param authority: as in L{fromURL}.
    @raise ConfigurationError: there is no endpoint that a client can connect to, or the file can't
        be used.
    """
    wrong = f"[management] endpoints isn't where {source} says: "
    ordered = sorted(section.endpoints, key=lambda text: wordsOf(text).kind != "unix")
    for text in ordered:
        words = wordsOf(text)
        kind, named = words.kind, words.named
        if kind == "unix":
            local = _socket(reactor, text, wrong + text)
            if local is not None:
                return local
        port, host = named.get("port", words.first), named.get("interface", "")
        if kind not in ("tcp", "tcp6", "ssl") or not port.isdecimal():
            continue
        address = "::1" if kind == "tcp6" and not host else _WILDCARDS.get(host, host)
        name = section.hosts[0] if section.hosts else address
        trusted = _trusted(authority) if kind == "ssl" else None
        return _overTCP(reactor, text, wrong + text, address, int(port), name, trusted)
    raise ConfigurationError(
        f"{source}: [management] endpoints has no unix:, tcp: or ssl: endpoint to connect to"
    )


def _socket(reactor: Any, text: str, wrong: str) -> Place | None:
    words = wordsOf(text)
    path = words.named.get("address", words.first)
    if not path:
        return None
    endpoint = UNIXClientEndpoint(reactor, path, timeout=CONNECT_SECONDS)
    # The socket is the gateway's, whatever the name; the gateway checks it.
    return Place(text, wrong, "http://localhost", endpoint, True)


def _overTCP(
    reactor: Any, text: str, wrong: str, address: str, port: int, name: str, trusted: Any
) -> Place:
    """
    @param name: the name of the gateway, which its certificate must have.
    @param trusted: the authorities that are trusted; None for a connection without TLS.
    """
    endpoint: Any = HostnameEndpoint(reactor, address, port, timeout=CONNECT_SECONDS)
    host = f"[{name}]" if ":" in name else name
    if trusted is None:
        return Place(text, wrong, f"http://{host}:{port}", endpoint, False)
    from twisted.internet.ssl import optionsForClientTLS

    try:
        options = optionsForClientTLS(name, trusted)
    except ValueError as error:
        raise ConfigurationError(f"{text}: {error}") from error
    return Place(text, wrong, f"https://{host}:{port}", wrapClientTLS(options, endpoint), False)


def _trusted(authority: str | None) -> Any:
    """
    Return the authorities in the file C{authority}; those of the system if it is None.

    @raise ConfigurationError: it can't be used.
    """
    # Over a Unix socket commands start sooner without these modules.
    from OpenSSL import crypto
    from twisted.internet.ssl import Certificate, platformTrust, trustRootFromCertificates

    from pptpgw.radius.tls import certificates

    if authority is None:
        return platformTrust()
    try:
        found = [Certificate.loadPEM(one) for one in certificates(authority)]
    except (crypto.Error, ValueError) as error:
        raise ConfigurationError(f"{authority}: no certificate can be read: {error}") from error
    return trustRootFromCertificates(found)
