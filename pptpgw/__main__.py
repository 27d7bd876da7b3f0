"""
C{python -m pptpgw}: try the gateway in the foreground, without a configuration.

The program keeps an account store in a state folder, with one user who has a random password. It
starts the gateway with the default configuration, except that every authentication protocol with
passwords is permitted, and SSTP beside PPTP, with a certificate that it makes. It places a call to
itself by each of them, and then serves until it is interrupted. The console is at L{PLACE}, and the
file C{pptpgw.toml} in the folder leads commands to the gateway. If the process lacks the privileges
for that, it enters a user and network namespace of its own, if the machine allows it.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.endpoints import quoteStringArgument
from twisted.logger import globalLogBeginner
from twisted.python import usage
from twisted.python.filepath import FilePath

from pptpgw.auth.checkers import AccountsChecker
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.client import CallEndpoint
from pptpgw.config.configuration import Configuration
from pptpgw.config.section import AccountsSection, LinkSection, ListenSection, ManagementSection
from pptpgw.demo.selfcall import callOurselves
from pptpgw.error import ConfigurationError, PPTPGWError
from pptpgw.management.console import LINK_SECONDS
from pptpgw.management.operation import Operator, OperatorRole
from pptpgw.ports import privileges
from pptpgw.ports.logoutput import lines, standardOutput
from pptpgw.ports.signals import Signals
from pptpgw.ports.terminal import Foreground
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.service import GatewayService
from pptpgw.store.store import Store
from pptpgw.tunnels.sstp.client import SSTPClient
from pptpgw.tunnels.sstp.trust import Trust
from pptpgw.tunnels.sstp.tunnel import SSTPSettings
from pptpgw.tunnels.sstp.tunnel import factory as sstp

USER = "caller"
CONFIGURATION = "pptpgw.toml"
"""
The name of the configuration file that leads commands to the gateway.
"""

METHODS = ("mschapv2", "mschap", "chap", "pap")
"""
The authentication protocols that are permitted: all that a client may want to try.
"""

PLACE = "127.0.0.1:8723"
"""
The address and the port of the console.
"""

SSTP_PORT = 8724
"""
The port of SSTP. The one of HTTPS would need another privilege, and may be a web server's.
"""

CERTIFICATE = "sstp.pem"
"""
The name of the file with the certificate of SSTP.
"""


class RunOptions(usage.Options):
    """
    The command line options of C{python -m pptpgw}.
    """

    synopsis = "Usage: python -m pptpgw [--state FOLDER]"
    optParameters = [
        ["state", "s", "state", "Folder that keeps the accounts; made with mode 0700."],
    ]

    def __init__(self) -> None:
        usage.Options.__init__(self)


def storeIn(reactor: Any, state: FilePath[str]) -> tuple[Store, bool]:
    """
    Return the account store in the folder C{state}, and whether the store must still be created.

    @raise PPTPGWError: the folder can't be made, or isn't fit for use.
    """
    path = state.child("accounts.sqlite")
    try:
        if not state.isdir():
            state.makedirs()
        state.chmod(0o700)
        new = not path.exists()
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or state.path}: {error.strerror}; the folder that keeps the "
            "password must be this user's own: remove it, or name another with --state"
        ) from error
    key = state.child("accounts.key").path
    return Store(reactor, f"sqlite:{path.path}", key, create=new), new


def configurationIn(state: FilePath[str]) -> Configuration:
    """
    Return the configuration of the gateway, and write into the folder C{state} what a command needs
    of it.

    @raise PPTPGWError: the file can't be written.
    """
    socket = quoteStringArgument(state.child("management.sock").path)
    management = ManagementSection(
        endpoints=(f"unix:{socket}:mode=600", "tcp:{1}:interface={0}".format(*PLACE.split(":")))
    )
    store = f"sqlite:{state.child('accounts.sqlite').path}"
    accounts = AccountsSection(store=store, key=state.child("accounts.key").path)
    text = (
        f"[management]\nendpoints = {json.dumps(management.endpoints)}\n\n"
        f"[accounts]\nstore = {json.dumps(accounts.store)}\nkey = {json.dumps(accounts.key)}\n"
    )
    path = state.child(CONFIGURATION)
    try:
        path.setContent(text.encode())
        path.chmod(0o600)
    except OSError as error:
        raise ConfigurationError(f"{path.path}: {error.strerror}") from error
    served = SSTPSettings(
        endpoints=(f"tcp:{SSTP_PORT}",), certificate=state.child(CERTIFICATE).path
    )
    return Configuration(
        listen=ListenSection(tunnels=("pptp", sstp.name)),
        link=LinkSection(authentication=METHODS),
        management=management,
        accounts=accounts,
        sections={sstp.name: served},
    )


async def passwordIn(store: Store, new: bool) -> str:
    """
    Return the password of the user in C{store}, and make the user if the store is C{new}.

    @raise PPTPGWError: the store has no such user, or only a hash of the password.
    """
    if new:
        await store.addAccount(USER, token_urlsafe(12).encode(), recoverable=True)
    account = await store.account(USER)
    path = store.url.removeprefix("sqlite:")
    if account is None:
        raise ConfigurationError(f"{path} has no user {USER} any more: remove it to have it made")
    if not account.sealed:
        raise ConfigurationError(
            f"{path} has the password of {USER} as a hash alone: remove it to have it made anew"
        )
    return store.vault.open(USER, account.sealed).decode(errors="replace")


output = lines(standardOutput())


def say(text: str) -> None:
    """
    Print a line, in order with the lines of the log.
    """
    output.do(partial(standardOutput().write, f"{text}\n"))


async def selfCall(reactor: Any, service: GatewayService, password: str, fingerprint: str) -> None:
    """
    Call ourselves by each tunnel, and print what was negotiated, or why a call failed.

    @param fingerprint: that of our certificate.
    """
    settings = LinkSettings(identity=Identity(USER.encode(), password.encode(), (MSCHAPV2,)))
    trust = Trust(fingerprint=fingerprint)
    endpoints = {
        "": service.clientEndpoint("127.0.0.1", settings),
        " by SSTP": CallEndpoint(SSTPClient(reactor, "127.0.0.1", SSTP_PORT, trust), settings),
    }
    for how, endpoint in endpoints.items():
        try:
            report = await callOurselves(reactor, endpoint)
        except Exception as error:
            say(f"The call to ourselves{how} failed: {str(error) or type(error).__name__}")
        else:
            say(f"The call to ourselves{how}: {report}")


def main(argv: list[str]) -> int:
    """
    Run until interrupted, and return the exit status.
    """
    options = RunOptions()
    try:
        usage.Options.parseOptions(options, argv)
    except usage.UsageError as error:
        print(f"{options}\npptpgw: {error}", file=sys.stderr)
        return 2
    try:
        privileges.acquire()
        privileges.drop(options["state"])
        with Foreground():
            serve(FilePath(options["state"]))
    except PPTPGWError as error:
        print(f"pptpgw: {error}", file=sys.stderr)
        return 1
    say("Every call is hung up, and what was made is removed.")
    return 0


def serve(state: FilePath[str]) -> None:
    """
    Start the gateway, call ourselves, and serve until interrupted.

    @raise PPTPGWError: the gateway can't start; the text says why.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed

    globalLogBeginner.beginLoggingTo([output], redirectStandardIO=False)
    store, new = storeIn(reactor, state)
    checker = AccountsChecker(lambda _: store)
    addresses = privileges.hostAddresses()
    configuration = configurationIn(state)
    service = GatewayService(reactor, configuration, [checker])
    faults: list[PPTPGWError] = []
    nothing = partial(say, "SIGUSR1 and SIGUSR2 do nothing; SIGTERM, or Ctrl-C, ends the gateway.")
    # SIGHUP, from a terminal that is closed, stops this program in order.
    signals = Signals(reactor, {"SIGUSR1": nothing, "SIGUSR2": nothing, "SIGHUP": reactor.stop})

    async def begin() -> None:
        try:
            password = await passwordIn(store, new)
            service.privilegedStartService()
            service.startService()
        except PPTPGWError as error:
            faults.append(error)
            reactor.stop()
            return
        signals.start()
        reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
        tunnel: Any = service.tunnels[sstp.name]
        fingerprint = tunnel.factory.certificate.fingerprint
        await selfCall(reactor, service, password, fingerprint)
        announce(password, addresses, fingerprint)
        operator = Operator("make run", OperatorRole.ADMIN)
        assert service.management is not None
        link = service.management.operating.consoles.link(operator)
        announceManagement(link, state.child(CONFIGURATION).path)
        say("Ctrl-C ends it.")

    reactor.callWhenRunning(output.start)
    reactor.callWhenRunning(lambda: ensureDeferred(begin()))
    reactor.addSystemEventTrigger("after", "shutdown", output.finish)
    reactor.run()
    for fault in faults:
        raise fault


def announce(password: str, addresses: Sequence[str], fingerprint: str) -> None:
    """
    Print how to dial the gateway.

    @param addresses: the addresses of this machine, from before there was a tunnel.
    @param fingerprint: that of our certificate.
    """
    say(f"Dial it with user {USER} and password {password}:")
    if privileges.inNamespace():
        say("  at 127.0.0.1, from inside this namespace only, since there were no privileges for")
        say(f"  more (sudo make run has them): {privileges.namespaceCommand()} COMMAND")
    else:
        say(f"  at {', '.join(addresses) or '127.0.0.1 (this machine has no other address)'}")
    say(f"By SSTP it is at port {SSTP_PORT}. Its certificate signs itself and has the SHA-256")
    say(f"  {fingerprint}")


def announceManagement(link: str, path: str) -> None:
    """
    Print how to see the gateway.

    @param link: the token that logs in to the console.
    @param path: the path of the configuration file that leads to the gateway.
    """
    inside = " inside that namespace" if privileges.inNamespace() else ""
    minutes = int(LINK_SECONDS // 60)
    say(f"See it in a browser{inside} (the link logs in once, within {minutes} minutes):")
    say(f"  http://{PLACE}/#login={link}")
    command = Path(sys.executable).with_name("pptpgw")
    say(f"  or by {shlex.quote(str(command))} sessions --config {shlex.quote(path)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
