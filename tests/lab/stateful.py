"""
twistd, but the gateway asks for stateful MPPE, and suggests it.

No client at hand insists on stateful MPPE; pppd takes it, with mppe-stateful, where asked for: so
this is how the stateful MPPE of its kernel can be met.
"""

from collections.abc import Callable

from twisted.scripts import twistd

from pptpgw.ppp import ccp

mppeOption = ccp.mppeOption


def statefulOption(bits: int, stateful: bool) -> bytes:
    """
    Stateful, whatever was meant.
    """
    return mppeOption(bits, stateful=True)


ccp.mppeOption = statefulOption
run: Callable[[], None] = twistd.run
run()
