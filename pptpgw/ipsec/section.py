"""
The section C{[ipsec]} of the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass

from pptpgw.config.kind import BOOLEAN, FILE, LIVE, key, matching, restart, seconds
from pptpgw.config.secrecy import readSecret

IDENTITY = matching("at most 253 printable ASCII characters", "[ -~]{0,253}")
SOCKET = matching("the absolute path of a socket", r"/[^\0]*[^/\0]")


@dataclass(frozen=True, slots=True)
class IPsecSection:
    """
    C{[ipsec]}: what strongSwan is given and asked, for tunnels that leave encryption to IPsec.

    @ivar secretFile: the file of the pre-shared key of all clients, which only its owner may read;
        empty: clients can't authenticate by it.
    @ivar certificate: the file of the gateway's certificate, in PEM; empty: clients can't
        authenticate by certificates.
    @ivar privateKey: the file of its private key, which only its owner may read.
    @ivar ca: the file of the certificate of the authority of the clients.
    @ivar name: the identity that the gateway shows clients; empty: the certificate's subject or,
        with the pre-shared key, the address.
    @ivar weak: whether 3DES and the 1024-bit group are accepted after everything better.
    @ivar marks: whether packets of clients behind one NAT are told apart by strongSwan's plugin
        connmark.
    @ivar deadPeer: seconds of silence after which a client is asked whether it is there; it has
        five times as long to answer.
    @ivar socket: the path of charon's socket for vici.
    """

    secretFile: str = key(FILE, "", LIVE)
    certificate: str = key(FILE, "", LIVE)
    privateKey: str = key(FILE, "", LIVE)
    ca: str = key(FILE, "", LIVE)
    name: str = key(IDENTITY, "", LIVE)
    weak: bool = key(BOOLEAN, True, LIVE)
    marks: bool = key(BOOLEAN, False, LIVE)
    deadPeer: float = key(seconds(1, 3600), 30.0, LIVE)
    socket: str = key(SOCKET, "/run/charon.vici", restart("the connection to charon is open"))

    @property
    def isUsed(self) -> bool:
        """
        Whether there is a pre-shared key or a certificate, so that clients can authenticate.
        """
        return bool(self.secretFile or self.certificate)

    def secret(self) -> bytes:
        """
        Return the pre-shared key; empty if there is none.

        @raise pptpgw.error.ConfigurationError: the file can't be read, or others may read it.
        """
        return readSecret(self.secretFile) if self.secretFile else b""
