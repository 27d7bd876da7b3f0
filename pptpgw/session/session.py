"""
A session: one authenticated caller, from the proof of who it is to the end of its call.

It is a record that the gateway keeps true and that observers, a management interface or another
service in the same process read.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network

from pptpgw.counters import Counters
from pptpgw.interfaces import ISubscriber


class Session:
    """
    What is known of a session.

    @ivar number: its number, unique while the gateway runs.
    @ivar user: the user's name, as the account has it.
    @ivar caller: the address (dotted) that the call came from.
    @ivar since: when it began, in seconds of the gateway's clock.
    @ivar authentication: the name of the method that proved it, C{mschapv2} for one.
    @ivar encryption: what is encrypted and how, in words.
    @ivar networks: the networks of each network protocol that is open, by the protocol's name.
    @ivar counters: the figures of its call.
    """

    __slots__ = (
        "_hangUp",
        "authentication",
        "caller",
        "counters",
        "encryption",
        "networks",
        "number",
        "since",
        "subscriber",
    )

    def __init__(
        self,
        number: int,
        subscriber: ISubscriber,
        caller: str,
        since: float,
        counters: Counters,
        hangUp: Callable[[str], None],
    ) -> None:
        self.number = number
        self.subscriber = subscriber
        self.caller = caller
        self.since = since
        self.counters = counters
        self.authentication = "none"
        self.encryption = "not encrypted"
        self.networks: dict[str, tuple[IPv4Network | IPv6Network, ...]] = {}
        self._hangUp = hangUp

    @property
    def user(self) -> str:
        """
        The user's name.
        """
        name: str = self.subscriber.name
        return name

    def hangUp(self, cause: str) -> None:
        """
        End the session; observers hear of it when the call is over.
        """
        self._hangUp(cause)

    def __repr__(self) -> str:
        return f"<Session {self.number} of {self.user!r} from {self.caller}>"
