"""
Linux' own GRE for PPTP (the kernel module pptp): a socket of the family PPPoX carries the frames of
one call, and is a channel of the kernel's PPP.

The kernel finds the call of a packet by the peer's address and our call id. It passes every packet
to raw sockets too, so a GRE port keeps none whose call id is one of
L{pptpgw.tunnels.pptp.callid.KERNELS} (L{pptpgw.tunnels.pptp.port.filter}).

At some packets of CCP (L{pptpgw.ports.ppp.COMPRESSION_ENDS}) the kernel stops to encrypt
what it sends, and anybody could send one in the peer's name. So the kernel doesn't see them: they
come by the GRE port.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from struct import Struct

from zope.interface import implementer

from pptpgw.interfaces import IKernelTransport
from pptpgw.ports.pppox import FAMILY, PPTP, bind, channelOf, connect, openPPPoX
from pptpgw.tunnels.pptp.channel import GRE, TellACCM
from pptpgw.tunnels.pptp.owner import Ends
from pptpgw.tunnels.pptp.port.filter import COMPRESSIBLE, ENCRYPTED

# The kernel's struct sockaddr_pppox for PPTP: family, protocol, call id and address, and room that
# other protocols need.
_ADDRESS = Struct("=HIHxx4s16x")


@implementer(IKernelTransport)
class PPPoXSocket:
    """
    The socket of one call. See L{IKernelTransport}.
    """

    compresses = True
    figures = None

    def __init__(
        self,
        ends: Ends,
        gre: GRE,
        receive: Callable[[int, bytes], None],
        tellACCM: TellACCM,
    ) -> None:
        """
        @param gre: the GRE port.
        @param receive: see L{IKernelCall.openTransport}.
        @param tellACCM: see L{IKernelTransport.setACCM}.
        @raise pptpgw.error.NotPermitted: the kernel has no PPTP.
        @raise OSError: another call has these ends, or there is no route to the peer.
        """
        self._socket = openPPPoX(PPTP)
        try:
            COMPRESSIBLE.attach(self._socket)
            bind(self._socket, _address(ends.localCallID, ends.localAddress))
            connect(self._socket, _address(ends.peerCallID, ends.peerAddress))
            self.channel = channelOf(self._socket)
        except OSError:
            self._socket.close()
            raise
        self._receive = receive
        self.setACCM = tellACCM
        self._gre = gre
        self._key = ends.peerAddress, ends.localCallID
        gre.register(*self._key, self._framesReceived)

    def requireEncryption(self) -> None:
        """
        See L{IKernelTransport.requireEncryption}.
        """
        ENCRYPTED.attach(self._socket)

    def _framesReceived(self, sequence: int, protocol: int, frames: list[bytes]) -> None:
        """
        Pass on the frames that the kernel doesn't see.
        """
        for information in frames:
            self._receive(protocol, information)

    def close(self) -> None:
        """
        See L{IKernelTransport.close}.
        """
        self._gre.unregister(*self._key)
        self._socket.close()


def _address(callID: int, address: str) -> bytes:
    return _ADDRESS.pack(FAMILY, PPTP, callID, socket.inet_aton(address))
