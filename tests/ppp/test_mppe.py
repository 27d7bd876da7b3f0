"""
Tests for MPPE's keys, with the examples of RFC 3079 sections 2.5 and 3.5.
"""

from __future__ import annotations

from binascii import unhexlify

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher
from zope.interface.verify import verifyObject

from pptpgw.datapath.mppe import PythonEncryptor
from pptpgw.error import Refused
from pptpgw.interfaces import IKeys, MPPEParameters
from pptpgw.ppp import mppe, mschap

PASSWORD_HASH_HASH = unhexlify("41C00C584BD2D91C4017A2A12FA59F3F")
NT_RESPONSE = unhexlify("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")
MASTER_KEY = unhexlify("FDECE3717A8C838CB388E527AE3CDD31")
SEND_START_KEY = unhexlify("8B7CDC149B993A1BA118CB153F56DCCB")
CHALLENGE = unhexlify("102DB5DF085D3041")


def serverKeys() -> mppe.StartKeys:
    """
    The keys of the authenticator in the example.
    """
    return mppe.mschapV2Keys(PASSWORD_HASH_HASH, NT_RESPONSE, isServer=True)


def assertSessionKey(parameters: MPPEParameters, key: str) -> None:
    """
    Check that stateful MPPE encrypts its first packets with C{key}, which is in hexadecimal.
    """
    assert parameters.stateful
    frame = PythonEncryptor(parameters.startKey, parameters.bits, True).encrypt(b"", b"", bytes(40))
    assert frame[2:] == Cipher(ARC4(unhexlify(key)), mode=None).encryptor().update(bytes(40))


def test_startKeys() -> None:
    """
    The master key and the server's send start key are those of section 3.5.
    """
    assert mppe.masterKey(PASSWORD_HASH_HASH, NT_RESPONSE) == MASTER_KEY
    assert mppe.asymmetricStartKey(MASTER_KEY, True, True) == SEND_START_KEY
    assert serverKeys().send(128, False).startKey == SEND_START_KEY
    assert serverKeys().send(40, False).startKey == SEND_START_KEY[:8]
    assert serverKeys().send(56, False).startKey == SEND_START_KEY[:8]


@pytest.mark.parametrize(
    ("bits", "key"),
    [
        (40, "D1269EC49FA62E3E"),
        (56, "D15C00C49FA62E3E"),
        (128, "405CB2247A7956E6E211007AE27B22D4"),
    ],
)
def test_mschapV2SessionKeys(bits: int, key: str) -> None:
    """
    The initial session keys are those of sections 3.5.1 to 3.5.3.
    """
    assertSessionKey(serverKeys().send(bits, True), key)


@pytest.mark.parametrize(
    ("bits", "key"),
    [
        (40, "D1269E538CEC4A08"),
        (56, "D10801538CEC4A08"),
        (128, "59D159BC09F76F1DA2A86A28FFEC0B1E"),
    ],
)
def test_mschapSessionKeys(bits: int, key: str) -> None:
    """
    The initial session keys are those of sections 2.5.1 to 2.5.3, the same in both directions.
    """
    keys = mppe.mschapKeys(mschap.lmPasswordHash(b"clientPass"), PASSWORD_HASH_HASH, CHALLENGE)
    assertSessionKey(keys.send(bits, True), key)
    assertSessionKey(keys.receive(bits, True), key)


def test_bothEndsAgree() -> None:
    """
    Each end receives with the key that the other end sends with, and the keys of the two directions
    differ.
    """
    server = serverKeys()
    client = mppe.mschapV2Keys(PASSWORD_HASH_HASH, NT_RESPONSE, isServer=False)
    for bits in (40, 56, 128):
        assert server.send(bits, True) == client.receive(bits, True)
        assert server.receive(bits, False) == client.send(bits, False)
        assert server.send(bits, True) != client.send(bits, True)
    assert client.send(128, False).startKey == unhexlify("D5F0E9521E3EA9589645E86051C82226")
    received, sent = (way(128, False).startKey for way in (server.receive, server.send))
    assert client.bindings == server.bindings == (received + sent,)


def test_parameters() -> None:
    """
    The keys provide L{IKeys}, and their parameters have the key length and the statefulness that
    were asked for.
    """
    keys = serverKeys()
    assert verifyObject(IKeys, keys)
    parameters = keys.receive(56, True)
    assert (parameters.bits, parameters.stateful) == (56, True)
    assert len(parameters.startKey) == 8
    assert not keys.send(128, False).stateful


def test_onlyTheHash() -> None:
    """
    MS-CHAPv1 has only 128-bit keys for an account stored as an NT hash. A key length that MPPE
    doesn't have is refused.
    """
    keys = mppe.mschapKeys(None, PASSWORD_HASH_HASH, CHALLENGE)
    assert keys.bits == (128,)
    assert serverKeys().bits == (40, 56, 128)
    assert len(keys.send(128, False).startKey) == 16
    for bits in (40, 56):
        with pytest.raises(Refused):
            keys.send(bits, False)
    with pytest.raises(Refused):
        serverKeys().receive(64, False)


def test_keysStayOutOfRepresentations() -> None:
    """
    The representations of keys and parameters show no octet of a key.
    """
    shown = repr(serverKeys()) + repr(serverKeys().send(128, False))
    assert repr(SEND_START_KEY)[2:10] not in shown
    assert "startKey" not in shown
