"""
The environment that tunnel plugins are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zope.interface import implementer

from pptpgw.config.section import ListenSection
from pptpgw.counting.counters import Counters
from pptpgw.interfaces import ICallTaker, IEnvironment, ITunnelEnvironment
from pptpgw.log import Quota
from pptpgw.sessions.attempts import Attempts
from pptpgw.sessions.places import Known
from pptpgw.sessions.tally import Tally


@implementer(ITunnelEnvironment)
@dataclass(frozen=True, slots=True)
class TunnelEnvironment:
    """
    See L{ITunnelEnvironment}.
    """

    reactor: Any
    calls: ICallTaker
    counters: Counters
    quota: Quota
    attempts: Attempts
    tally: Tally
    known: Known
    environment: IEnvironment
    listens: bool = True

    @property
    def listen(self) -> ListenSection:
        """
        See L{ITunnelEnvironment}.
        """
        listen: ListenSection = self.environment.configuration.listen
        return listen
