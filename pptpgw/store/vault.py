"""
Recoverable passwords, encrypted under a key in a file of its own.

An encrypted password is bound to the name of its user (associated data of AES-256-GCM): it can't be
decrypted for another user.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pptpgw.config.secrecy import exposure
from pptpgw.store.error import StoreError

_KEY_OCTETS = 32
_NONCE_OCTETS = 12


class Vault:
    """
    Encrypts recoverable passwords by the key in a file, bound to the names of their users, and
    decrypts them.
    """

    def __init__(self, path: Path, create: bool = False) -> None:
        """
        @param path: the path of the file with the key.
        @param create: whether to make the file, when the key is first needed to encrypt, if it is
            missing or empty.
        """
        self._path = path
        self._create = create
        self._cipher: AESGCM | None = None

    def seal(self, name: str, password: bytes) -> str:
        """
        Encrypt the password of the user C{name}, as text that reveals only its length.

        @raise StoreError: the key can't be made or used.
        """
        nonce = token_bytes(_NONCE_OCTETS)
        sealed = self._key(self._create).encrypt(nonce, password, name.encode())
        return b64encode(nonce + sealed).decode()

    def open(self, name: str, sealed: str) -> bytes:
        """
        Decrypt the password of the user C{name}.

        @raise StoreError: the key can't be used, or isn't the one that encrypted the password.
        """
        cipher = self._key(create=False)
        try:
            octets = b64decode(sealed, validate=True)
            return cipher.decrypt(octets[:_NONCE_OCTETS], octets[_NONCE_OCTETS:], name.encode())
        except (ValueError, InvalidTag) as error:
            raise StoreError(
                f"{name!a}: the password doesn't open with the key in {self._path}"
            ) from error

    def _key(self, create: bool) -> AESGCM:
        """
        Return the cipher, after reading the key the first time.
        """
        if self._cipher is None:
            self._cipher = AESGCM(self._read(create))
        return self._cipher

    def _read(self, create: bool) -> bytes:
        path = self._path
        try:
            if create and not (path.exists() and path.stat().st_size):
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.touch(mode=0o600)
                path.write_text(b64encode(token_bytes(_KEY_OCTETS)).decode() + "\n")
            if fault := exposure(path, path.stat().st_mode):
                raise StoreError(fault)
            key = b64decode(path.read_text().strip(), validate=True)
        except OSError as error:
            raise StoreError(
                f"{path}: {error.strerror}; it holds the key of recoverable passwords, and must "
                "belong to the user that the gateway and pptpgw run as"
            ) from error
        except ValueError as error:
            raise StoreError(f"{path}: this is no key of passwords") from error
        if len(key) != _KEY_OCTETS:
            raise StoreError(f"{path}: this is no key of passwords")
        return key
