"""
How a command logs in to a gateway, where that isn't reached over its Unix socket: by an operator's
token, or by name and password.
"""

from __future__ import annotations

from base64 import b64encode

from pptpgw.command.password import typedOnce
from pptpgw.config.secrecy import readSecret
from pptpgw.ports.variable import variable

TOKEN = "PPTPGW_TOKEN"
"""
The environment variable that may have a token.
"""

HOW = (
    "--token-file FILE or the environment variable PPTPGW_TOKEN has an operator's token (on the "
    "gateway, pptpgw operator token add NAME --name WORD prints one), and --operator NAME asks for "
    "a password"
)
"""
What to do if a login is missing or wrong.
"""


def authorization(tokenFile: str | None = None, operator: str | None = None) -> bytes | None:
    """
    Return the C{Authorization} of requests; None if nothing says who logs in.

    @param tokenFile: the file with a token, which only its owner may read. Without it and
        C{operator}, the environment variable L{TOKEN} is looked at.
    @param operator: the name of an operator, whose password is asked for.
    @raise pptpgw.error.ConfigurationError: the file can't be used, or no password was typed.
    @raise SystemExit: SIGINT or SIGTERM came instead of the password.
    """
    if operator is not None:
        password = typedOnce(operator, "; --token-file FILE has a token instead")
        name = operator.encode("utf-8", "surrogateescape")
        return b"Basic " + b64encode(name + b":" + password)
    if tokenFile is not None:
        return b"Bearer " + readSecret(tokenFile)
    token = variable(TOKEN)
    return None if token is None else b"Bearer " + token.encode("utf-8", "surrogateescape")
