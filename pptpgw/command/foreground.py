"""
The command C{pptpgw run}, which is C{twistd -n pptpgw} for those who don't know C{twistd}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.scripts import twistd

from pptpgw.command.gateway import NOBODY, GatewayOptions, gatewayed
from pptpgw.command.parsing import ForegroundCommand, command, refuse


@command(
    "run",
    "Run the gateway in the foreground.",
    "The log goes to standard output, or to the journal. SIGHUP reads the configuration again; "
    "SIGTERM and Ctrl-C hang up every call and end the gateway. It is the same as twistd -n "
    "--pidfile= pptpgw, which can do more: become a daemon, for example.",
    cls=ForegroundCommand,
)
@gatewayed
def run(words: Sequence[str]) -> None:
    """
    C{pptpgw run}: run the gateway until it is stopped.

    @raise click.UsageError: no checker is named, or an option of C{twistd pptpgw} is wrong.
    """
    # twistd would end with its own help, which is none for this command line.
    options = GatewayOptions()
    options.parseOptions(words)
    if not options.checkers and not options.load().auth.checkers:
        refuse(NOBODY)
    # The module has no type annotations.
    server: Any = twistd
    given = server.ServerOptions()
    given.parseOptions(["--nodaemon", "--pidfile=", "pptpgw", *words])
    server.runApp(given)
