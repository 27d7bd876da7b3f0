"""
Tests for both state machines of SSTP, each driven by packets, and joined to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.internet.task import Clock

from pptpgw.sessions.cause import Cause, Termination, codeOf
from pptpgw.tunnels.sstp import binding, machine, wire
from pptpgw.tunnels.sstp.clientside import RETRIES, ClientMachine
from pptpgw.tunnels.sstp.machine import Machine, State
from pptpgw.tunnels.sstp.serverside import NAKS, ServerMachine
from pptpgw.tunnels.sstp.wire import Attribute, Identifier, Kind, Message, Status, StatusInfo

CERTIFICATE, NONCE, KEY, OTHER = b"certificate", bytes(range(32)), b"k" * 32, b"o" * 32
REQUEST = Message(Kind.CALL_CONNECT_REQUEST, (Attribute(1, b"\0\1"),))


class Owner:
    """
    The owner of a machine. It records what it is told.

    @ivar told: the events.
    @ivar packets: what was sent.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.packets: list[bytes] = []
        self.causes: list[Cause] = []
        self.deliver: Callable[[bytes], object] = lambda packet: None

    def send(self, packet: bytes) -> None:
        self.packets.append(packet)
        self.deliver(packet)

    def linkUp(self) -> None:
        self.told.append("link up")

    def established(self) -> None:
        self.told.append("established")

    def bindingFailed(self, reason: str) -> None:
        self.told.append(reason)

    def ending(self, cause: Cause) -> None:
        self.causes.append(cause)
        self.told.append("ending")

    def ended(self) -> None:
        self.told.append("ended")

    @property
    def sent(self) -> list[Message]:
        return [wire.decodeMessage(packet) for packet in self.packets]

    @property
    def kinds(self) -> list[int]:
        return [message.kind for message in self.sent]

    def status(self) -> tuple[int, int]:
        """
        The attribute and the status of the last message.
        """
        value = self.sent[-1].value(Identifier.STATUS_INFO)
        assert value is not None
        return wire.decodeStatusInfo(value)[:2]


class Driven:
    """
    A machine of either end that is driven by packets.
    """

    def __init__(self, make: Callable[..., Any] = ServerMachine) -> None:
        self.clock = Clock()
        self.owner = Owner()
        more = (lambda size: NONCE[:size],) if make is ServerMachine else ()
        self.machine = make(self.clock, self.owner, CERTIFICATE, *more)
        self.machine.start()

    def receive(self, *messages: Message | bytes) -> None:
        for message in messages:
            self.machine.heard()
            octets = message if isinstance(message, bytes) else message.encode()
            self.machine.received(octets)

    def connect(self) -> Driven:
        """
        Bring a server's machine to Call_Connected.
        """
        self.receive(REQUEST)
        self.machine.authenticated([KEY])
        self.receive(binding.callConnected(binding.Hash.SHA256, NONCE, CERTIFICATE, KEY))
        assert self.machine.state is State.CONNECTED
        return self


class TestBothEnds:
    def joined(self) -> tuple[Driven, Driven]:
        client, server = Driven(ClientMachine), Driven()
        for here, there in ((client, server), (server, client)):
            for packet in here.owner.packets:
                there.receive(packet)
            here.owner.deliver = there.receive
        return client, server

    @pytest.mark.parametrize("keys", [(KEY, OTHER), ()])
    def test_aWholeCall(self, keys: Sequence[bytes]) -> None:
        client, server = self.joined()
        assert client.owner.told == server.owner.told == ["link up"]
        server.machine.authenticated(keys)
        client.machine.authenticated(keys)
        client.machine.authenticated(keys)
        assert client.owner.told == server.owner.told == ["link up", "established"]
        client.machine.disconnect(Cause("enough"))
        assert client.owner.told[2:] == ["ending", "ended"]
        assert server.owner.told[2:] == ["ending"]
        assert codeOf(server.owner.causes[0]) is Termination.USER_REQUEST
        server.clock.advance(machine.DISCONNECTED_SECONDS)
        assert server.owner.told[3:] == ["ended"]
        assert not client.clock.getDelayedCalls() and not server.clock.getDelayedCalls()

    def test_theyAreAskedInSilenceAndEndWithoutAnAnswer(self) -> None:
        client, server = self.joined()
        server.machine.authenticated([KEY])
        client.machine.authenticated([KEY])
        server.clock.advance(59)
        server.machine.heard()
        server.clock.advance(59)
        assert Kind.ECHO_REQUEST not in server.owner.kinds
        server.clock.advance(1)
        assert server.owner.kinds[-1] == Kind.ECHO_REQUEST
        assert client.owner.kinds[-1] == Kind.ECHO_RESPONSE
        client.owner.deliver = lambda packet: None
        server.clock.advance(60)
        assert server.owner.kinds[-1] == Kind.ECHO_REQUEST
        server.clock.advance(60)
        assert server.owner.told[-2:] == ["ending", "ended"]
        assert codeOf(server.owner.causes[0]) is Termination.LOST_CARRIER
        # Nothing is sent to a peer that is gone.
        assert server.owner.kinds[-1] == Kind.ECHO_REQUEST


class TestServer:
    @pytest.mark.parametrize(
        ("attributes", "expected"),
        [
            ((), [(2, Status.REQUIRED_ATTRIBUTE_MISSING)]),
            ([Attribute(1, b"\0\2")], [(1, Status.VALUE_NOT_SUPPORTED)]),
            ([Attribute(1, b"\1")], [(1, Status.INVALID_ATTRIBUTE_VALUE_LENGTH)]),
            ([Attribute(1, b"\0\1")] * 2, [(1, Status.DUPLICATE_ATTRIBUTE)]),
            (
                [Attribute(1, b"\0\1"), Attribute(9, b""), Attribute(2, b"")],
                [
                    (9, Status.UNRECOGNIZED_ATTRIBUTE),
                    (2, Status.INVALID_ATTRIBUTE_VALUE_LENGTH),
                ],
            ),
            (
                [Attribute(1, b"\0\1"), StatusInfo(1, 4).encode()],
                [(2, Status.STATUS_INFO_NOT_SUPPORTED_IN_MESSAGE)],
            ),
        ],
    )
    def test_whatItDoesNotAccept(self, attributes: Any, expected: list[tuple[int, int]]) -> None:
        driven = Driven()
        request = Message(Kind.CALL_CONNECT_REQUEST, tuple(attributes))
        driven.receive(request)
        nak = driven.owner.sent[-1]
        assert nak.kind == Kind.CALL_CONNECT_NAK
        infos = [wire.decodeStatusInfo(value) for _, value in nak.attributes]
        assert [(one.attribute, one.status) for one in infos] == expected
        driven.receive(*[request] * (NAKS - 1))
        assert driven.owner.kinds == [Kind.CALL_CONNECT_NAK] * NAKS
        driven.receive(request)
        assert driven.owner.kinds[-1] == Kind.CALL_ABORT
        assert driven.owner.status() == (2, Status.RETRY_COUNT_EXCEEDED)
        assert driven.owner.told == ["ending"]

    def test_aRequestIsAcceptedAfterANak(self) -> None:
        driven = Driven()
        driven.receive(Message(Kind.CALL_CONNECT_REQUEST), REQUEST)
        assert driven.owner.kinds == [Kind.CALL_CONNECT_NAK, Kind.CALL_CONNECT_ACK]
        assert driven.owner.told == ["link up"]

    def test_aNakAboutManyAttributesFitsIntoAPacket(self) -> None:
        driven = Driven()
        driven.receive(Message(Kind.CALL_CONNECT_REQUEST, (Attribute(9, b""),) * 1000))
        assert len(driven.owner.packets[0]) < wire.LONGEST
        assert wire.decodeMessage(driven.owner.packets[0]).kind == Kind.CALL_CONNECT_NAK

    @pytest.mark.parametrize("hash", binding.Hash)
    def test_aBindingThatComesBeforeItsKeyWaits(self, hash: binding.Hash) -> None:
        driven = Driven()
        connected = binding.callConnected(hash, NONCE, CERTIFICATE, KEY)
        driven.receive(REQUEST, connected)
        driven.clock.advance(30)
        assert driven.owner.told == ["link up"]
        driven.machine.authenticated([KEY])
        assert driven.owner.told == ["link up", "established"]

    @pytest.mark.parametrize("key", [KEY, OTHER])
    def test_aBindingByAnyOfTheKeys(self, key: bytes) -> None:
        driven = Driven()
        driven.receive(REQUEST)
        driven.machine.authenticated([KEY, OTHER])
        driven.receive(binding.callConnected(binding.Hash.SHA256, NONCE, CERTIFICATE, key))
        assert driven.owner.told == ["link up", "established"]

    def test_aSecondOneWhileTheFirstWaits(self) -> None:
        driven = Driven()
        connected = binding.callConnected(binding.Hash.SHA256, NONCE, CERTIFICATE, KEY)
        driven.receive(REQUEST, connected, connected)
        assert driven.owner.kinds[-1] == Kind.CALL_ABORT
        driven.machine.authenticated([KEY])
        assert driven.owner.told == ["link up", "ending"]

    @pytest.mark.parametrize(
        ("nonce", "certificate", "key", "reason"),
        [
            (bytes(32), CERTIFICATE, KEY, "nonce"),
            (NONCE, b"another", KEY, "certificate"),
            (NONCE, CERTIFICATE, binding.NO_KEY, "MAC"),
        ],
    )
    def test_aWrongBinding(self, nonce: bytes, certificate: bytes, key: bytes, reason: str) -> None:
        driven = Driven()
        driven.receive(REQUEST)
        driven.machine.authenticated([KEY])
        driven.receive(binding.callConnected(binding.Hash.SHA256, nonce, certificate, key))
        assert driven.owner.kinds[-1] == Kind.CALL_ABORT
        assert driven.owner.status() == (3, Status.VALUE_NOT_SUPPORTED)
        assert reason in driven.owner.told[1] and driven.owner.told[2:] == ["ending"]
        assert "binding" in driven.owner.causes[0]

    @pytest.mark.parametrize(
        "attributes",
        [(), [Attribute(3, bytes(99))], [Attribute(3, bytes(100)), StatusInfo(0, 1).encode()]],
    )
    def test_noBinding(self, attributes: Any) -> None:
        driven = Driven()
        driven.receive(REQUEST)
        driven.machine.authenticated([KEY])
        driven.receive(Message(Kind.CALL_CONNECTED, tuple(attributes)))
        assert driven.owner.status() == (2, Status.ATTRIBUTE_NOT_SUPPORTED_IN_MESSAGE)
        assert driven.owner.told == ["link up", "ending"]

    @pytest.mark.parametrize("requested", [False, True])
    def test_whoSaysNothing(self, requested: bool) -> None:
        driven = Driven()
        driven.receive(*[REQUEST] * requested)
        driven.clock.advance(machine.NEGOTIATION_SECONDS)
        assert driven.owner.kinds[-1] == Kind.CALL_ABORT
        assert driven.owner.status() == (2, Status.NEGOTIATION_TIMEOUT)
        assert driven.owner.told[requested:] == ["ending"]
        driven.clock.advance(machine.ABORT_SECONDS)
        assert driven.owner.told[-1] == "ended"
        assert not driven.clock.getDelayedCalls()

    @pytest.mark.parametrize("kind", [*set(Kind) - {1, 5, 6}, 0, 10, 0xFFFF])
    def test_whatHasNoPlaceInAState(self, kind: int) -> None:
        driven = Driven()
        driven.receive(Message(kind))
        assert driven.owner.kinds == [Kind.CALL_ABORT]
        assert driven.owner.status() == (2, Status.UNACCEPTED_FRAME_RECEIVED)

    def test_malformedMessages(self) -> None:
        driven = Driven().connect()
        driven.receive(b"\x10\x01\x00\x09\x00\x08\x00\x00\x00")
        assert driven.owner.status() == (2, Status.INVALID_FRAME_RECEIVED)
        # Nothing follows to what comes while the call ends.
        sent = list(driven.owner.packets)
        driven.receive(b"\x10\x01\x00\x09\x00\x08\x00\x00\x00", REQUEST, Message(Kind.ECHO_REQUEST))
        driven.receive(Message(Kind.CALL_DISCONNECT))
        assert driven.owner.packets == sent


class TestEnds:
    def test_anAbortIsAnswered(self) -> None:
        driven = Driven().connect()
        status = StatusInfo(Identifier.STATUS_INFO, Status.RETRY_COUNT_EXCEEDED)
        abort = Message(Kind.CALL_ABORT, (status.encode(),))
        driven.receive(abort, abort)
        assert driven.owner.kinds[1:] == [Kind.CALL_ABORT]
        assert "RETRY_COUNT_EXCEEDED" in driven.owner.causes[0]
        driven.clock.advance(machine.ABORTED_SECONDS)
        assert driven.owner.told[2:] == ["ending", "ended"]

    def test_ourAbortEndsASecondAfterTheAnswer(self) -> None:
        driven = Driven()
        driven.receive(Message(Kind.ECHO_REQUEST), Message(Kind.CALL_ABORT))
        assert driven.owner.kinds == [Kind.CALL_ABORT]
        driven.clock.advance(machine.ABORTED_SECONDS - 0.1)
        assert driven.owner.told == ["ending"]
        driven.clock.advance(0.1)
        assert driven.owner.told == ["ending", "ended"]

    def test_withoutAnAnswerToADisconnect(self) -> None:
        driven = Driven().connect()
        driven.machine.disconnect(Cause("enough"))
        driven.machine.disconnect(Cause("twice"))
        driven.receive(Message(Kind.ECHO_REQUEST))
        assert driven.owner.kinds[1:] == [Kind.CALL_DISCONNECT]
        assert driven.owner.status() == (0, 0)
        driven.clock.advance(machine.DISCONNECT_SECONDS)
        assert driven.owner.told[2:] == ["ending", "ended"]
        assert driven.owner.causes == ["enough"]

    def test_bothDisconnectAtOnce(self) -> None:
        driven = Driven().connect()
        driven.machine.disconnect(Cause("enough"))
        driven.receive(Message(Kind.CALL_DISCONNECT))
        assert driven.owner.kinds[1:] == [Kind.CALL_DISCONNECT, Kind.CALL_DISCONNECT_ACK]
        driven.clock.advance(machine.DISCONNECTED_SECONDS)
        assert driven.owner.told[2:] == ["ending", "ended"]

    def test_anAbortWhileADisconnectWaits(self) -> None:
        driven = Driven().connect()
        driven.machine.disconnect(Cause("enough"))
        driven.receive(Message(Kind.CALL_ABORT))
        assert driven.owner.kinds[-1] == Kind.CALL_ABORT
        assert driven.machine.state is State.ABORT_TIMEOUT_PENDING

    def test_aLostConnection(self) -> None:
        driven = Driven().connect()
        driven.machine.lost(Cause("lost"))
        driven.machine.lost(Cause("lost"))
        assert driven.owner.told[2:] == ["ending"]
        assert not driven.clock.getDelayedCalls()
        driven.receive(REQUEST)
        assert driven.owner.kinds == [Kind.CALL_CONNECT_ACK]


class TestClient:
    def test_aNakIsAnsweredByAnotherRequest(self) -> None:
        driven = Driven(ClientMachine)
        driven.receive(*[Message(Kind.CALL_CONNECT_NAK)] * RETRIES)
        assert driven.owner.kinds == [Kind.CALL_CONNECT_REQUEST] * (1 + RETRIES)
        driven.receive(Message(Kind.CALL_CONNECT_NAK))
        assert driven.owner.status() == (2, Status.RETRY_COUNT_EXCEEDED)

    @pytest.mark.parametrize(
        "attributes",
        [(), [Attribute(4, bytes(35))], [wire.CryptoBindingRequest(4, NONCE).encode()]],
    )
    def test_aServerThatAsksForNoKnownBinding(self, attributes: Any) -> None:
        driven = Driven(ClientMachine)
        driven.receive(Message(Kind.CALL_CONNECT_ACK, tuple(attributes)))
        assert driven.owner.kinds[-1] == Kind.CALL_ABORT
        assert driven.owner.told == ["ending"]

    def test_itUsesTheStrongestHash(self) -> None:
        for mask, hash in ((1, 1), (2, 2), (3, 2)):
            driven = Driven(ClientMachine)
            request = wire.CryptoBindingRequest(mask, NONCE).encode()
            driven.receive(Message(Kind.CALL_CONNECT_ACK, (request,)))
            driven.machine.authenticated([KEY])
            packet = driven.owner.packets[-2]
            found = wire.decodeCryptoBinding(wire.decodeMessage(packet).attributes[0].value)
            assert found.hash == hash
            assert not binding.fault(packet, found, NONCE, CERTIFICATE, [KEY])

    def test_itAsksWhetherTheBindingHolds(self) -> None:
        confirmed: list[None] = []
        clock, owner = Clock(), Owner()
        machine = ClientMachine(clock, owner, CERTIFICATE, lambda: confirmed.append(None))
        machine.start()
        request = wire.CryptoBindingRequest(3, NONCE).encode()
        machine.received(Message(Kind.CALL_CONNECT_ACK, (request,)).encode())
        machine.authenticated([KEY])
        assert owner.kinds[-2:] == [Kind.CALL_CONNECTED, Kind.ECHO_REQUEST]
        assert not confirmed
        for _ in range(2):
            machine.received(Message(Kind.ECHO_RESPONSE).encode())
        assert len(confirmed) == 1


class AnyOrder(RuleBasedStateMachine):
    """
    A machine of either end, with anything in any order. It never raises, tells its owner that the
    call ends once, lets packets pass only after a binding that holds, and has no timer at the end.
    """

    @initialize(make=st.sampled_from([ServerMachine, ClientMachine]))
    def begin(self, make: Callable[..., Machine]) -> None:
        self.driven = Driven(make)

    @rule(kind=st.integers(0, 10), values=st.lists(st.tuples(st.integers(0, 5), st.binary())))
    def message(self, kind: int, values: list[tuple[int, bytes]]) -> None:
        self.driven.receive(Message(kind, tuple(Attribute(*one) for one in values)))

    @rule(octets=st.binary(max_size=40))
    def octets(self, octets: bytes) -> None:
        self.driven.receive(octets)

    @rule(
        message=st.sampled_from(
            [
                REQUEST,
                Message(Kind.CALL_CONNECT_ACK, (wire.CryptoBindingRequest(3, NONCE).encode(),)),
                binding.callConnected(binding.Hash.SHA1, NONCE, CERTIFICATE, KEY),
                binding.callConnected(binding.Hash.SHA256, NONCE, CERTIFICATE, bytes(32)),
                Message(Kind.ECHO_REQUEST),
                Message(Kind.CALL_ABORT),
                Message(Kind.CALL_DISCONNECT),
                Message(Kind.CALL_DISCONNECT_ACK),
            ]
        )
    )
    def likely(self, message: Message | bytes) -> None:
        self.driven.receive(message)

    @rule(keys=st.sampled_from([[KEY], []]))
    def authenticated(self, keys: Sequence[bytes]) -> None:
        self.driven.machine.authenticated(keys)

    @rule()
    def disconnect(self) -> None:
        self.driven.machine.disconnect(Cause("enough"))

    @rule(seconds=st.sampled_from([0.5, 1, 3, 30, 60, 200]))
    def wait(self, seconds: float) -> None:
        self.driven.clock.advance(seconds)

    @invariant()
    def consistent(self) -> None:
        told = self.driven.owner.told
        for event in ("link up", "established", "ending", "ended"):
            assert told.count(event) <= 1
        if "ended" in told:
            assert "ending" in told
            assert not self.driven.clock.getDelayedCalls()
        else:
            assert len(self.driven.clock.getDelayedCalls()) == 1
        if "established" in told:
            assert told.index("link up") < told.index("established")
        if "ending" in told and "established" in told:
            assert told.index("established") < told.index("ending")

    def teardown(self) -> None:
        if hasattr(self, "driven"):
            self.driven.machine.lost(Cause("lost"))
            assert not self.driven.clock.getDelayedCalls()
            assert self.driven.owner.told.count("ending") == 1


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=120), max_size=20))
def test_noPacketLetsTrafficPassWithoutABinding(packets: list[bytes]) -> None:
    driven = Driven()
    driven.receive(REQUEST, *packets)
    driven.machine.authenticated([KEY])
    assert "established" not in driven.owner.told
