"""
A TUN or TAP device that the gateway makes and configures, and restores when another program deletes
it, brings it down, or removes its addresses or routes.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import IHealth
from pptpgw.ports.devicesystem import DeviceSystem
from pptpgw.ports.kernelinterface import KernelInterface
from pptpgw.ports.tun import TUNPort
from pptpgw.ports.upkeep import Upkeep
from pptpgw.ports.watch import Watch

QUEUE = 2048
"""
The packets that may wait in a TUN device until they are read, where sessions share one queue. The
kernel has 500, which a fast sender fills between two turns of the reactor.
"""


@implementer(IHealth)
class Device(TUNPort):
    """
    A TUN or TAP device with its configuration.

    @ivar kernel: the port for the device's addresses and routes.
    @ivar mtu: the device's MTU, in octets.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        mtu: int,
        counters: Counters,
        system: DeviceSystem | None = None,
        ethernet: bool = False,
        key: str = "[network] interface",
        kernel: KernelInterface | None = None,
    ) -> None:
        """
        @raise ConfigurationError: C{name} can't be the name of an interface.
        """
        super().__init__(reactor, name, counters, system=system, ethernet=ethernet, key=key)
        self.mtu = mtu
        self.kernel = KernelInterface(reactor, name) if kernel is None else kernel
        if not ethernet:
            self.kernel.queue = QUEUE
        self._upkeep = Upkeep(reactor, lambda: f"interface {self.name}", self._restore)
        self._watch = Watch(reactor, self.kernel.isTaken, self._upkeep.lost)

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._upkeep.fault

    def start(self) -> None:
        """
        Open the device and configure it.

        @raise pptpgw.error.PPTPGWError: that failed; the text says why, and nothing is left open.
        """
        self.startReading()
        try:
            self.kernel.name = self.name
            self.kernel.configure(self.mtu)
            self.prepare()
        except BaseException:
            self.stop()
            raise
        self._watch.start()

    def stop(self) -> Deferred[None]:
        """
        Undo the configuration and close the device. Calling this again does nothing.
        """
        self._upkeep.stop()
        self._watch.stop()
        self.kernel.remove()
        return super().stop()

    def prepare(self) -> None:
        """
        Do what else the device needs once it is up. Subclasses override this; it is called again
        whenever the device is restored.

        @raise pptpgw.error.PPTPGWError: it can't be done.
        """

    def _restore(self) -> Deferred[None]:
        # Changes that this class makes itself needn't be announced.
        self._watch.stop()
        self.reopen()
        self.kernel.restore()
        self.prepare()
        self._watch.start()
        return self.kernel.restoreRoutes()
