"""
The choice of a PPTP call's channel, and of its transport within the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from pptpgw.datapath.threaded import NativeDataPath
from pptpgw.error import NotPermitted
from pptpgw.interfaces import IChannel, IChannelHost, IChannelOwner, IKernelTransport
from pptpgw.log import Logger
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.channel import GRE, GREChannel
from pptpgw.tunnels.pptp.native import NativeChannel, SharedGRE


class GREChannels:
    """
    Opens the channels of calls over GRE ports. It implements L{pptpgw.tunnels.pptp.call.Channels}.
    """

    _log = Logger()

    def __init__(
        self,
        portFor: Callable[[str], GRE],
        transport: Callable[..., IKernelTransport] | None = None,
    ) -> None:
        """
        @param portFor: returns the GRE port for a local address, dotted.
        @param transport: has the kernel carry the frames of a call; None if it can't.
        """
        self._portFor = portFor
        self._transport = transport

    def open(self, call: Call, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        See L{pptpgw.interfaces.ICall.openChannel}.
        """
        port = self._portFor(call.localAddress)
        if (
            isinstance(dataPath, NativeDataPath)
            and dataPath.engine.threads is not None
            and hasattr(port, "readBy")
        ):
            shared = cast(SharedGRE, port)
            try:
                return NativeChannel(dataPath, owner, call.ends, shared, call.tellACCM)
            except OSError as error:
                self._log.warn("a call isn't carried natively: {error}", error=str(error))
        return GREChannel(dataPath, owner, call.ends, port, call.tellACCM)

    def openTransport(self, call: Call, receive: Callable[[int, bytes], None]) -> IKernelTransport:
        """
        See L{pptpgw.interfaces.IKernelCall.openTransport}.
        """
        if self._transport is None:
            raise NotPermitted("the kernel doesn't carry the calls of these ports")
        port = self._portFor(call.localAddress)
        return self._transport(call.ends, port, receive, call.tellACCM)
