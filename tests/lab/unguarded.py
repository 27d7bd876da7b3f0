"""
twistd with a gateway that believes that packets of CCP are withheld from the kernel's PPP, although
the lab's kernel has no tables of nftables for that.

So this program tests the gateway with MPPE within L2TP. What is withheld is sent by the test.
"""

from collections.abc import Callable

from twisted.scripts import twistd

from pptpgw.tunnels.l2tp.port.withheld import Withholding

setattr(Withholding, "works", True)
setattr(Withholding, "start", lambda self: None)
run: Callable[[], None] = twistd.run
run()
