"""
A credentials checker for pptpgw: users, with their passwords and addresses, in a JSON file.
"""

import json
from ipaddress import IPv4Network
from pathlib import Path
from secrets import token_bytes
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred, fail, succeed
from twisted.plugin import IPlugin
from zope.interface import implementer

from pptpgw.auth.realm import AvatarID
from pptpgw.error import Unavailable
from pptpgw.sessions.profile import Profile


@implementer(ICredentialsChecker)
class JSONChecker:
    # IUsernameHashedPassword is what CHAP and both MS-CHAPs give. Its checkPassword does their
    # arithmetic.
    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nobody = token_bytes(16)

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        try:
            users = json.loads(self.path.read_bytes())
        except (OSError, ValueError) as error:
            # The caller is told to dial again, rather than that its password is wrong.
            return fail(Unavailable(f"{self.path}: {error}"))
        name = credentials.username.decode(errors="replace")
        user = users.get(name)
        # An unknown user's password is checked too, so that both answers take equally long.
        right = credentials.checkPassword(user["password"].encode() if user else self.nobody)
        if user is None or not right:
            return fail(UnauthorizedLogin())
        # A user without an address gets one of the pool.
        addresses = (IPv4Network(user["address"]),) if "address" in user else None
        return succeed(AvatarID(Profile(name, addresses)))


@implementer(ICheckerFactory, IPlugin)
class JSONCheckerFactory:
    authType = "json"
    authHelp = 'Users in a JSON file: {"NAME": {"password": TEXT, "address": TEXT}, ...}'
    argStringFormat = "the path of the file"
    credentialInterfaces = JSONChecker.credentialInterfaces

    def generateChecker(self, argstring: str) -> JSONChecker:
        return JSONChecker(Path(argstring))


checker = JSONCheckerFactory()
