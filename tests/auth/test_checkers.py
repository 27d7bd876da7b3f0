"""
Tests for L{pptpgw.auth.checkers}: the checker of chap-secrets, and its strcred plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from os import utime
from pathlib import Path

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.cred.strcred import makeChecker as strcredMakeChecker
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, LogLevel
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from zope.interface.verify import verifyObject

from pptpgw.auth.checkers import MAXIMUM_OCTETS, ChapSecretsChecker
from pptpgw.auth.plugin import ChapSecretsCheckerFactory
from pptpgw.auth.realm import AvatarID
from pptpgw.error import ConfigurationError
from tests.logged import observed

# strcred's function behind C{--auth}, which has no types.
makeChecker: Callable[[str], ICredentialsChecker] = strcredMakeChecker

FILE = b"user pptpgw sesame 10.0.0.5\nanyone * open\nother pptpd sesame\n"


@pytest.fixture()
def path(tmp_path: Path) -> Path:
    """
    A secrets file.
    """
    path = tmp_path / "chap-secrets"
    path.write_bytes(FILE)
    path.chmod(0o600)
    return path


@pytest.fixture()
def errors() -> Iterator[list[LogEvent]]:
    """
    The errors that are logged during the test.
    """
    events: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event["log_level"] is LogLevel.error:
            events.append(event)

    with observed(observe):
        yield events


def checker(path: Path) -> ChapSecretsChecker:
    """
    A checker of C{path}.
    """
    return ChapSecretsChecker(FilePath(str(path)))


def login(checker: ICredentialsChecker, name: bytes, password: bytes) -> AvatarID | None:
    """
    The avatar id for a name and a password, or C{None} if the checker refuses them.
    """
    results: list[object] = []
    answer = checker.requestAvatarId(UsernamePassword(name, password))
    assert isinstance(answer, Deferred)
    answer.addBoth(results.append)
    (result,) = results
    if isinstance(result, Failure):
        assert result.type is UnauthorizedLogin
        return None
    assert isinstance(result, AvatarID)
    return result


def test_login(path: Path) -> None:
    """
    The right password gives the name and the addresses of the line.
    """
    avatarID = login(checker(path), b"user", b"sesame")
    assert avatarID == b"user"
    assert avatarID is not None and avatarID.profile.addresses == (IPv4Network("10.0.0.5/32"),)
    avatarID = login(checker(path), b"anyone", b"open")
    assert avatarID is not None and avatarID.profile.addresses is None


def test_unauthorized(path: Path) -> None:
    """
    A wrong password, an unknown user and a line for another server are refused alike.
    """
    ours = checker(path)
    assert login(ours, b"user", b"wrong") is None
    assert login(ours, b"nobody", b"sesame") is None
    assert login(ours, b"nobody", b"there is no such user") is None
    assert login(ours, b"other", b"sesame") is None
    assert login(ours, b"", b"") is None


def test_serverName(path: Path) -> None:
    """
    The server column is compared with the checker's own name.
    """
    ours = checker(path)
    ours.serverName = b"pptpd"
    assert login(ours, b"other", b"sesame") == b"other"
    assert login(ours, b"user", b"sesame") is None


def test_sameWork(path: Path) -> None:
    """
    An unknown user's password is checked too, once, so that the work is the same.
    """

    class Counting(UsernamePassword):
        checks = 0

        def checkPassword(self, password: bytes) -> bool:
            self.checks += 1
            return super().checkPassword(password)

    ours = checker(path)
    for name in (b"user", b"nobody"):
        credentials = Counting(name, b"wrong")
        ours.requestAvatarId(credentials).addErrback(lambda failure: None)
        assert credentials.checks == 1


def test_readAgain(path: Path) -> None:
    """
    A change of the file applies to the next login, whether the file was written over or replaced.
    """
    ours = checker(path)
    path.write_bytes(b"user * longer-password")
    assert login(ours, b"user", b"sesame") is None
    assert login(ours, b"user", b"longer-password") == b"user"
    new = path.with_suffix(".new")
    new.write_bytes(b"user * other-password.")
    new.chmod(0o600)
    # The new file has the old one's size and time, so only its inode differs.
    before = path.stat()
    assert new.stat().st_size == before.st_size
    utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(path)
    assert login(ours, b"user", b"other-password.") == b"user"


def test_notReadAgain(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file that hasn't changed isn't opened again.
    """
    ours = checker(path)

    def opened(self: FilePath[str], mode: str = "r") -> None:
        raise AssertionError("opened")

    monkeypatch.setattr(FilePath, "open", opened)
    assert login(ours, b"user", b"sesame") == b"user"


@pytest.mark.parametrize("damage", ["malformed", "gone", "readable", "large"])
def test_changedForTheWorse(path: Path, errors: list[LogEvent], damage: str) -> None:
    """
    A file that has become invalid is reported once, and the earlier secrets remain in use.
    """
    ours = checker(path)
    if damage == "malformed":
        path.write_bytes(b"user pptpgw\n")
    elif damage == "gone":
        path.unlink()
    elif damage == "readable":
        path.write_bytes(b"user * changed")
        path.chmod(0o644)
    else:
        path.write_bytes(b"#" * (MAXIMUM_OCTETS + 1))
    for _ in range(3):
        assert login(ours, b"user", b"sesame") == b"user"
    (event,) = errors
    assert str(path) in event["problem"]
    path.unlink(missing_ok=True)
    path.write_bytes(b"user * repaired")
    path.chmod(0o600)
    assert login(ours, b"user", b"repaired") == b"user"
    assert len(errors) == 1


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o644])
def test_mode(path: Path, mode: int) -> None:
    """
    A file that others may read or write is refused, with the command that repairs it.
    """
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {path}"):
        checker(path)


def test_theFileOfAnotherUser(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file that only another user may read is refused, and the error says what to do.
    """

    def denied(self: FilePath[str], mode: str = "r") -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FilePath, "open", denied)
    with pytest.raises(ConfigurationError) as caught:
        checker(path)
    assert str(caught.value) == (
        f"{path}: Permission denied; it must belong to the user that the gateway runs as"
    )


def test_cannotBeUsed(path: Path) -> None:
    """
    A file that is malformed, too large, a folder or missing is an error at the start that names it.
    """
    path.write_bytes(b"user pptpgw\n")
    with pytest.raises(ConfigurationError, match=f"{path}, line 1"):
        checker(path)
    path.write_bytes(b"#" * (MAXIMUM_OCTETS + 1))
    with pytest.raises(ConfigurationError, match=f"{path}: larger than"):
        checker(path)
    path.unlink()
    with pytest.raises(ConfigurationError, match=f"{path}: No such file"):
        checker(path)
    path.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match=f"{path}: Is a directory"):
        checker(path)


def test_largestFile(path: Path) -> None:
    """
    A file of the largest permitted size is read.
    """
    path.write_bytes(FILE.ljust(MAXIMUM_OCTETS, b"#"))
    assert login(checker(path), b"user", b"sesame") == b"user"


def test_plugin(path: Path) -> None:
    """
    strcred finds the checker by its name.
    """
    ours = makeChecker(f"chap-secrets:{path}")
    assert isinstance(ours, ChapSecretsChecker)
    assert login(ours, b"user", b"sesame") == b"user"


def test_factory() -> None:
    """
    The factory provides the interfaces of plugins and of strcred, and needs a path.
    """
    factory = ChapSecretsCheckerFactory()
    assert verifyObject(ICheckerFactory, factory) and verifyObject(IPlugin, factory)
    assert tuple(factory.credentialInterfaces) == ChapSecretsChecker.credentialInterfaces
    with pytest.raises(InvalidAuthArgumentString):
        factory.generateChecker("")


def test_interface(path: Path) -> None:
    """
    The checker provides L{ICredentialsChecker}.
    """
    assert verifyObject(ICredentialsChecker, checker(path))
