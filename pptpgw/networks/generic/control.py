"""
The control protocol of a declaration (L{pptpgw.networks.generic.declaration}) on one link.

The rules:

 - Options are negotiated as the declaration says; an option that it doesn't name is rejected.
 - A peer that asks for another value than the fixed or the assigned one gets a Nak with that value.
   If the peer insists, the option is rejected. A peer that doesn't ask for the option isn't asked
   to.
 - The peer may change the value that we ask for, by a Nak. If it rejects the option, we go on
   without, unless the option is required.
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
    Do nothing: the default of L{GenericSettings.opened} and L{GenericSettings.closed}.
    """


@dataclass(frozen=True, slots=True)
class GenericSettings:
    """
    The settings of a declared protocol on one link.

    @ivar receive: called with the protocol number and the packet, for each packet that arrives.
    @ivar opened: called when the protocol opens, before any packet arrives.
    @ivar closed: called when the protocol leaves Opened.
    @ivar assigned: the values that were assigned to this session, by the type of the option.
    @ivar mtu: the largest packet that may be sent to the peer, in octets.
    """

    receive: Callable[[int, bytes], None]
    opened: Callable[[GenericProtocol], None] = _nothing
    closed: Callable[[GenericProtocol], None] = _nothing
    assigned: Mapping[int, bytes] = field(default_factory=dict)
    mtu: int = 1400


class DeclaredOption(Option["GenericProtocol"]):
    """
    An option that is negotiated as its L{Rule} says. If a request has it several times, each is
    judged by itself.
    """

    __slots__ = ("_rule", "_type")

    several = True

    def __init__(self, type_: int, rule: Rule) -> None:
        self._type = type_
        self._rule = rule

    def wanted(self, owner: GenericProtocol) -> bytes | None:
        """
        Return the value that the rule says to ask for.
        """
        return self._rule.ask

    def naked(self, owner: GenericProtocol, current: bytes, suggested: bytes) -> bytes | None:
        """
        Return the value that the peer suggests, if we asked for one.
        """
        return suggested

    def rejected(self, owner: GenericProtocol, current: bytes) -> None:
        """
        Give up if the option is required.
        """
        if self._rule.required:
            raise GiveUp(f"the peer won't grant option {self._type} of {owner.name}")

    def judge(self, owner: GenericProtocol, value: bytes) -> bytes | None:
        """
        Return the value that the rule allows the peer: see L{Option.judge}.
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
    A declared protocol on one link. L{protocolFor} makes a subclass for each declaration.
    """

    __slots__ = ("settings",)

    numbers: tuple[int, ...] = ()

    def __init__(self, settings: GenericSettings) -> None:
        super().__init__()
        self.settings = settings

    @property
    def protocols(self) -> tuple[int, ...]:
        """
        The PPP protocol numbers of the packets, as declared.
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
        Return the attachment for packets of the first protocol number.
        """
        return self.attachments()[self.protocol]

    def attachments(self) -> Attachments:
        """
        Return an attachment for each protocol number, whose C{receive} is called with that number.
        """
        return {
            number: Attachment(mtu=self.mtu, receive=partial(self.settings.receive, number))
            for number in self.protocols
        }

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Open the data path for packets, and call L{GenericSettings.opened}.
        """
        self.settings.opened(self)
        super().layerUp(protocol)

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Call L{GenericSettings.closed}, and close the data path for packets.
        """
        super().layerDown(protocol)
        self.settings.closed(self)


def protocolFor(declaration: Declaration) -> type[GenericProtocol]:
    """
    Return the class of control protocol that C{declaration} declares.
    """

    class Declared(GenericProtocol):
        """
        The L{GenericProtocol} with the names, numbers and options of C{declaration}.
        """

        __slots__ = ()

        name = declaration.name
        control = declaration.control
        protocol = declaration.data[0]
        numbers = declaration.data
        kinds = {type_: DeclaredOption(type_, rule) for type_, rule in declaration.options.items()}

    return Declared
