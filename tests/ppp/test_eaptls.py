"""
Tests for EAP-TLS: both ends joined, certificates that must be refused, and malformed fragments.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import example, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from pptpgw.auth.eap import EAPProtocol
from pptpgw.auth.eapmethod import MD5
from pptpgw.auth.eaptls import CertifiedClaim, TLSMethod, TLSPeer, makeContext
from pptpgw.error import Malformed, Refused
from pptpgw.interfaces import Claim, Grant, ICertifiedName, IKeys
from pptpgw.ppp.eaptls import (
    MESSAGE_OCTETS,
    Reassembly,
    fragments,
    startKeys,
)
from pptpgw.ppp.wire import eap
from pptpgw.ppp.wire.eap import Fragment
from tests.certificates import SERVER, Authority
from tests.ppp.test_eap import Pipe, Scene, keysMatch

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


class Pki:
    """
    An authority, the certificates of both ends, and methods and contexts made from them.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.authority = Authority(folder)
        self.server = self.authority.issue("gateway", SERVER, large=True)
        self.client = self.authority.issue("alice", large=True)
        self.folder = folder

    def method(self, server: tuple[Path, Path] | None = None) -> TLSMethod:
        certificate, key = server or self.server
        context = makeContext(
            str(certificate), str(key), str(self.authority.certificate), isServer=True
        )
        return TLSMethod(context)

    def context(
        self, client: tuple[Path, Path] | None = None, authority: Authority | None = None
    ) -> SSL.Context:
        certificate, key = client or self.client
        ca = (authority or self.authority).certificate
        return makeContext(str(certificate), str(key), str(ca), isServer=False)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def judge(claim: Claim) -> Grant:
    """
    Judge a claim like a checker that knows alice by name.
    """
    assert isinstance(claim.method, EAPProtocol)
    credentials = claim.method.credentials(claim, claim.name)
    assert ICertifiedName.providedBy(credentials)
    if claim.name != b"alice":
        raise Refused("no such user or wrong password")
    return Grant("alice", credentials.message, credentials.keys, None)


def shake(
    pki: Pki,
    context: SSL.Context | None = None,
    version: str = "1.3",
    fates: Sequence[int] = (),
    method: TLSMethod | None = None,
    name: bytes = b"anonymous",
) -> Pipe:
    """
    Run both ends to their results.

    @param context: the peer's context, which is limited to C{version} of TLS.
    """
    context = context or pki.context()
    if context.get_app_data() != version:
        context.set_max_proto_version(VERSIONS[version])
        context.set_app_data(version)
    pipe = Pipe([method or pki.method()], [TLSMethod(context)], fates=fates, judge=judge, name=name)
    return pipe.run()


class TestSuccess:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_bothEndsBelieveEachOther(self, pki: Pki, version: str) -> None:
        """
        Both ends succeed, and the user is whom the certificate names, whatever the peer's identity
        says (RFC 5216 section 5.2).
        """
        pipe = shake(pki, version=version)
        assert pipe.ours.told == ["granted alice", "authenticated"]
        assert pipe.theirs.told == ["proven"]
        assert keysMatch(pipe.ours.keys, pipe.theirs.keys)
        assert pipe.methods == [1, 13]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_everySessionHasOtherKeys(self, pki: Pki, version: str) -> None:
        """
        Every session makes a whole handshake and has other keys: nothing is resumed.
        """
        context = pki.context()
        pipes = [shake(pki, context, version) for _ in range(2)]
        first, second = (pipe.ours.keys for pipe in pipes)
        assert first is not None and second is not None
        assert first.send(128, False) != second.send(128, False)
        assert len(pipes[0].packets) == len(pipes[1].packets)

    def test_theLargestPacket(self, pki: Pki) -> None:
        """
        Messages are cut so that no packet exceeds 1020 octets, which every link takes (RFC 3748
        section 3.1). The first fragment has the length of the message.
        """
        pipe = shake(pki)
        contents = [eap.decode(packet) for packet in pipe.packets]
        cut = [
            Fragment.decode(packet.content)
            for packet in contents
            if isinstance(packet, eap.EAPRequest | eap.EAPResponse) and packet.method == eap.TLS
        ]
        assert max(map(len, pipe.packets)) == 1020
        first = [one for one in cut if one.total is not None]
        assert len(first) >= 2 and all(one.more for one in first)
        assert cut[0] == Fragment(start=True)

    def test_throughAnIntermediateAuthority(self, pki: Pki) -> None:
        below = Authority(pki.folder, "Below", pki.authority)
        context = pki.context(below.issue("alice"))
        assert shake(pki, context).ours.told[-1] == "authenticated"

    @pytest.mark.parametrize("version", VERSIONS)
    def test_theKeysAreThoseOfTheRFC(self, pki: Pki, version: str) -> None:
        """
        The keys are those of RFC 5216 section 2.3 and RFC 5705, or with TLS 1.3 those of RFC 9190
        section 2.3 and RFC 8446 section 7.5. They are derived once more from the log of TLS's
        secrets, by a second PRF and HKDF. With TLS 1.3 the keys depend on the length that is asked
        for, 128 octets.
        """
        secrets: dict[str, tuple[bytes, bytes]] = {}
        context = pki.context()
        randoms: list[bytes | None] = []

        def log(connection: SSL.Connection, line: bytes) -> None:
            label, random, secret = line.decode().split()
            secrets[label] = bytes.fromhex(random), bytes.fromhex(secret)
            randoms.append(connection.server_random())

        context.set_keylog_callback(log)
        pipe = shake(pki, context, version)
        if version == "1.2":
            clientRandom, master = secrets["CLIENT_RANDOM"]
            serverRandom = randoms[-1]
            assert serverRandom is not None
            seed = b"client EAP encryption" + clientRandom + serverRandom
            candidates = [_prf(master, seed, algorithm) for algorithm in ("sha256", "sha384")]
        else:
            _, exporter = secrets["EXPORTER_SECRET"]
            algorithm = "sha256" if len(exporter) == 32 else "sha384"
            empty, hashed = hashlib.new(algorithm), hashlib.new(algorithm, b"\x0d")
            label = b"EXPORTER_EAP_TLS_Key_Material"
            derived = _expandLabel(exporter, label, empty.digest(), len(exporter), algorithm)
            candidates = [_expandLabel(derived, b"exporter", hashed.digest(), 128, algorithm)]
        assert any(_same(pipe.ours.keys, candidate) for candidate in candidates)

    @settings(deadline=None, max_examples=20)
    @given(st.lists(st.sampled_from([0, 1, 1, 1, 2]), max_size=40), st.sampled_from([*VERSIONS]))
    def test_losses(self, pki: Pki, fates: list[int], version: str) -> None:
        """
        Both ends succeed, whichever packets are lost or come twice.
        """
        pipe = shake(pki, version=version, fates=fates)
        assert pipe.ours.told == ["granted alice", "authenticated"]
        assert pipe.theirs.told == ["proven"]
        assert keysMatch(pipe.ours.keys, pipe.theirs.keys)


def _same(keys: IKeys | None, material: bytes) -> bool:
    assert keys is not None
    expected = startKeys(material, isServer=True)
    return all(
        keys.send(bits, False) == expected.send(bits, False)
        and keys.receive(bits, False) == expected.receive(bits, False)
        for bits in (40, 56, 128)
    )


def _prf(secret: bytes, seed: bytes, algorithm: str) -> bytes:
    """
    P_hash of RFC 5246 section 5, 64 octets long.
    """
    output, a = b"", seed
    while len(output) < 64:
        a = hmac.digest(secret, a, algorithm)
        output += hmac.digest(secret, a + seed, algorithm)
    return output[:64]


def _expandLabel(secret: bytes, label: bytes, context: bytes, size: int, algorithm: str) -> bytes:
    """
    HKDF-Expand-Label of RFC 8446 section 7.1.
    """
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes((len(label),)) + label
    info += bytes((len(context),)) + context
    output = block = b""
    while len(output) < size:
        counter = bytes((len(output) // hashlib.new(algorithm).digest_size + 1,))
        block = hmac.digest(secret, block + info + counter, algorithm)
        output += block
    return output[:size]


def test_whichHalfIsWhose() -> None:
    """
    The peer encrypts with the first 32 octets (RFC 5216 section 2.3). MPPE takes the first 16
    octets of each half, or 8 for the shorter keys (RFC 3079 section 4).
    """
    keys = startKeys(bytes(range(64)), isServer=True)
    assert keys.receive(128, False).startKey == bytes(range(16))
    assert keys.send(128, False).startKey == bytes(range(32, 48))
    assert keys.receive(40, False).startKey == bytes(range(8))
    assert startKeys(bytes(range(64)), isServer=False).send(56, False).startKey == bytes(range(8))


class TestFailure:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize(
        "fault", ["unknown authority", "expired", "not yet", "a server's", "account", "no name"]
    )
    def test_aCertificateThatDoesNotDo(self, pki: Pki, fault: str, version: str) -> None:
        authority = pki.authority
        if fault == "unknown authority":
            authority = Authority(pki.folder, "Other CA")
        client = {
            "expired": lambda: authority.issue("alice", days=(-9, -1)),
            "not yet": lambda: authority.issue("alice", days=(1, 9)),
            "a server's": lambda: authority.issue("alice", SERVER),
            "account": lambda: authority.issue("mallory"),
            "no name": lambda: authority.issue(""),
        }.get(fault, lambda: authority.issue("alice"))()
        pipe = shake(pki, pki.context(client), version)
        (told,) = pipe.ours.told
        assert told.startswith("refused: ")
        # An unknown account is reported like a wrong password. The other faults are reported by
        # TLS.
        assert ("TLS failed: " in told) is (fault not in ("account", "no name"))
        assert pipe.ours.keys is None and "proven" not in pipe.theirs.told
        assert pipe.packets[-1][0] == eap.EAPFailure.CODE

    @pytest.mark.parametrize("version", VERSIONS)
    def test_anotherAuthorityOfTheSameName(self, pki: Pki, version: str) -> None:
        folder = pki.folder / f"impostor-{version}"
        folder.mkdir()
        impostor = Authority(folder, "Test CA")
        context = pki.context(impostor.issue("alice"), pki.authority)
        assert shake(pki, context, version).ours.told[0].startswith("refused: TLS failed")

    @pytest.mark.parametrize("version", VERSIONS)
    def test_noCertificate(self, pki: Pki, version: str) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.load_verify_locations(str(pki.authority.certificate))
        context.set_verify(SSL.VERIFY_PEER)
        pipe = shake(pki, context, version)
        assert "did not return a certificate" in pipe.ours.told[0]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_aPeerThatDoesNotKnowOurAuthority(self, pki: Pki, version: str) -> None:
        """
        A peer that doesn't know our authority says so in an alert and refuses us.
        """
        other = Authority(pki.folder, "Third CA")
        pipe = shake(pki, pki.context(authority=other), version)
        assert "unknown ca" in pipe.ours.told[0]
        assert pipe.theirs.told == ["refused: TLS failed: certificate verify failed"]

    def test_aPeerOfTLS11(self, pki: Pki) -> None:
        hello = b"\3\2" + bytes(32) + b"\0" + b"\0\2\xc0\x13" + b"\1\0"
        hello = b"\1" + len(hello).to_bytes(3, "big") + hello
        scene = Scene(pki.method(), judge=judge)
        scene.identify()
        scene.answer(Fragment(b"\x16\3\2" + len(hello).to_bytes(2, "big") + hello).encode())
        # The fatal alert protocol_version.
        assert Fragment.decode(scene.asked.content).octets[-2:] == b"\2\x46"
        scene.answer(Fragment().encode())
        assert scene.events == ["Failure", "refused: TLS failed: unsupported protocol"]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_theAlertComesBeforeTheFailure(self, pki: Pki, version: str) -> None:
        """
        TLS's alert goes out before the Failure, and the peer answers it (RFC 5216 section 2.1.3).
        """
        client = pki.authority.issue("alice", days=(-9, -1))
        pipe = shake(pki, pki.context(client), version)
        codes = [packet[0] for packet in pipe.packets[-3:]]
        assert codes == [eap.EAPRequest.CODE, eap.EAPResponse.CODE, eap.EAPFailure.CODE]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_aPeerThatGoesOnTalking(self, pki: Pki, version: str) -> None:
        """
        A peer that sends data after the handshake is refused, as its data may be an alert.
        """
        context = pki.context()
        context.set_max_proto_version(VERSIONS[version])
        scene = Scene(pki.method(), judge=judge)
        scene.identify()
        conversation = TLSMethod(context).begin(b"alice", b"")
        assert isinstance(conversation, TLSPeer)
        while isinstance(scene.last, eap.EAPRequest):
            content = conversation.answer(scene.asked)
            if conversation.done:
                session = conversation._session
                session._connection.send(b"hm")
                content = Fragment(session._pending()).encode()
            scene.answer(content)
        assert scene.events == [
            "granted alice",
            "Failure",
            "refused: TLS failed: the peer sent what has no place in EAP-TLS",
        ]

    def test_aPeerWithoutIt(self, pki: Pki) -> None:
        pipe = Pipe([pki.method(), MD5], [MD5], judge=_password).run()
        assert pipe.ours.told == ["granted alice", "authenticated"]
        assert pipe.methods == [1, 13, 4]


def _password(claim: Claim) -> Grant:
    return Grant(claim.name.decode(), b"", None, None)


class TestFragments:
    @given(st.binary(max_size=5000))
    def test_whatIsCutIsPutTogether(self, message: bytes) -> None:
        whole, parts = Reassembly(), list(fragments(message))
        for part in parts[:-1]:
            assert whole.add(part.encode()) is None
        assert whole.add(parts[-1].encode()) == message
        assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]

    @pytest.mark.parametrize(
        "parts",
        [
            [Fragment(b"x", MESSAGE_OCTETS + 1, more=True)],
            [Fragment(b"x", 0xFFFFFFFF)],
            [Fragment(b"xx", 1)],
            [Fragment(b"x", 2)],
            [Fragment(b"x", 3, more=True), Fragment(b"y")],
            [Fragment(b"x", 3, more=True), Fragment(b"yyy", more=True)],
            [Fragment(b"x", 3, more=True), Fragment(b"", more=True)],
            [Fragment(b"", 3, more=True)],
            [Fragment(bytes(1400), more=True)] * 50,
        ],
        ids=lambda parts: f"{len(parts)} of them",
    )
    def test_whatCannotBePutTogether(self, parts: list[Fragment]) -> None:
        whole = Reassembly()
        for part in parts[:-1]:
            if len(parts) < 50:
                assert whole.add(part.encode()) is None
        with pytest.raises(Malformed):
            for part in parts[-1:] if len(parts) < 50 else parts:
                whole.add(part.encode())

    def test_aLaterLengthChangesNothing(self) -> None:
        whole = Reassembly()
        assert whole.add(Fragment(b"x", 2, more=True).encode()) is None
        assert whole.add(Fragment(b"y", 60000).encode()) == b"xy"

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            Fragment(b"no TLS at all").encode(),
            Fragment(b"\x16\x03\x01\x00\x00").encode(),
            Fragment(b"\x16\x03\x01\xff\xff" + bytes(900)).encode(),
            Fragment(bytes(900), 0xFFFFFFFF, more=True).encode(),
            b"\xff",
            b"\x80\0\0",
        ],
    )
    def test_aPeerThatSendsIt(self, pki: Pki, content: bytes) -> None:
        """
        A peer that sends malformed fragments again and again gets a Failure sooner or later, and
        nothing raises.
        """
        scene = Scene(pki.method(), judge=judge)
        scene.identify()
        for _ in range(300):
            if isinstance(scene.last, eap.EAPRequest):
                scene.answer(content)
        assert scene.events[0] == "Failure"
        scene.assertIdle()

    def test_aMessageWithoutAnEnd(self, pki: Pki) -> None:
        scene = Scene(pki.method(), judge=judge)
        scene.identify()
        scene.answer(Fragment(b"\x16", more=True).encode())
        for _ in range(300):
            if isinstance(scene.last, eap.EAPRequest):
                assert Fragment.decode(scene.asked.content) == Fragment()
                scene.answer(Fragment(b"x", more=True).encode())
        assert scene.events[0] == "Failure" and "requests" in scene.events[1]

    def test_dataInPlaceOfAnAcknowledgement(self, pki: Pki) -> None:
        scene = Scene(pki.method(), judge=judge)
        scene.identify()
        conversation = TLSMethod(pki.context()).begin(b"alice", b"")
        while not Fragment.decode(scene.asked.content).more:
            scene.answer(conversation.answer(scene.asked))
        scene.answer(Fragment(b"x").encode())
        assert scene.events[0] == "Failure" and "acknowledged" in scene.events[1]

    @example(which=0, where=8, how=8)
    @settings(deadline=None, max_examples=40)
    @given(which=st.integers(0, 6), where=st.integers(0, 1000), how=st.integers(1, 255))
    def test_anAlteredPacket(self, pki: Pki, which: int, where: int, how: int) -> None:
        """
        A change of one octet in one of the peer's packets raises nothing. Either nobody is let in,
        or the octet had no meaning. An octet that makes a record longer makes TLS wait for the rest
        of the record until the limit of Requests is reached.
        """
        scene = Scene(pki.method(), judge=judge)
        scene.identify()
        conversation = TLSMethod(pki.context()).begin(b"alice", b"")
        for number in range(200):
            if not isinstance(scene.last, eap.EAPRequest):
                break
            try:
                content = bytearray(conversation.answer(scene.asked))
            except (Malformed, Refused):
                content = bytearray(1)
            if number == which:
                content[where % len(content)] ^= how
            scene.answer(bytes(content))
        assert scene.events
        if "authenticated" in scene.events:
            assert scene.recorder.claims[0].name == b"alice"
            assert isinstance(scene.recorder.claims[0], CertifiedClaim)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("names", "expected", "good"),
    [
        ((), "pptpgw", True),
        ((), "PPTPGW", True),
        ((), "other", False),
        (("gate.example", "gate"), "Gate.example", True),
        (("gate.example", "gate"), "gate", True),
        # The common name doesn't count where there are DNS names.
        (("gate.example",), "pptpgw", False),
        (("*.example",), "gate.example", False),
        (("gate.example",), "gate.example.net", False),
    ],
)
def test_theNameOfTheServer(
    tmp_path: Path, version: str, names: tuple[str, ...], expected: str, good: bool
) -> None:
    """
    A peer believes only a server whose certificate has the name that it expects, and says so to one
    that hasn't, before it shows its own certificate.
    """
    authority = Authority(tmp_path)
    server = authority.issue("pptpgw", SERVER, [x509.DNSName(name) for name in names])
    own, ca = authority.issue("alice"), str(authority.certificate)
    method = TLSMethod(makeContext(str(server[0]), str(server[1]), ca, isServer=True))
    context = makeContext(str(own[0]), str(own[1]), ca, isServer=False, server=expected)
    context.set_max_proto_version(VERSIONS[version])
    pipe = Pipe([method], [TLSMethod(context)], judge=judge, name=b"alice").run()
    if good:
        assert pipe.theirs.told == ["proven"]
    else:
        reason = "TLS failed: the server's certificate has another name"
        assert pipe.theirs.told == [f"refused: {reason}"]
        assert not pipe.ours.claims and "TLS failed" in pipe.ours.told[0]


def test_whatIsSecretIsNotShown(pki: Pki) -> None:
    scene = Scene(pki.method(), judge=judge)
    scene.identify()
    conversation = TLSMethod(pki.context()).begin(b"alice", b"")
    while isinstance(scene.last, eap.EAPRequest):
        scene.answer(conversation.answer(scene.asked))
    keys = conversation.keys()
    assert keys is not None
    assert keys.send(128, False).startKey.hex() not in repr(scene.recorder.claims).lower()
