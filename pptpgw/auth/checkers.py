"""
The checker of users in a file in the format of pppd's chap-secrets.
"""

from __future__ import annotations

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.filepath import FilePath
from zope.interface import implementer

from pptpgw.auth import chapsecrets
from pptpgw.auth.realm import AvatarID
from pptpgw.config.kind import NoSettings
from pptpgw.config.secrecy import assertPrivate
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import ICertifiedName, IConfigurable, IEnvironment
from pptpgw.log import Logger
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.username import nameOf

# The largest file that is read, in octets. The file is read at a login if it was changed, and
# reading blocks: a file of this size, with some 20,000 users, takes a fraction of a second.
MAXIMUM_OCTETS = 1 << 20

# The secret that an unknown user is checked against, so that the refusal takes as long as for a
# user who exists.
_NOBODY = b"there is no such user"


@implementer(ICredentialsChecker, IConfigurable)
class ChapSecretsChecker:
    """
    Checks users against a file in the format of pppd's chap-secrets (L{pptpgw.auth.chapsecrets}).

    The time, size and inode of the file are compared at each login, and the file is read again when
    one of them has changed. A file that can't be used then is reported once in the log, and the
    secrets that were read before remain in force.

    @ivar serverName: the name of the gateway, which is matched against the server column.
    """

    name = "chap-secrets"
    settings = NoSettings
    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword, ICertifiedName)

    _log = Logger()

    def __init__(self, path: FilePath[str], serverName: bytes = b"pptpgw") -> None:
        """
        @raise ConfigurationError: the file can't be used.
        """
        self.serverName = serverName
        self._path = path
        self._seen = self._look()
        self._secrets = self._read()

    def configure(self, settings: NoSettings, environment: IEnvironment) -> None:
        """
        See L{IConfigurable.configure}: take the name of the gateway from C{[link] name}.
        """
        self.serverName = environment.configuration.link.name.encode()

    def requestAvatarId(
        self, credentials: IUsernamePassword | IUsernameHashedPassword | ICertifiedName
    ) -> Deferred[bytes | tuple[()]]:
        """
        Judge C{credentials} by the lines of the file. A name in a verified certificate needs a
        line, whatever its secret.

        @return: fires with the L{AvatarID} of the account; fails with L{UnauthorizedLogin} where no
            line is for this user, or the proof is wrong.
        """
        self._refresh()
        name = credentials.username
        secret = self._secrets.find(name, self.serverName)
        right = ICertifiedName.providedBy(credentials) or credentials.checkPassword(
            _NOBODY if secret is None else secret.secret
        )
        if secret is None or not right:
            return fail(UnauthorizedLogin())
        return succeed(AvatarID(Profile(nameOf(name), secret.addresses)))

    def _look(self) -> tuple[float, int, int]:
        """
        Return time, size and inode of the file; three zeros if it can't be examined.
        """
        path = self._path
        path.restat(reraise=False)
        if not path.exists():
            return 0.0, 0, 0
        return path.getModificationTime(), path.getsize(), path.getInodeNumber()

    def _refresh(self) -> None:
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._secrets = self._read()
        except ConfigurationError as problem:
            self._log.error(
                "{problem}; the secrets read before remain in force", problem=str(problem)
            )

    def _read(self) -> chapsecrets.Secrets:
        path = self._path.path
        assertPrivate(path)
        try:
            with self._path.open() as file:
                content = file.read(MAXIMUM_OCTETS + 1)
        except PermissionError as problem:
            raise ConfigurationError(
                f"{path}: {problem.strerror}; it must belong to the user that the gateway runs as"
            ) from problem
        except OSError as problem:
            raise ConfigurationError(f"{path}: {problem.strerror}") from problem
        if len(content) > MAXIMUM_OCTETS:
            raise ConfigurationError(f"{path}: larger than {MAXIMUM_OCTETS} octets")
        return chapsecrets.parse(content, path)
