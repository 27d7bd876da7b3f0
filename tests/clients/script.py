"""
Clients as scripts: what each says and must hear, octet by octet, on its control connection and in
its GRE tunnel. The gateway is complete but for its descriptors, which are in memory.

Octets are written as hexadecimal digits with spaces anywhere. What must be heard is a regular
expression over the digits: C{.} is any digit, and a group is what the script needs to know.
Everything arrives at once, unless the script lets time pass. So a reply that is heard came without
waiting for a timer, and each script fixes the order of all that the gateway sends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import Struct

from pptpgw.datapath.mppe import PythonDecryptor, PythonEncryptor
from pptpgw.interfaces import IKeys
from pptpgw.ppp import mppe, mschap
from pptpgw.tunnels.pptp.call import HEAD_START
from pptpgw.tunnels.pptp.wire.gre import decode
from tests.clients.world import BEHIND, World, packet

CLIENT = "192.0.2.7"

# Control message types (RFC 2637 section 1.4).
SCCRQ, SCCRP, STOP_CCRQ, STOP_CCRP, ECHO_RQ, ECHO_RP = range(1, 7)
OCRQ, OCRP, CCR, CDN, SLI = 7, 8, 12, 13, 15

# PPP protocol numbers, with some that the gateway doesn't know.
LCP, PAP, CHAP = 0xC021, 0xC023, 0xC223
CCP, IPCP, IPV6CP, BCP, ACSPCP = 0x80FD, 0x8021, 0x8057, 0x8031, 0x8235
MPPE, IP = 0x00FD, 0x0021

# Codes of control protocols (RFC 1661 section 5, RFC 1570, RFC 1962) and of CHAP (RFC 1994).
REQUEST, ACK, NAK, REJECT, TERMINATE, TERMINATED, CODE_REJECT, PROTOCOL_REJECT = range(1, 9)
ECHO, ECHOED, IDENTIFICATION, RESET, RESET_ACK = 9, 10, 12, 14, 15
CHALLENGE, RESPONSE, SUCCESS, FAILURE = range(1, 5)

_CONTROL = Struct("!HHIHH")
_GRE = Struct("!HHHHI")
_PPP = Struct("!BBH")


def text(words: str, size: int = 0) -> str:
    """
    The digits of C{words}, filled with zeros up to C{size} octets.
    """
    return words.encode("ascii").ljust(size, b"\0").hex()


OURSELVES = text("pptpgw", 64) + text("pptpgw", 64)
"""
The host name and the vendor of the gateway.
"""


@dataclass(frozen=True, slots=True)
class Heard:
    """
    A message or packet that was expected.

    @ivar identifier: the identifier of a packet.
    @ivar octets: its body.
    @ivar groups: the values of the expression's groups.
    """

    identifier: int
    octets: bytes
    groups: tuple[bytes, ...]


def match(what: str, octets: bytes, expression: str, identifier: int = 0) -> Heard:
    """
    Return C{octets} as L{Heard} if they match the expression.
    """
    found = re.fullmatch("".join(expression.split()), octets.hex())
    assert found is not None, f"{what}: {octets.hex()} instead of {expression}"
    return Heard(identifier, octets, tuple(map(bytes.fromhex, found.groups())))


def octetsOf(digits: str | bytes) -> bytes:
    """
    The octets of a script's digits.
    """
    return digits if isinstance(digits, bytes) else bytes.fromhex(digits)


class ScriptedConnection:
    """
    The client's end of a control connection: octets of TCP, in both directions.

    @ivar closed: whether the gateway has closed it.
    """

    def __init__(self, world: World, address: str = CLIENT) -> None:
        self.world = world
        self.address = address
        self.closed = False
        self._unread = b""
        self._gateway = world.accept(self, address)

    # Methods of tunnels.pptp.owner.ControlTransport.

    def write(self, octets: bytes, /) -> None:
        self._unread += octets

    def loseConnection(self) -> None:
        self.closed = True

    abortConnection = loseConnection

    # Methods for scripts.

    def say(self, kind: int, *bodies: str) -> None:
        """
        Send messages of one type in one segment, with these octets after their headers.
        """
        messages = [bytes.fromhex(body) for body in bodies]
        self._gateway.dataReceived(
            b"".join(
                _CONTROL.pack(12 + len(message), 1, 0x1A2B3C4D, kind, 0) + message
                for message in messages
            )
        )

    def hear(self, kind: int, expression: str) -> Heard:
        """
        Assert that the next message is this one, and return it.
        """
        assert len(self._unread) >= 12, f"nothing came, expected was message {kind}"
        length, one, cookie, number, reserved = _CONTROL.unpack_from(self._unread)
        message, self._unread = self._unread[12:length], self._unread[length:]
        assert (one, cookie, number, reserved) == (1, 0x1A2B3C4D, kind, 0), message.hex()
        return match(f"control message {kind}", message, expression)

    def assertSilent(self) -> None:
        """
        Assert that nothing more has arrived.
        """
        assert self._unread == b"", self._unread.hex()

    def close(self) -> None:
        """
        End the TCP connection.
        """
        self.assertSilent()
        self._gateway.connectionLost("the connection was closed")

    def dial(self, callID: int, request: str, speed: str, first: int = 0) -> ScriptedTunnel:
        """
        Place a call.

        @param request: the octets of the Outgoing-Call-Request from after its call id up to the
            phone number.
        @param speed: the connect speed of the Outgoing-Call-Reply.
        @param first: the client's first GRE sequence number.
        """
        tunnel = ScriptedTunnel(self.world, self.address, callID, first)
        self.say(OCRQ, f"{callID:04x} {request}" + "00" * 128)
        # Call ids, connected, window 64, no delay, no channel.
        heard = self.hear(OCRP, f"(....) {callID:04x} 01 00 0000 {speed} 0040 0000 00000000")
        tunnel.gatewayCallID = int.from_bytes(heard.groups[0], "big")
        assert tunnel.gatewayCallID
        # The gateway begins with LCP now that the reply has been sent.
        self.world.clock.advance(HEAD_START)
        return tunnel

    def hearDisconnect(self, tunnel: ScriptedTunnel, result: int) -> None:
        """
        Assert that a Call-Disconnect-Notify is next, with the id that the gateway, as PAC,
        assigned, the cause 16 and no statistics.
        """
        self.hear(CDN, f"{tunnel.gatewayCallID:04x} {result:02x} 00 0010 0000" + "00" * 128)

    def stop(self, reason: int = 1) -> None:
        """
        Stop the control connection, and end TCP.
        """
        self.say(STOP_CCRQ, f"{reason:02x} 000000")
        self.hear(STOP_CCRP, "01 00 0000")
        assert self.closed
        self.close()


class ScriptedTunnel:
    """
    The client's end of one call: PPP frames in GRE packets, in both directions.

    @ivar gatewayCallID: the call id in packets to the gateway.
    @ivar deaf: whether packets from the gateway are lost.
    @ivar acknowledges: whether each packet acknowledges what has been received.
    @ivar acknowledged: the last acknowledgement number that the gateway sent, or -1.
    @ivar compresses: whether address, control and protocol fields are compressed where they may be.
    """

    def __init__(self, world: World, address: str, callID: int, first: int) -> None:
        self.world = world
        self.address = address
        self.gatewayCallID = 0
        self.deaf = False
        self.acknowledges = False
        self.acknowledged = -1
        self.compresses = False
        self._sequence = first
        self._received = -1
        self._frames: list[tuple[int, bytes]] = []
        self._encryptor: PythonEncryptor | None = None
        self._decryptor: PythonDecryptor | None = None
        world.wire.tunnels[address, callID] = self.arrived

    def arrived(self, octets: bytes) -> None:
        """
        Take a GRE packet from the gateway. Its sequence numbers must begin at 0 and have no gaps.
        """
        _, payload, sequence, acknowledgement = decode(octets)
        if acknowledgement is not None:
            self.acknowledged = acknowledgement
        if sequence is None:
            return
        assert sequence == self._received + 1
        self._received = sequence
        if self.deaf:
            return
        if payload.startswith(b"\xff\x03"):
            payload = payload[2:]
        size = 1 if payload[0] & 1 else 2
        self._frames.append((int.from_bytes(payload[:size], "big"), payload[size:]))

    # Control packets.

    @property
    def waiting(self) -> int:
        """
        How many frames have arrived and haven't been heard yet.
        """
        return len(self._frames)

    def say(self, protocol: int, code: int, identifier: int, data: str | bytes = "") -> None:
        """
        Send a packet.
        """
        body = octetsOf(data)
        self._say(protocol, _PPP.pack(code, identifier, 4 + len(body)) + body)

    def hear(self, protocol: int, code: int, identifier: int | None, expression: str = "") -> Heard:
        """
        Assert that the next frame is this one.

        @param identifier: its identifier, or C{None} for any.
        """
        what = f"protocol {protocol:04x}, code {code}"
        assert self._frames, f"nothing came, expected was {what}"
        came, information = self._frames.pop(0)
        assert came == protocol, f"protocol {came:04x}: {information.hex()} instead of {what}"
        cameCode, number, length = _PPP.unpack_from(information)
        assert (cameCode, length) == (code, len(information)), f"{information.hex()}, not {what}"
        assert identifier is None or number == identifier, f"identifier {number}, not {identifier}"
        return match(what, information[4:], expression, number)

    def answer(self, protocol: int, code: int, heard: Heard) -> None:
        """
        Answer a request with its own octets: an Ack or a Reject.
        """
        self.say(protocol, code, heard.identifier, heard.octets)

    def hearProtocolReject(self, identifier: int, protocol: int, packet: str) -> None:
        """
        Assert that a Protocol-Reject of C{packet}, without its length field, is next.
        """
        octets = octetsOf(packet)
        length = len(octets) + 2
        rejected = octets[:2] + length.to_bytes(2, "big") + octets[2:]
        self.hear(LCP, PROTOCOL_REJECT, identifier, f"{protocol:04x} {rejected.hex()}")

    def assertSilent(self) -> None:
        """
        Assert that nothing more has arrived.
        """
        assert not self._frames, [(hex(number), what.hex()) for number, what in self._frames]

    # Authentication.

    def hearMSCHAPV2(self, name: str, password: str = "open sesame") -> IKeys:
        """
        Answer the Challenge that must be next, and check the gateway's own proof.

        @return: the keys.
        """
        heard = self.hear(CHAP, CHALLENGE, None, "10 (.{32})" + text("gateway"))
        peerChallenge = bytes(range(16))
        passwordHash = mschap.ntPasswordHash(password.encode())
        hashHash = mschap.hashNtPasswordHash(passwordHash)
        challenge = mschap.challengeHash(peerChallenge, heard.groups[0], name.encode())
        response = mschap.challengeResponse(challenge, passwordHash)
        value = b"\x31" + peerChallenge + bytes(8) + response + b"\0"
        self.say(CHAP, RESPONSE, heard.identifier, value + name.encode())
        proof = mschap.generateAuthenticatorResponse(hashHash, response, challenge)
        self.hear(CHAP, SUCCESS, heard.identifier, proof.hex() + text(" M=") + ".+")
        return mppe.mschapV2Keys(hashHash, response, isServer=False)

    # Network packets.

    def encrypt(self, keys: IKeys, bits: int = 128) -> None:
        """
        Encrypt what is sent and decrypt what arrives from now on, with stateless MPPE.
        """
        self._encryptor = PythonEncryptor(keys.send(bits, False).startKey, bits)
        self._decryptor = PythonDecryptor(keys.receive(bits, False).startKey, bits)

    def sayPacket(self, packet: bytes, protocol: int = IP) -> None:
        """
        Send a network packet.
        """
        if self._encryptor is None:
            self._say(protocol, packet)
        else:
            self._say(MPPE, self._encryptor.encrypt(b"", bytes((protocol,)), packet))

    def hearPacket(self, protocol: int = IP) -> bytes:
        """
        Assert that a network packet is next, and return it.
        """
        came, information = self._frames.pop(0)
        if self._decryptor is None:
            assert came == protocol
            return information
        assert came == MPPE
        plain = self._decryptor.decrypt(information)
        assert isinstance(plain, bytes), f"decryption failed: {plain}"
        assert plain[:2] == protocol.to_bytes(2, "big")
        return plain[2:]

    def exchangePackets(self, address: str = "10.77.0.10", size: int = 60) -> None:
        """
        Assert that a packet passes in each direction.
        """
        up = packet(address, BEHIND, size)
        down = packet(BEHIND, address, size)
        self.sayPacket(up)
        assert self.world.tun.written == [up]
        self.world.tun.written.clear()
        self.world.tun.receive(down)
        assert self.hearPacket() == down
        self.assertSilent()

    def acknowledge(self) -> None:
        """
        Send an acknowledgement without a packet.
        """
        header = _GRE.pack(0x2081, 0x880B, 0, self.gatewayCallID, self._received)
        self.world.gre.arrived(self.address, header)

    def _say(self, protocol: int, information: bytes) -> None:
        begin, field = b"\xff\x03", protocol.to_bytes(2, "big")
        if self.compresses and protocol != LCP:
            begin, field = b"", field.lstrip(b"\0")
        frame = begin + field + information
        acknowledges = self.acknowledges and self._received >= 0
        flags = 0x3081 if acknowledges else 0x3001
        header = _GRE.pack(flags, 0x880B, len(frame), self.gatewayCallID, self._sequence)
        if acknowledges:
            header += self._received.to_bytes(4, "big")
        self._sequence += 1
        self.world.gre.arrived(self.address, header + frame)
