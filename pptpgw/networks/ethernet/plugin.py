"""
The Ethernet network plugin: a switch between the callers and a TAP device, which may be a port of a
Linux bridge.

A bridged PDU, with its headers and trailers, has to fit into C{[link] mru}. The TAP device's MTU is
what this leaves for the payload of a frame, so packets of this machine fit. A frame from a bridge
port with a larger MTU may not fit; the bridge discards it. Multilink PPP (MRRU), by which RouterOS
carries whole frames over small MRUs, isn't supported.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from pptpgw.config.dial import Dial
from pptpgw.config.kind import (
    BOOLEAN,
    INTERFACE,
    INTERFACE_OR_NONE,
    LIVE,
    NEW,
    key,
    restart,
    seconds,
    whole,
)
from pptpgw.datapath.interface import DeliverPacket
from pptpgw.interfaces import (
    Caller,
    IAskingNetwork,
    IEnvironment,
    IHealth,
    INetworkFactory,
    IPreparable,
    IReadableNetwork,
    IReloadable,
    ISized,
    ISubscriber,
)
from pptpgw.log import Logger
from pptpgw.networks.ethernet import wire as bridge
from pptpgw.networks.ethernet.bcp import BCP, WORDS, BridgeSettings
from pptpgw.networks.ethernet.port import BridgePort
from pptpgw.networks.ethernet.switch import Port, Switch
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.mppe import MPPE_OVERHEAD

NOT_TAKEN = "frame not taken by the TAP device"

ETHERNET_MTU = 1500
"""
The largest payload of a frame, in octets.
"""

# The first octet of the addresses that callers are given: locally administered, and of one station.
_LOCAL = b"\x02"


@dataclass(frozen=True, slots=True)
class BridgeSection:
    """
    C{[bridge]}: Ethernet between callers and a TAP device.

    @ivar interface: the name of the TAP device.
    @ivar bridge: the Linux bridge that the TAP device joins; empty for none.
    @ivar tagged: whether frames with a VLAN tag pass.
    @ivar spanningTree: whether BPDUs pass.
    @ivar checksum: whether frames are sent with their LAN FCS.
    @ivar addresses: the most Ethernet addresses of all callers together.
    @ivar addressesPerSession: the most Ethernet addresses of one caller.
    @ivar floods: the most frames a second from one caller that are sent to all ports.
    @ivar ageing: seconds without a frame after which an address is forgotten.
    """

    interface: str = key(
        INTERFACE,
        "pptptap0",
        restart("all callers share this device, which is made at the start"),
    )
    bridge: str = key(
        INTERFACE_OR_NONE, "", restart("current callers have addresses of the LAN that it is on")
    )
    tagged: bool = key(BOOLEAN, False, NEW)
    spanningTree: bool = key(BOOLEAN, False, NEW)
    checksum: bool = key(BOOLEAN, False, NEW)
    addresses: int = key(whole(1, 65536), 4096, LIVE)
    addressesPerSession: int = key(whole(1, 65536), 64, LIVE)
    floods: int = key(whole(1, 10000), 100, LIVE)
    ageing: float = key(seconds(10, 86400), 300.0, LIVE)

    def mtu(self, mru: int) -> int:
        """
        Return the largest payload of a frame, in octets, on calls that carry packets of C{mru}
        octets.
        """
        tag = bridge.TAG_OCTETS * self.tagged
        fcs = bridge.FCS_OCTETS * self.checksum
        around = MPPE_OVERHEAD + bridge.HEADER_OCTETS + bridge.FRAME_HEADER + tag + fcs
        return min(ETHERNET_MTU, mru - around)


class BridgeDevice(Protocol):
    """
    The TAP device, as L{BridgeNetwork} uses it; L{BridgePort} is the real one.

    @ivar receive: called with each frame that the kernel sends.
    @ivar write: sends a frame into the kernel; raises OSError.
    """

    receive: DeliverPacket
    write: DeliverPacket

    def lacking(self) -> Iterable[str]:
        """
        See L{IPreparable.lacking}.
        """

    @property
    def fault(self) -> str:
        """
        See L{pptpgw.interfaces.IHealth}.
        """

    def start(self) -> None:
        """
        Open the device.

        @raise pptpgw.error.PPTPGWError: the device can't be opened or configured.
        """

    def stop(self) -> object:
        """
        Close the device. Calling this again does nothing.
        """


def _ignore(frame: bytes) -> None:
    """
    Ignore C{frame}: the receiver of a session that has ended.
    """


class BridgedSession(BCP):
    """
    BCP of one session, which is a port of the switch while the protocol is open.
    """

    __slots__ = ("_port", "_switch", "_user")

    def __init__(
        self, switch: Switch, user: str, settings: BridgeSection, environment: IEnvironment
    ) -> None:
        super().__init__(
            BridgeSettings(
                receive=self.frameReceived,
                tagged=settings.tagged,
                spanningTree=settings.spanningTree,
                checksum=settings.checksum,
                peerAddress=_LOCAL + secrets.token_bytes(5),
                mtu=environment.mru,
                counters=environment.counters,
            )
        )
        self._switch = switch
        self._user = user
        self._port: Port | None = None

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Open the data path for bridged PDUs, and join the switch.
        """
        super().layerUp(protocol)
        self._port = self._switch.join(self.sendPacket, self._user)

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Leave the switch, and close the data path for bridged PDUs.
        """
        self.leave()
        super().layerDown(protocol)

    def frameReceived(self, frame: bytes) -> None:
        """
        Pass a frame from the caller to the switch; without a port it is discarded.
        """
        if self._port is not None:
            self._switch.forward(self._port, frame)

    def leave(self) -> None:
        """
        Leave the switch. Calling this again does nothing.
        """
        port, self._port = self._port, None
        if port is not None:
            self._switch.leave(port)


@implementer(IReadableNetwork, IAskingNetwork, IReloadable, ISized, IPreparable, IHealth)
class BridgeNetwork:
    """
    The network that all bridged callers share: the switch and the TAP device.

    @ivar switch: the L{Switch}.
    """

    control, words = BCP.control, WORDS

    _log = Logger()

    def __init__(
        self, settings: BridgeSection, environment: IEnvironment, device: BridgeDevice
    ) -> None:
        """
        @param device: the TAP device; the network sets its C{receive}.
        """
        self._settings = settings
        self._environment = environment
        self._counters = environment.counters
        self.switch = Switch(environment.reactor, environment.counters, *_limits(settings))
        self._device = device
        device.receive = self._fromDevice
        self._port: Port | None = None

    def lacking(self) -> Iterable[str]:
        """
        See L{IPreparable.lacking}.
        """
        return self._device.lacking()

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._device.fault

    def start(self) -> None:
        """
        Open the TAP device and join the switch with it.
        """
        self._device.start()
        self._port = self.switch.join(self._toDevice, None)
        settings, mru = self._settings, self._environment.mru
        mtu = settings.mtu(mru)
        if mtu < ETHERNET_MTU:
            self._log.warn(
                "[link] mru = {mru}: calls carry Ethernet frames with up to {mtu} octets of "
                "payload, longer ones are discarded; whole ones need mru = {whole}",
                mru=mru,
                mtu=mtu,
                whole=mru + ETHERNET_MTU - mtu,
            )

    def stop(self) -> None:
        """
        Leave the switch and close the TAP device.
        """
        port, self._port = self._port, None
        if port is not None:
            self.switch.leave(port)
        self._device.stop()

    def judge(self, settings: BridgeSection) -> dict[str, str]:
        """
        See L{IReloadable.judge}. Tags and checksums leave less room for the payload of a frame.
        """
        mru, old = self._environment.mru, self._settings
        if settings.mtu(mru) == old.mtu(mru):
            return {}
        why = f"with [link] mru = {mru} it changes the MTU of the TAP device"
        return {
            name: why
            for name in ("tagged", "checksum")
            if getattr(settings, name) != getattr(old, name)
        }

    def reload(self, settings: BridgeSection) -> None:
        """
        See L{IReloadable.reload}. Limits, and that no BPDUs pass any more, apply to current
        sessions too.
        """
        self._settings = settings
        self.switch.change(*_limits(settings))

    def makeProtocol(self, subscriber: ISubscriber, caller: Caller) -> Deferred[BridgedSession]:
        """
        Make BCP for one session; every user may bridge. See L{INetwork.makeProtocol}.
        """
        return succeed(
            BridgedSession(self.switch, subscriber.name, self._settings, self._environment)
        )

    def ask(self, dial: Dial, subscriber: ISubscriber, caller: Caller) -> BridgedSession:
        """
        Make BCP for a call that this gateway dialled, which joins the LAN of both ends. See
        L{IAskingNetwork.ask}.
        """
        return BridgedSession(self.switch, dial.name, self._settings, self._environment)

    def release(self, protocol: BridgedSession) -> None:
        """
        See L{INetwork.release}.
        """
        protocol.leave()
        # The settings refer to the session; this breaks the reference cycle.
        protocol.settings = replace(protocol.settings, receive=_ignore)

    def _fromDevice(self, frame: bytes) -> None:
        """
        Pass a frame from the kernel to the switch; without a port it is discarded.
        """
        if self._port is not None:
            self.switch.forward(self._port, frame)

    def _toDevice(self, frame: bytes) -> None:
        """
        Write a frame from the switch to the kernel; a frame that isn't taken is counted.
        """
        try:
            self._device.write(frame)
        except OSError:
            self._counters.discard(NOT_TAKEN)


def _limits(settings: BridgeSection) -> tuple[int, int, int, float, bool]:
    """
    Return what the switch needs of the settings, in the order in which L{Switch} takes it.
    """
    return (
        settings.addresses,
        settings.addressesPerSession,
        settings.floods,
        settings.ageing,
        settings.spanningTree,
    )


@implementer(INetworkFactory)
class BridgeFactory:
    """
    The plugin C{bridge}. See L{INetworkFactory}.
    """

    name = "bridge"
    description = "Ethernet (BCP, RFC 3518), callers on one LAN with a TAP device"
    settings = BridgeSection

    def makeNetwork(self, settings: BridgeSection, environment: IEnvironment) -> BridgeNetwork:
        """
        See L{INetworkFactory.makeNetwork}.
        """
        device = BridgePort(
            environment.reactor,
            settings.interface,
            settings.mtu(environment.mru),
            settings.bridge,
            environment.counters,
        )
        return BridgeNetwork(settings, environment, device)


factory = BridgeFactory()
