"""
Whether this machine's kernel can carry calls, which is tried: a unit of its PPP is made with MPPE,
and removed again.
"""

from __future__ import annotations

from typing import Any

from pptpgw.error import NotPermitted
from pptpgw.interfaces import MPPEParameters
from pptpgw.ports.ppp import PPPSystem, PPPUnit, RealPPPSystem, UnitNumbers

_MTU = 1500
_KEYS = MPPEParameters(bytes(16), 128, False)


class NoReactor:
    """
    A reactor by which nothing is read.
    """

    def addReader(self, reader: object) -> None:
        """
        Do nothing.
        """

    def removeReader(self, reader: object) -> None:
        """
        Do nothing.
        """


def lackingPPP(system: PPPSystem | None = None) -> str:
    """
    Return why the kernel can't carry calls; an empty text if it can. This takes milliseconds.
    """
    reactor: Any = NoReactor()
    try:
        unit = PPPUnit(reactor, UnitNumbers(), 0, _MTU, lambda *_: None, system or RealPPPSystem())
    except (OSError, NotPermitted) as error:
        return str(error)
    try:
        unit.setMPPE(_KEYS, send=True)
        unit.setMPPE(_KEYS, send=False)
    except (OSError, NotPermitted) as error:
        return str(error)
    finally:
        unit.close()()
    return ""
