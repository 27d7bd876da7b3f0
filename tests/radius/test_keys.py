from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest

from pptpgw.error import Malformed
from pptpgw.ppp import mppe, mschap
from pptpgw.radius.keys import mschapKeys, startKeys
from pptpgw.radius.packet import ACCESS_REQUEST, RADIUSRequest, Reply
from pptpgw.radius.servers import Server
from tests.radius.wire import SECRET, answer, asked

SERVER = Server("192.0.2.1", secret=SECRET.decode())
SEND, RECEIVE = bytes(range(16)), bytes(range(100, 116))


def replied(**attributes: Any) -> Reply:
    made = RADIUSRequest(ACCESS_REQUEST, SERVER, SECRET)
    return made.reply(answer(made.encode(1), **attributes))


def hidden(clear: bytes, vector: bytes) -> bytes:
    """
    RFC 2865 section 5.2's hiding of whole blocks.
    """
    result = b""
    while clear:
        mask = md5(SECRET + vector).digest()
        vector = bytes(a ^ b for a, b in zip(clear[:16], mask, strict=True))
        result += vector
        clear = clear[16:]
    return result


class TestStartKeys:
    def test_ofMSCHAPv2(self) -> None:
        """
        A key of 16 octets with its length takes two chained blocks.
        """
        keys = startKeys(replied(MS_MPPE_Send_Key=SEND, MS_MPPE_Recv_Key=RECEIVE))
        assert keys is not None
        assert keys.send(128, False).startKey == SEND
        assert keys.receive(128, False).startKey == RECEIVE
        assert keys.send(40, False).startKey == SEND[:8]
        assert keys.bindings == (RECEIVE + SEND,)

    @pytest.mark.parametrize("octets", [16, 31, 32, 47, 64])
    def test_ofEAP(self, octets: int) -> None:
        """
        MPPE takes the first 16 octets of longer keys.
        """
        keys = startKeys(
            replied(
                MS_MPPE_Send_Key=(SEND + bytes(48))[:octets],
                MS_MPPE_Recv_Key=(RECEIVE + b"\xff" * 48)[:octets],
            )
        )
        assert keys is not None
        assert keys.send(128, True).startKey == SEND
        assert keys.receive(128, True).startKey == RECEIVE
        assert keys.bindings[0][:octets] == (RECEIVE + b"\xff" * 48)[:octets][:32]
        # What pppd 2.4.9 binds by; with keys of 16 octets that is the same.
        assert keys.bindings[-1] == RECEIVE + SEND
        assert [len(one) for one in keys.bindings] == [32] * (1 + (octets > 16))

    @pytest.mark.parametrize("blocks", [1, 2, 3, 5])
    def test_everyBlockIsRevealed(self, blocks: int) -> None:
        """
        Keys of any number of blocks are revealed. They are hidden here by other code than elsewhere
        in the tests.
        """
        made = RADIUSRequest(ACCESS_REQUEST, SERVER, SECRET)
        octets = made.encode(1)
        key = bytes(range(16 * blocks - 1))
        salt = b"\x80\x01"
        reply = asked(octets).CreateReply()
        reply[(311, 16)] = [salt + hidden(bytes((len(key),)) + key, octets[4:20] + salt)]
        assert made.reply(reply.ReplyPacket()).revealed("MS-MPPE-Send-Key") == [key]

    def test_noneIsNone(self) -> None:
        assert startKeys(replied()) is None

    @pytest.mark.parametrize(
        "attributes",
        [
            {"MS_MPPE_Send_Key": SEND},
            {"MS_MPPE_Recv_Key": RECEIVE},
            {"MS_MPPE_Send_Key": SEND[:15], "MS_MPPE_Recv_Key": RECEIVE},
            {"MS_MPPE_Send_Key": [SEND, SEND], "MS_MPPE_Recv_Key": RECEIVE},
            {"MS_MPPE_Send_Key": b"", "MS_MPPE_Recv_Key": b""},
        ],
    )
    def test_whatIsntAPairIsMalformed(self, attributes: dict[str, Any]) -> None:
        with pytest.raises(Malformed):
            startKeys(replied(**attributes))

    @pytest.mark.parametrize("octets", [b"", b"\x80\1", b"\x80\1" + bytes(15), bytes(17)])
    def test_whatIsntHiddenIsMalformed(self, octets: bytes) -> None:
        made = RADIUSRequest(ACCESS_REQUEST, SERVER, SECRET)
        reply = asked(made.encode(1)).CreateReply()
        reply[(311, 16)] = [octets]
        with pytest.raises(Malformed):
            startKeys(made.reply(reply.ReplyPacket()))

    def test_aLengthBeyondTheBlocksIsMalformed(self) -> None:
        """
        A length beyond the blocks, which a wrong secret yields, is malformed.
        """
        made = RADIUSRequest(ACCESS_REQUEST, SERVER, SECRET)
        octets = made.encode(1)
        reply = asked(octets).CreateReply()
        reply[(311, 16)] = [b"\x80\1" + hidden(b"\x20" + bytes(31), octets[4:20] + b"\x80\1")]
        with pytest.raises(Malformed, match="secret"):
            startKeys(made.reply(reply.ReplyPacket()))


class TestMSCHAPKeys:
    CHALLENGE = bytes(range(8))
    HASH = mschap.ntPasswordHash(b"sesame")
    LM = mschap.lmPasswordHash(b"sesame")

    def replied(self, clear: bytes) -> Reply:
        made = RADIUSRequest(ACCESS_REQUEST, SERVER, SECRET)
        octets = made.encode(1)
        reply = asked(octets).CreateReply()
        reply[(311, 12)] = [hidden(clear, octets[4:20])]
        return made.reply(reply.ReplyPacket())

    @pytest.mark.parametrize("known", [True, False])
    def test_theyAreThoseThatThePeerHas(self, known: bool) -> None:
        """
        The keys are those of the peer. Those of 40 and 56 bits exist only where the server knows
        the LAN Manager hash.
        """
        hashHash = mschap.hashNtPasswordHash(self.HASH)
        short = self.LM[:8] if known else bytes(8)
        keys = mschapKeys(self.replied(short + hashHash + bytes(8)), self.CHALLENGE)
        expected = mppe.mschapKeys(self.LM if known else None, hashHash, self.CHALLENGE)
        assert keys is not None
        assert keys.bits == expected.bits
        for bits in expected.bits:
            assert keys.send(bits, False) == expected.send(bits, False)
            assert keys.receive(bits, False) == expected.receive(bits, False)

    def test_noneIsNone(self) -> None:
        assert mschapKeys(replied(), self.CHALLENGE) is None

    @pytest.mark.parametrize("size", [16, 48])
    def test_anotherSizeIsMalformed(self, size: int) -> None:
        with pytest.raises(Malformed):
            mschapKeys(self.replied(bytes(size)), self.CHALLENGE)
