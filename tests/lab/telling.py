"""
twistd with a gateway that prints the control frames of all calls as they happen, in pppd's words.
"""

from collections.abc import Callable

from twisted.scripts import twistd

from pptpgw.interfaces import Frame, IFollowing
from pptpgw.service import GatewayService

startService = GatewayService.startService


def tell(self: GatewayService) -> None:
    """
    Start the gateway, and follow every call.
    """

    def listen(following: IFollowing) -> None:
        for _, what in following.take():
            if isinstance(what, Frame):
                print(f"followed: {self.attempts.text(what)}", flush=True)

    startService(self)
    self.attempts.follow(lambda attempt: True, listen)


GatewayService.startService = tell  # type: ignore[method-assign]
run: Callable[[], None] = twistd.run
run()
