from __future__ import annotations

import hmac
from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrad import packet as pyrad
from scapy.layers.radius import Radius

from pptpgw.error import Malformed
from pptpgw.radius import packet
from pptpgw.radius.packet import NotSure, RADIUSRequest, checked, decode, dictionary
from pptpgw.radius.servers import Server
from tests.radius.wire import SECRET, answer, asked

SERVER = Server("192.0.2.1", secret=SECRET.decode())
RELAXED = Server("192.0.2.1", secret=SECRET.decode(), requireMessageAuthenticator=False)


def request(code: int = packet.ACCESS_REQUEST, server: Server = SERVER) -> RADIUSRequest:
    made = RADIUSRequest(code, server, SECRET)
    if code != packet.STATUS_SERVER:
        made.add("User-Name", "vera")
    return made


class TestDictionary:
    """
    Tests that attributes have the numbers of the RFCs.
    """

    @pytest.mark.parametrize(
        ("name", "number"),
        [
            ("User-Password", 2),
            ("CHAP-Challenge", 60),
            ("Acct-Input-Gigawords", 52),
            ("Event-Timestamp", 55),
            ("Tunnel-Type", 64),
            ("EAP-Message", 79),
            ("Message-Authenticator", 80),
            ("Acct-Interim-Interval", 85),
            ("Framed-Interface-Id", 96),
            ("Framed-IPv6-Prefix", 97),
            ("Error-Cause", 101),
            ("Delegated-IPv6-Prefix", 123),
            ("MS-CHAP-Response", (311, 1)),
            ("MS-CHAP-Error", (311, 2)),
            ("MS-MPPE-Encryption-Policy", (311, 7)),
            ("MS-MPPE-Encryption-Types", (311, 8)),
            ("MS-CHAP-Challenge", (311, 11)),
            ("MS-CHAP-MPPE-Keys", (311, 12)),
            ("MS-MPPE-Send-Key", (311, 16)),
            ("MS-MPPE-Recv-Key", (311, 17)),
            ("MS-CHAP2-Response", (311, 25)),
            ("MS-CHAP2-Success", (311, 26)),
            ("MS-Primary-DNS-Server", (311, 28)),
            ("Mikrotik-Rate-Limit", (14988, 8)),
            ("WISPr-Bandwidth-Max-Up", (14122, 7)),
            ("WISPr-Bandwidth-Max-Down", (14122, 8)),
        ],
    )
    def test_number(self, name: str, number: object) -> None:
        assert dictionary().attrindex.GetForward(name) == number

    def test_nothingIsSkipped(self) -> None:
        assert not dictionary().skipped_attributes


class TestRequest:
    def test_theMessageAuthenticatorComesFirst(self) -> None:
        """
        The Message-Authenticator is the first attribute, and is right by RFC 3579 section 3.2.
        """
        octets = request().encode(7)
        assert octets[20:22] == b"\x50\x12"
        blank = octets[:22] + bytes(16) + octets[38:]
        assert octets[22:38] == hmac.digest(SECRET, blank, "md5")

    def test_accountingIsSignedByItsAuthenticator(self) -> None:
        octets = request(packet.ACCOUNTING_REQUEST).encode(7)
        blank = octets[:4] + bytes(16) + octets[20:]
        assert octets[4:20] == md5(blank + SECRET).digest()

    def test_authenticatorsAreNeverTheSame(self) -> None:
        assert request().encode(1)[4:20] != request().encode(1)[4:20]

    def test_scapyReadsIt(self) -> None:
        made = request()
        made.add("Tunnel-Type", 1)
        made.add("NAS-IP-Address", "192.0.2.9")
        made.add("MS-CHAP-Challenge", bytes(16))
        read = Radius(made.encode(9))
        assert (read.code, read.id, len(read.attributes)) == (1, 9, 5)
        assert read.attributes[1].value == b"vera"
        assert read.attributes[4].vendor_id == 311

    @pytest.mark.parametrize(
        "password", [b"", b"sesame", b"0x4142", "schlüssel".encode(), b"x" * 128]
    )
    def test_password(self, password: bytes) -> None:
        made = request()
        made.addPassword(password)
        read = asked(made.encode(0))
        assert read.PwDecrypt(read.get(2)[0]).encode() == password

    def test_noPasswordIsLongerThan128Octets(self) -> None:
        with pytest.raises(ValueError):
            request().addPassword(bytes(129))

    def test_octetsStayAsTheyAre(self) -> None:
        """
        Octets that look like hexadecimal digits are sent unchanged.
        """
        made = request()
        made.add("CHAP-Challenge", b"0x4142434445464748")
        assert asked(made.encode(0)).get(60) == [b"0x4142434445464748"]

    def test_longOnesAreParted(self) -> None:
        made = request()
        made.addLong("EAP-Message", bytes(600))
        assert [len(one) for one in asked(made.encode(0)).get(79)] == [253, 253, 94]

    def test_whatDoesntFitIsNotSent(self) -> None:
        with pytest.raises(ValueError, match="253"):
            request().add("User-Name", bytes(254))
        made = request()
        made.addLong("EAP-Message", bytes(4096))
        with pytest.raises(ValueError, match="4096"):
            made.encode(0)


class TestReply:
    def test_itIsRead(self) -> None:
        made = request()
        reply = made.reply(answer(made.encode(7), Framed_IP_Address="192.0.2.7", Class=b"\1\2"))
        assert reply.code == packet.ACCESS_ACCEPT
        assert list(reply.values("Framed-IP-Address")) == ["192.0.2.7"]
        assert reply.octets("Class") == [b"\1\2"]
        assert reply.octets("Filter-Id") == []
        assert reply.server is SERVER

    def test_paddingIsIgnored(self) -> None:
        made = request()
        assert made.reply(answer(made.encode(7)) + bytes(9)).code == packet.ACCESS_ACCEPT

    def test_withoutMessageAuthenticatorItIsNotSure(self) -> None:
        """
        A reply without a Message-Authenticator isn't trusted, as its Response Authenticator can be
        made without the secret (CVE-2024-3596).
        """
        made = request()
        octets = answer(made.encode(7), message_authenticator=False)
        with pytest.raises(NotSure, match="no Message-Authenticator"):
            made.reply(octets)

    def test_unlessTheServerIsLetOff(self) -> None:
        made = request(server=RELAXED)
        octets = answer(made.encode(7), message_authenticator=False)
        assert made.reply(octets).code == packet.ACCESS_ACCEPT

    def test_aWrongMessageAuthenticatorIsNeverSure(self) -> None:
        made = request(server=RELAXED)
        octets = bytearray(answer(made.encode(7)))
        octets[25] ^= 1
        request_ = made.encode(7)
        octets[4:20] = md5(octets[:4] + request_[4:20] + octets[20:] + SECRET).digest()
        with pytest.raises(NotSure):
            made.reply(bytes(octets))

    @pytest.mark.parametrize("place", [0, 5, 19, 22, 40])
    def test_aChangedOctetIsNoticed(self, place: int) -> None:
        made = request()
        octets = bytearray(answer(made.encode(7), Class=b"abc"))
        octets[place] ^= 1
        with pytest.raises(Malformed):
            made.reply(bytes(octets))

    def test_anotherSecretIsNoticed(self) -> None:
        made = request()
        reply = pyrad.AuthPacket(
            pyrad.AccessAccept, 7, b"another", made.encode(7)[4:20], dict=dictionary()
        )
        reply.message_authenticator = True
        with pytest.raises(NotSure, match="wrong"):
            made.reply(reply.ReplyPacket())

    def test_aProxyStateThatWeNeverSentIsNoticed(self) -> None:
        """
        A reply with a Proxy-State that we never sent isn't trusted, as forged replies hide their
        collision in one.
        """
        made = request(server=RELAXED)
        with pytest.raises(NotSure):
            made.reply(answer(made.encode(7), Proxy_State=b"garbage"))

    @pytest.mark.parametrize(
        ("code", "reply"),
        [
            (packet.ACCESS_REQUEST, packet.ACCOUNTING_RESPONSE),
            (packet.ACCOUNTING_REQUEST, packet.ACCESS_ACCEPT),
            (packet.STATUS_SERVER, packet.ACCESS_REJECT),
        ],
    )
    def test_itMustAnswerWhatWasAsked(self, code: int, reply: int) -> None:
        made = request(code)
        with pytest.raises(Malformed, match="answers nothing"):
            made.reply(answer(made.encode(7), reply))

    def test_accountingNeedsNoMessageAuthenticator(self) -> None:
        made = request(packet.ACCOUNTING_REQUEST)
        octets = answer(made.encode(7), packet.ACCOUNTING_RESPONSE)
        assert made.reply(octets).code == packet.ACCOUNTING_RESPONSE

    @given(st.binary(max_size=80))
    def test_nothingButMalformedIsRaised(self, octets: bytes) -> None:
        made = request()
        made.encode(7)
        with pytest.raises(Malformed):
            made.reply(octets)

    @given(st.data())
    def test_everyTruncationIsMalformed(self, data: st.DataObject) -> None:
        made = request()
        octets = answer(made.encode(7), Class=b"abcdef", Framed_IP_Address="192.0.2.7")
        length = data.draw(st.integers(0, len(octets) - 1))
        with pytest.raises(Malformed):
            made.reply(octets[:length])

    @pytest.mark.parametrize(
        "attributes",
        [
            b"\x01",
            b"\x01\x00",
            b"\x01\x01",
            b"\x01\x03",
            b"\x01\x02\x18\x05ab",
            b"\x50\x03a",
            (b"\x50\x12" + bytes(16)) * 2,
        ],
    )
    def test_everyAttributeMustBeWhole(self, attributes: bytes) -> None:
        octets = b"\2\7" + (20 + len(attributes)).to_bytes(2, "big") + bytes(16) + attributes
        with pytest.raises(Malformed):
            checked(octets)

    def test_aPacketIsNoLongerThanItMayBe(self) -> None:
        with pytest.raises(Malformed, match="length"):
            checked(b"\2\7\x10\x01" + bytes(5000))

    @pytest.mark.parametrize(
        ("name", "octets"),
        [
            ("Framed-IP-Address", b"\1\2\3"),
            ("Session-Timeout", b"\1\2\3\4\5"),
            ("Framed-IPv6-Prefix", b"\0"),
            ("Framed-IPv6-Prefix", b"\0\x81" + bytes(16)),
            ("Framed-Interface-Id", b"\1"),
        ],
    )
    def test_aValueOfAnotherTypeIsMalformed(self, name: str, octets: bytes) -> None:
        with pytest.raises(Malformed, match=name):
            decode(name, octets)


def test_noSecretIsShown() -> None:
    made = request()
    shown = f"{made!r} {made.reply(answer(made.encode(7)))!r} {SERVER!r}"
    assert SECRET.decode() not in shown
