"""
The service that masquerades callers' packets while it runs.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from pptpgw.log import Logger
from pptpgw.ports.nftables import Masquerade


class Masquerading(Service):
    """
    A service that sets up a L{Masquerade} in the background, and removes it.
    """

    _log = Logger()

    def __init__(self, masquerade: Masquerade) -> None:
        Service.setName(self, "masquerading")
        self._masquerade = masquerade
        self._began: Deferred[None] = succeed(None)

    def privilegedStartService(self) -> None:
        """
        Start to set up the masquerade.

        @raise pptpgw.error.PPTPGWError: it is clear at once that this fails. A later failure is
            logged.
        """
        Service.privilegedStartService(self)
        failures: list[Failure] = []
        opening = True

        def failed(failure: Failure) -> None:
            if opening:
                failures.append(failure)
                return
            why = failure.getErrorMessage()
            self._log.error("callers' packets are not masqueraded: {why}", why=why)

        self._began = self._masquerade.start().addErrback(failed)
        opening = False
        if failures:
            failures[0].raiseException()

    def stopService(self) -> Any:
        """
        Remove the masquerade, once it has been set up.

        @return: fires when that is done.
        """
        Service.stopService(self)
        return self._began.addCallback(lambda _: self._masquerade.stop())
