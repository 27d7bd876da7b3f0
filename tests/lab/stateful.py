"""
twistd with a gateway that asks for stateful MPPE, and suggests it.

No available client insists on stateful MPPE, but pppd with the option mppe-stateful accepts it. So
this program tests the gateway with the stateful MPPE of pppd's kernel.
"""

from collections.abc import Callable

from twisted.scripts import twistd

from pptpgw.ppp import ccp

mppeOption = ccp.mppeOption


def statefulOption(bits: int, stateful: bool) -> bytes:
    """
    Return an option with the stateful bit, whatever C{stateful} is.
    """
    return mppeOption(bits, stateful=True)


ccp.mppeOption = statefulOption
run: Callable[[], None] = twistd.run
run()
