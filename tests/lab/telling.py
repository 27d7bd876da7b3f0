"""
twistd with a gateway that prints the control frames of all calls as they happen, in pppd's words,
and what each session has agreed on.
"""

from collections.abc import Callable, Sequence

from twisted.scripts import twistd

from pptpgw.interfaces import AgreedOption, Frame, IFollowing, INetworkProtocol, ISession
from pptpgw.service import GatewayService
from pptpgw.sessions.observer import SessionObserver

startService = GatewayService.startService


def written(options: Sequence[AgreedOption], side: str) -> str:
    """
    Return the options of one side as pppd writes them.
    """
    return " ".join(
        f"<{f'{option.name} {value}'.rstrip()}>"
        for option in options
        for value in getattr(option, side)
    )


class Teller(SessionObserver):
    """
    Prints what a session has agreed on when a network protocol opens.
    """

    def protocolOpened(self, session: ISession, protocol: INetworkProtocol) -> None:
        for one in session.agreed():
            for side in ("ours", "peers"):
                print(f"agreed: {one.name} {side} {written(one.options, side)}", flush=True)


def tell(self: GatewayService) -> None:
    """
    Start the gateway, and follow every call.
    """

    def listen(following: IFollowing) -> None:
        for _, what in following.take():
            if isinstance(what, Frame):
                print(f"followed: {self.attempts.text(what)}", flush=True)

    startService(self)
    self.sessions.addObserver(Teller())
    self.attempts.follow(lambda attempt: True, listen)


GatewayService.startService = tell  # type: ignore[method-assign]
run: Callable[[], None] = twistd.run
run()
