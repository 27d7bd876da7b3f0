"""
The network protocols that networks make for a caller, and take back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from pptpgw.error import untraced
from pptpgw.interfaces import Caller, INetwork, INetworkProtocol, ISubscriber
from pptpgw.log import Logger, about

_log = Logger()

Made = Sequence[tuple[INetwork, INetworkProtocol]]
"""
The network protocols of a caller, each with the network that made it.
"""


class Making:
    """
    The network protocols of one caller while the networks prepare them, each in its own time.

    A protocol that is ready after the caller has gone is given back at once, so a network that
    never answers doesn't hold back the protocols of the others.

    @ivar done: fires with the answers in order, each a protocol, None or a Failure. Cancelling it
        gives back every protocol, those that aren't ready yet as soon as they are.
    """

    __slots__ = (
        "_abandoned",
        "_answers",
        "_networks",
        "_return",
        "_session",
        "_subscriber",
        "done",
    )

    def __init__(
        self,
        networks: Sequence[INetwork],
        subscriber: ISubscriber,
        caller: Caller,
        giveBack: Callable[[Made], None],
    ) -> None:
        """
        @param subscriber: the user that the protocols are for.
        @param caller: the caller, with the identifier of the session.
        @param giveBack: called with protocols that must be given back after C{done} was cancelled.
        """
        self._return = giveBack
        self._session = caller.session
        self._abandoned = False
        self._answers: dict[int, Any] = {}
        self._networks = networks
        self._subscriber = subscriber
        self.done: Deferred[list[Any]] = Deferred(self._abandon)
        with about(caller.session):
            for place, network in enumerate(networks):
                maybeDeferred(network.makeProtocol, subscriber, caller).addBoth(self._came, place)

    def _came(self, answer: Any, place: int) -> None:
        self._answers[place] = untraced(answer) if isinstance(answer, Failure) else answer
        if self._abandoned:
            self._giveBack()
        elif len(self._answers) == len(self._networks):
            self.done.callback([self._answers[each] for each in range(len(self._networks))])

    def _abandon(self, done: Deferred[Any]) -> None:
        self._abandoned = True
        silent = [one for place, one in enumerate(self._networks) if place not in self._answers]
        _log.warn(
            "the login of {user} ended before these networks had answered: {networks}",
            session=self._session,
            user=self._subscriber.name,
            networks=", ".join(type(network).__name__ for network in silent),
        )
        self._giveBack()

    def _giveBack(self) -> None:
        answers, self._answers = self._answers, {}
        self._return(given((self._networks[place], one) for place, one in answers.items()))


class Returns:
    """
    The network protocols that networks are taking back, each in its own time.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        """
        @param changed: called when a protocol is given back, and when a network has taken it back.
        """
        self._changed = changed
        self._pending: set[Deferred[Any]] = set()

    def __len__(self) -> int:
        return len(self._pending)

    def give(self, made: Made) -> None:
        """
        Give network protocols back. A network that fails is logged, and doesn't affect the others.
        """
        for network, protocol in made:
            taken: Deferred[Any] = maybeDeferred(network.release, protocol)
            taken.addErrback(_notTaken, network, protocol)
            self._pending.add(taken)
            taken.addCallback(self._over, taken)
        self._changed()

    def abandon(self) -> None:
        """
        Stop waiting for the networks, and log how many protocols they haven't taken back.
        """
        if self._pending:
            _log.warn(
                "the gateway stops although networks have yet to take back {count} network "
                "protocols of sessions",
                count=len(self._pending),
            )
            self._pending.clear()

    def _over(self, _: object, taken: Deferred[Any]) -> None:
        self._pending.discard(taken)
        self._changed()


def given(answers: Iterable[tuple[INetwork, Any]]) -> Made:
    """
    Return the protocols among the answers of networks, without None and failures.
    """
    return [
        (network, answer)
        for network, answer in answers
        if answer is not None and not isinstance(answer, Failure)
    ]


def _notTaken(failure: Failure, network: INetwork, protocol: INetworkProtocol) -> None:
    _log.failure(
        "{network} failed to take back {protocol}",
        failure=failure,
        network=network,
        protocol=protocol,
    )
