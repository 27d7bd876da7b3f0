"""
A control protocol as it was declared (L{pptpgw.networks.generic.declaration}), on one link.

The rules:

 - What the declaration says of an option's type decides; a type that it doesn't name is rejected.
 - A peer that asks for another value than the fixed or the assigned one is answered with that; one
   that insists goes without the option.  One that doesn't ask at all is asked for nothing.
 - What we ask for the peer may change.  Where it refuses, we do without, unless the option is
   required.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from pptpgw.interfaces import Attachment, Attachments
from pptpgw.networks.generic.declaration import Declaration, Rule
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.option import GiveUp, Option


def _nothing(_: GenericProtocol) -> None:
    """
    Whom it may concern is nobody.
    """


@dataclass(frozen=True, slots=True)
class GenericSettings:
    """
    What one link's instance works with.

    @ivar receive: called with each packet that arrives, and the protocol number before it.
    @ivar opened: called when it opens, before anything arrives; C{closed} when it no longer is.
    @ivar assigned: the values of this session, of options that have one a session.
    @ivar mtu: the largest packet that may be sent to the peer, in octets.
    """

    receive: Callable[[int, bytes], None]
    opened: Callable[[GenericProtocol], None] = _nothing
    closed: Callable[[GenericProtocol], None] = _nothing
    assigned: Mapping[int, bytes] = field(default_factory=dict)
    mtu: int = 1400


class DeclaredOption(Option["GenericProtocol"]):
    """
    An option as its rule has it; where it stands several times each is judged by itself.
    """

    __slots__ = ("_rule", "_type")

    several = True

    def __init__(self, type_: int, rule: Rule) -> None:
        self._type = type_
        self._rule = rule

    def wanted(self, owner: GenericProtocol) -> bytes | None:
        """
        What the rule asks for.
        """
        return self._rule.ask

    def naked(self, owner: GenericProtocol, current: bytes, suggested: bytes) -> bytes | None:
        """
        What the peer would rather have.
        """
        return suggested

    def rejected(self, owner: GenericProtocol, current: bytes) -> None:
        """
        Give up where there is no doing without.
        """
        if self._rule.required:
            raise GiveUp(f"the peer won't grant option {self._type} of {owner.name}")

    def judge(self, owner: GenericProtocol, value: bytes) -> bytes | None:
        """
        What the rule allows.
        """
        rule = self._rule
        if rule.fixed is not None:
            return rule.fixed
        if rule.assign is not None:
            return owner.settings.assigned.get(self._type)
        if rule.accept is not None and (not rule.accept or len(value) in rule.accept):
            return value
        return None


class GenericProtocol(NetworkProtocol):
    """
    A declared protocol on one link: the declaration makes a class of it, see L{protocolFor}.
    """

    __slots__ = ("settings",)

    numbers: tuple[int, ...] = ()

    def __init__(self, settings: GenericSettings) -> None:
        super().__init__()
        self.settings = settings

    @property
    def protocols(self) -> tuple[int, ...]:
        """
        The PPP protocol numbers of its packets.
        """
        return self.numbers

    @property
    def mtu(self) -> int:
        """
        The largest packet that may be sent to the peer, in octets.
        """
        return min(self.settings.mtu, self.peerMRU)

    def attachment(self) -> Attachment:
        """
        Packets of the first number.
        """
        return self.attachments()[self.protocol]

    def attachments(self) -> Attachments:
        """
        Packets of each number, told apart by it.
        """
        return {
            number: Attachment(mtu=self.mtu, receive=partial(self.settings.receive, number))
            for number in self.protocols
        }

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Let packets through.
        """
        self.settings.opened(self)
        super().layerUp(protocol)

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Stop them.
        """
        super().layerDown(protocol)
        self.settings.closed(self)


def protocolFor(declaration: Declaration) -> type[GenericProtocol]:
    """
    The control protocol that C{declaration} declares.
    """

    class Declared(GenericProtocol):
        """
        What the declaration says.
        """

        __slots__ = ()

        name = declaration.name
        control = declaration.control
        protocol = declaration.data[0]
        numbers = declaration.data
        kinds = {type_: DeclaredOption(type_, rule) for type_, rule in declaration.options.items()}

    return Declared
