"""
The command line of C{twistd pptpgw}, and the service that it makes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.strcred import (
    AuthOptionMixin,
    ICheckerFactory,
    notSupportedWarning,
)
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.deprecate import deprecated
from twisted.python.filepath import FilePath
from twisted.python.versions import Version

from pptpgw import __version__
from pptpgw.auth.chain import JUDGED, configuredCheckers, makeChecker
from pptpgw.config import discovery
from pptpgw.config.configuration import Configuration, load
from pptpgw.config.kind import FILE, PROTOCOLS
from pptpgw.datapath import mppe
from pptpgw.error import ConfigurationError, PPTPGWError
from pptpgw.interfaces import INetworkFactory, Reloaded
from pptpgw.ports.collector import Collector
from pptpgw.ports.logoutput import LogOutput, outputOf
from pptpgw.ports.poll import serveFew
from pptpgw.ports.signals import Signals
from pptpgw.ports.systemd import Supervision, supervisor
from pptpgw.service import GatewayService


class Options(usage.Options, AuthOptionMixin):
    """
    The command line options of C{twistd pptpgw}.
    """

    supportedInterfaces = JUDGED
    synopsis = "[--config FILE] [--network NAME,...] [--auth SPEC ...]"
    longdesc = (
        "A PPTP gateway. It answers the calls of PPTP clients, authenticates the callers, "
        "encrypts, gives addresses and carries packets. PPTP's cryptography is broken; "
        "SECURITY.md says what that means."
    )
    optParameters = [
        ["config", "c", None, "The configuration, a TOML file; every key is optional."],
        [
            "network",
            None,
            None,
            "The network protocols, as in ipv4,ipv6. Instead of [network] protocols.",
        ],
        [
            "pcap",
            None,
            None,
            "Write all frames, DECRYPTED, to this pcapng file. Instead of [capture] file.",
        ],
    ]
    optFlags = [
        ["check-config", None, "Check whether the configuration can be used, and exit."],
    ]

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self.configuration = Configuration()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the words of the command line. An error ends the process with status 1, since
        C{twistd} before version 26.10 ends with status 0 for a L{usage.UsageError}.
        """
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            print(self)
            sys.exit(f"pptpgw: {error}")

    def opt_auth(self, description: str) -> None:
        """
        A checker of callers, as in chap-secrets:PATH; several in order. Instead of [auth] checkers.
        """
        try:
            AuthOptionMixin.addChecker(self, makeChecker(description))
        except discovery.NotInstalled as error:
            raise usage.UsageError(f"--auth: {error.why}") from error
        except ConfigurationError as error:
            sys.exit(f"--auth {description}: {error}")
        self.setdefault("auth", []).append(description)

    def opt_help_auth(self) -> NoReturn:
        """
        List the checkers that --auth can name, and exit.
        """
        factories = discovery.installed(ICheckerFactory)
        able = {name: one for name, one in factories.items() if self._takes(one)}
        print(
            "--auth NAME:ARGUMENT, or [auth] checkers in the configuration; --help-auth-type NAME "
            "says more on one of them.\n"
        )
        _list(ICheckerFactory, able)
        _endOfHelp()

    def opt_help_auth_type(self, name: str) -> NoReturn:
        """
        Describe one of the checkers that --auth can name, and exit.
        """
        try:
            factory = discovery.find(ICheckerFactory, name)
        except discovery.NotInstalled as error:
            raise usage.UsageError(f"--help-auth-type: {error.why}") from error
        except ConfigurationError as error:
            raise usage.UsageError(str(error)) from error
        print(f"--auth {name}:ARGUMENT\n\nArgument: {factory.argStringFormat}\n")
        print(factory.authHelp.strip())
        if not self._takes(factory):
            print(f"\n{notSupportedWarning}")
        _endOfHelp()

    def _takes(self, factory: ICheckerFactory) -> bool:
        takes: bool = AuthOptionMixin.supportsCheckerFactory(self, factory)
        return takes

    def opt_help_network(self) -> NoReturn:
        """
        List the network protocols that are installed, and exit.
        """
        print("--network NAME,..., or [network] protocols in the configuration.\n")
        _list(INetworkFactory, discovery.installed(INetworkFactory))
        _endOfHelp()

    def opt_help_plugins(self) -> NoReturn:
        """
        List the plugins of every kind that are installed and the keys that name them, and exit.
        """
        for kind, what in discovery.KINDS.items():
            print(f"{what.words.capitalize()}: {what.chosen}")
            _list(kind, discovery.installed(kind))
            print()
        _endOfHelp()

    def opt_version(self) -> NoReturn:
        """
        Show the versions and the MPPE implementation in use, and exit.
        """
        print(f"pptpgw {__version__}, MPPE: {mppe.implementation}")
        sys.exit(0)

    def postOptions(self) -> None:
        """
        Read the configuration, and make the checkers that it names unless C{--auth} named some.
        With C{--check-config} report what is missing, and exit.

        @raise usage.UsageError: there is no checker.
        """
        try:
            self.configuration = self.load()
            if "auth" not in self:
                for checker in configuredCheckers(self.configuration):
                    AuthOptionMixin.addChecker(self, checker)
        except PPTPGWError as error:
            # The command line is right, so printing its help would only hide the error.
            sys.exit(str(error))
        if self["check-config"]:
            # Imported here, as a gateway need not have what it looks at.
            from pptpgw.datapath.choice import foreseen

            # The service is made but not started, so it opens nothing.
            lacking = makeService(self).lacking()
            source = self["config"] or "the default configuration"
            if lacking:
                sys.exit("\n".join(f"{source}: {fault}" for fault in lacking))
            print(f"{source}: fine\npackets would pass by {foreseen(self.configuration)}")
            sys.exit(0)
        if not self.checkers:
            raise usage.UsageError(
                "nobody could log in: name at least one --auth, "
                "as in --auth chap-secrets:/etc/ppp/chap-secrets, or [auth] checkers in the "
                "configuration"
            )

    def load(self) -> Configuration:
        """
        Read the configuration file, and let the options of the command line replace what it says.

        @raise ConfigurationError: the file can't be used.
        """
        path = self["config"]
        configuration = load(path) if path is not None else Configuration()
        if self["network"] is not None:
            network = replace(configuration.network, protocols=_protocols(self["network"]))
            configuration = replace(configuration, network=network)
        if "auth" in self:
            auth = replace(configuration.auth, checkers=tuple(self["auth"]))
            configuration = replace(configuration, auth=auth)
        if self["pcap"] is not None:
            capture = replace(configuration.capture, file=_file(self["pcap"]))
            configuration = replace(configuration, capture=capture)
        return configuration

    @property
    def checkers(self) -> list[ICredentialsChecker]:
        """
        The checkers that were named, in the order in which they are to be asked.
        """
        checkers: list[ICredentialsChecker] = self.get("credCheckers", [])
        return checkers

    @deprecated(Version("pptpgw", "NEXT", 0, 0), "pptpgw.tap.Options.checkers")
    def portal(self) -> list[ICredentialsChecker]:
        """
        Return the checkers, which L{GatewayService} takes in the place of a portal.
        """
        return self.checkers


def _protocols(text: str) -> tuple[str, ...]:
    """
    Return the network protocols that C{--network} names.

    @raise usage.UsageError: the list can't be read, or a protocol isn't installed.
    """
    try:
        names: tuple[str, ...] = PROTOCOLS.convert(text.split(","))
        for name in names:
            discovery.find(INetworkFactory, name)
    except ValueError as error:
        raise usage.UsageError(f"--network {text}: must be {PROTOCOLS.allowed}") from error
    except discovery.NotInstalled as error:
        raise usage.UsageError(f"--network: {error.why}") from error
    except ConfigurationError as error:
        raise usage.UsageError(f"--network {text}: {error}") from error
    return names


def _file(text: str) -> str:
    """
    Return the path that C{--pcap} names, made absolute, since a daemon runs in another folder.

    @raise usage.UsageError: it isn't the path of a file.
    """
    try:
        path: str = FILE.convert(FilePath(text).path if text else None)
    except (TypeError, ValueError) as error:
        raise usage.UsageError(f"--pcap {text}: must be the path of a file") from error
    return path


def _list(kind: type, plugins: Mapping[str, object]) -> None:
    """
    Print a line for each of C{plugins}, which are of C{kind}.
    """
    width = max(map(len, plugins), default=0)
    for name, one in plugins.items():
        print(f"  {name:{width}}  {getattr(one, discovery.KINDS[kind].line)}")
    if not plugins:
        print("  none is installed")


def _endOfHelp() -> NoReturn:
    """
    Print which plugins could not be loaded, since there is no log yet, and exit.
    """
    for fault in discovery.faults:
        print(fault, file=sys.stderr)
    sys.exit(0)


class NotStarted(SystemExit, Exception):
    """
    An exception that ends the process with status 1 and without a traceback. If C{twistd} becomes a
    daemon, it catches this as an C{Exception}, and tells the parent process, which waits for the
    start.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.code = 1


class CommandService(GatewayService):
    """
    The gateway as C{twistd} runs it.

    A fault at the start is logged as a line, without a traceback. A thread writes the log. SIGHUP
    reads the configuration again, SIGTERM and SIGINT stop the gateway, SIGUSR1 and SIGUSR2 do
    nothing. The process ends when the gateway is drained, if it is to stop then. systemd is told of
    all that, if it asks. Since the process runs nothing else, the garbage collector and the turns
    of the reactor are adjusted too.
    """

    def __init__(self, reactor: Any, options: Options) -> None:
        super().__init__(
            reactor,
            options.configuration,
            options.checkers,
            source=options.load if options["config"] is not None else None,
        )
        self._options = options
        self._collector = Collector(reactor)
        self._serveFew = partial(serveFew, reactor)
        self._output: LogOutput | None = None
        asked = supervisor()
        self._supervision = None if asked is None else Supervision(self._reactor, self, asked)
        self._signals = Signals(
            reactor,
            {
                "SIGHUP": self._readAgain,
                "SIGUSR1": partial(self._ignored, "SIGUSR1"),
                "SIGUSR2": partial(self._ignored, "SIGUSR2"),
            },
        )

    def setServiceParent(self, parent: Any) -> None:
        """
        Have a thread write the log, if the parent is the application that C{twistd} makes.
        """
        service: Any = super()
        service.setServiceParent(parent)
        twistd = self._options.parent
        if twistd is not None and isinstance(parent, Componentized):
            self._output = outputOf(twistd)
            parent.setComponent(ILogObserver, self._output)

    def privilegedStartService(self) -> None:
        """
        Open the ports, or log the fault and exit.
        """
        self._serveFew()
        with self._exiting():
            super().privilegedStartService()

    def startService(self) -> None:
        """
        Begin to accept calls, and start the thread that writes the log once the reactor runs. If
        that fails, log the fault and exit.
        """
        with self._exiting():
            super().startService()
        if self._output is not None:
            self._reactor.callWhenRunning(self._output.start)
            self._reactor.addSystemEventTrigger("after", "shutdown", self._output.finish)
        self._signals.start()
        self._collector.startService()
        if self._supervision is not None:
            self._supervision.start()

    def stopService(self) -> Any:
        """
        See L{GatewayService.stopService}.
        """
        if self._supervision is not None:
            self._supervision.stopping()
        return super().stopService().addCallback(self._stopped)

    def reload(self, configuration: Configuration | None = None) -> Deferred[Reloaded]:
        """
        See L{GatewayService.reload}.
        """
        if self._supervision is None:
            return super().reload(configuration)
        self._supervision.reloading()
        return super().reload(configuration).addBoth(self._supervision.reloaded)

    @contextmanager
    def _exiting(self) -> Iterator[None]:
        """
        Log an error that keeps the gateway from starting, and exit.
        """
        try:
            yield
        except PPTPGWError as error:
            for line in str(error).splitlines():
                self._log.critical("{why}", why=line)
            raise NotStarted(str(error)) from error

    def _stopped(self, _: object) -> None:
        self._signals.stop()
        # Sessions have been ending until now, with the collector's settings.
        self._collector.stopService()
        if self._supervision is not None:
            self._supervision.stop()

    def _ignored(self, name: str) -> None:
        self._log.warn(
            "{name} does nothing: SIGHUP reads the configuration again, SIGTERM ends the gateway",
            name=name,
        )

    def _end(self) -> None:
        """
        End the process, since the gateway is drained.
        """
        self._reactor.stop()

    def _readAgain(self) -> None:
        if self._options["config"] is None:
            self._log.warn("SIGHUP does nothing: there is no --config FILE to be read again")
            return
        # What went wrong stands in the log already.
        self.reload().addErrback(lambda failure: failure.trap(PPTPGWError))


def makeService(options: Options) -> GatewayService:
    """
    Make the service that C{options} describe.
    """
    from twisted.internet import reactor

    try:
        return CommandService(reactor, options)
    except PPTPGWError as error:
        sys.exit(str(error))
