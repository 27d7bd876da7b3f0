"""
C{pptpgw ppp}: PPP on one line, as the end that answers or as the end that dials.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

from twisted.cred.strcred import AuthOptionMixin
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.stdio import StandardIO
from twisted.logger import globalLogBeginner
from twisted.python import usage

from pptpgw import tap
from pptpgw.auth.chain import configuredCheckers
from pptpgw.clock import steady
from pptpgw.command.base import optionsFirst
from pptpgw.config import discovery
from pptpgw.config.configuration import Configuration
from pptpgw.config.secrecy import readPassword
from pptpgw.config.section import NetworkSection, strongestFirst
from pptpgw.counting.counters import Counters
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError, NotPermitted, PPTPGWError
from pptpgw.interfaces import IAuthenticationProtocol
from pptpgw.log import Logger
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ports.device import Device
from pptpgw.ports.logoutput import lines, standardError
from pptpgw.ports.signals import Signals
from pptpgw.ports.terminal import onInterrupt, outliveReader, rawInput
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.service import GatewayService
from pptpgw.sessions.observer import SessionObserver
from pptpgw.tunnels.hdlc.chat import Step, parseChat
from pptpgw.tunnels.hdlc.client import ChatEndpoint, HDLCClientFactory
from pptpgw.tunnels.hdlc.port import PseudoterminalPort
from pptpgw.tunnels.hdlc.tunnel import ILines
from pptpgw.tunnels.hdlc.tunnel import factory as hdlc

EVERYWHERE = IPv4Network("0.0.0.0/0")
"""
The networks that the other end may send from when we dial: all.
"""

INTERFACE = "pptp%d"
"""
The name of the TUN device if the configuration doesn't name one. The kernel replaces C{%d} with the
first free number, so that several lines can be served at a time.
"""


class PPP(tap.Options):
    """
    The command line of C{pptpgw ppp}.
    """

    synopsis = "[ENDPOINT] [--config FILE] (--auth SPEC ... | --dial [--user NAME ...])"
    longdesc = (
        "Run PPP on a line. Without --dial it answers, as the gateway does, with the checkers of "
        "--auth and the configuration. Without ENDPOINT the line is standard input and output, as "
        'in pppd pty "pptpgw ppp --config FILE --auth SPEC", and there is one call. ENDPOINT is '
        "one of Twisted's endpoint strings, such as tcp:2000, unix:/run/ppp.sock or "
        "serial:/dev/ttyS0:115200. With --dial it calls, and gives a TUN device the address that "
        "it gets and a route to the other end; other routes must be added by hand. The exit "
        "status is 0 after a session, 1 if there was none, 2 if the command line is wrong. The "
        "log goes to standard error."
    )
    optParameters = [
        ["user", "u", None, "With --dial: the name to log in with."],
        ["password-file", None, None, "With --dial: a file with the password, one line."],
        [
            "chat",
            None,
            None,
            "With --dial: a chat script to run first, as in \"ABORT BUSY '' ATDT5551234 CONNECT\".",
        ],
    ]
    optFlags = [
        ["pty", None, "Make a pseudoterminal, print its path, and use it as the line."],
        ["dial", None, "Be the end that calls, not the one that answers."],
    ]

    _log = Logger()

    def __init__(self) -> None:
        super().__init__()
        self.endpoint = ""
        self._password = b""
        self._script: tuple[Step, ...] = ()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the words of the command line.

        @raise usage.UsageError: the words are wrong.
        """
        usage.Options.parseOptions(self, optionsFirst(self, options or ()))

    def parseArgs(self, *endpoints: str) -> None:
        """
        Take the endpoint of the line, if one is given.
        """
        if len(endpoints) > 1:
            raise usage.UsageError(f"one endpoint at most, not {len(endpoints)}")
        self.endpoint = "".join(endpoints)

    def postOptions(self) -> None:
        """
        Read the configuration and the password.

        @raise pptpgw.error.ConfigurationError: the configuration or the password can't be used.
        """
        if self["pty"] and self.endpoint:
            raise usage.UsageError("either --pty or an endpoint, not both")
        self.configuration = self._adapted(self.load())
        if self["dial"]:
            if "auth" in self:
                raise usage.UsageError("--auth is for the end that answers, not for --dial")
            if (self["user"] is None) != (self["password-file"] is None):
                raise usage.UsageError("--user and --password-file go together")
            if self["chat"] is not None and not self.endpoint:
                raise usage.UsageError("--chat is for an endpoint: a serial line, for example")
            self._script = parseChat(self["chat"] or "")
        else:
            for option in ("user", "password-file", "chat"):
                if self[option] is not None:
                    raise usage.UsageError(f"--{option} is for --dial")
            if "auth" not in self:
                for checker in configuredCheckers(self.configuration):
                    AuthOptionMixin.addChecker(self, checker)
            if not self.checkers:
                raise usage.UsageError(
                    "nobody could log in: name at least one --auth, as in "
                    "--auth chap-secrets:/etc/ppp/chap-secrets, or [auth] checkers in the "
                    "configuration; or --dial"
                )
        if self["password-file"] is not None:
            self._password = readPassword(self["password-file"])

    async def run(self, reactor: Any) -> int:
        """
        Run PPP on the line until the call ends or a signal comes.

        @return: the exit status.
        @raise pptpgw.error.PPTPGWError: the line can't be run; the text says why.
        """
        reactor = steady(reactor)
        if self["check-config"]:
            return self._check(reactor)
        output = lines(standardError())
        globalLogBeginner.beginLoggingTo([output], redirectStandardIO=False)
        output.start()
        outliveReader()
        statuses: list[int] = []
        work = self._dial(reactor) if self["dial"] else self._answer(reactor)
        working: Deferred[int] = Deferred.fromCoroutine(work)

        def interrupt(status: int) -> None:
            statuses.append(status)
            working.cancel()

        terminal = rawInput() if self._isStandard else nullcontext()
        # SIGHUP is sent when the terminal is closed.
        signals = Signals(reactor, {"SIGHUP": partial(interrupt, 128 + 1)})
        signals.start()
        try:
            with onInterrupt(lambda status: reactor.callFromThread(interrupt, status)), terminal:
                return await working
        except CancelledError:
            return statuses[0]
        except NotPermitted as error:
            raise NotPermitted(
                f"{error}. By that interface IP packets of the line reach the kernel"
            ) from error
        finally:
            signals.stop()
            output.finish()

    @property
    def _isStandard(self) -> bool:
        """
        Return whether the line is standard input and output.
        """
        return not self.endpoint and not self["pty"]

    def _adapted(self, configuration: Configuration) -> Configuration:
        """
        Return C{configuration}, changed so that it serves this line alone.
        """
        endpoints = ("pty:",) if self["pty"] else (self.endpoint,) if self.endpoint else ()
        settings = replace(configuration.section(hdlc), endpoints=endpoints)
        network = configuration.network
        if network.interface == NetworkSection().interface and not network.masquerade:
            network = replace(network, interface=INTERFACE)
        listen = replace(configuration.listen, tunnels=(hdlc.name,))
        if self["pty"] or self._isStandard:
            # A pseudoterminal, or standard input and output, carries one call at a time.
            listen = replace(listen, maxConnections=1)
        return replace(
            configuration,
            listen=listen,
            network=network,
            sections={**configuration.sections, hdlc.name: settings},
        )

    def _check(self, reactor: Any) -> int:
        """
        Report whether the configuration can be used, and return the exit status.
        """
        source, lacking = self["config"] or "the default configuration", []
        if not self["dial"]:
            lacking = GatewayService(reactor, self.configuration, self.checkers).lacking()
        for fault in lacking:
            print(f"{source}: {fault}", file=sys.stderr)
        if not lacking:
            print(f"{source}: fine")
        return 1 if lacking else 0

    # The end that answers

    async def _answer(self, reactor: Any) -> int:
        """
        Answer until interrupted, or until the one call on standard input and output has ended.
        """
        sessions = SessionCounter()
        service = GatewayService(reactor, self.configuration, self.checkers, [sessions])
        service.privilegedStartService()
        service.startService()
        try:
            tunnel = service.tunnels[hdlc.name]
            if self._isStandard:
                factory = ILines(tunnel).factory
                StandardIO(factory.buildProtocol(None), reactor=reactor)
                await factory.entrance.whenEmpty()
            else:
                if self["pty"]:
                    print(*tunnel.places, flush=True)
                await Deferred()
        finally:
            await service.stopService()
        return 0 if sessions.count else 1

    # The end that dials

    async def _dial(self, reactor: Any) -> int:
        """
        Call, and wait for the end of the call. Return the exit status.
        """
        configuration, link = self.configuration, self.configuration.link
        device = Device(reactor, configuration.network.interface, link.mru, Counters())
        dataPath = PythonDataPath(reactor, device, configuration.network.mssClamp)
        ipv4 = IPCP(IPv4Settings(addresses=(EVERYWHERE,), mtu=link.mru, requestDNS=True))
        call = ClientCall(reactor, dataPath, self._linkSettings(), [ipv4])
        factory = HDLCClientFactory(reactor, call, configuration.section(hdlc).accm)
        device.start()
        try:
            port = await self._connected(reactor, factory)
            try:
                await call.opened
                self._configure(device, ipv4)
                method = call.link.method
                self._log.info(
                    "connected: {authentication}, {encryption}, local address {local}, remote "
                    "{remote}, name servers {dns}, interface {interface}",
                    authentication=method.name if method is not None else "no authentication",
                    encryption=call.link.encryption,
                    local=ipv4.localAddress,
                    remote=ipv4.peerAddress or "unknown",
                    dns=", ".join(ipv4.dns) or "none",
                    interface=device.name,
                )
                cause = await call.ended
                self._log.info("the call is over: {cause}", cause=cause)
            finally:
                call.hangUp("interrupted")
                await factory.whenDisconnected()
                if port is not None:
                    port.stopListening()
        finally:
            device.stop()
        return 0

    def _linkSettings(self) -> LinkSettings:
        """
        Return the settings of the link when we are the end that calls.
        """
        link, user = self.configuration.link, self["user"]
        identity = None
        if user is not None:
            found = discovery.choose(IAuthenticationProtocol, link.authentication).values()
            methods = strongestFirst(found)
            identity = Identity(user.encode(), self._password, methods)
        return LinkSettings(
            identity=identity,
            encryption=link.encryption,
            bits=link.encryptionBits,
            stateful=link.encryptionStateful,
            mru=link.mru,
            echoInterval=link.echoInterval,
            echoFailures=link.echoFailures,
            setupTimeout=link.setupTimeout,
            accm=self.configuration.section(hdlc).accm,
        )

    async def _connected(self, reactor: Any, factory: HDLCClientFactory) -> IListeningPort | None:
        """
        Connect the line to the protocol that C{factory} makes.

        @return: the listening port of a pseudoterminal, which must be closed afterwards; None for
            other lines.
        @raise CallError: the line can't be connected.
        """
        if self._isStandard:
            StandardIO(factory.buildProtocol(None), reactor=reactor)
            return None
        try:
            if self["pty"]:
                port = PseudoterminalPort(reactor, factory)
                port.startListening()
                print(port.getHost().name, flush=True)
                return port
            endpoint = clientFromString(reactor, self.endpoint)
            if self._script:
                endpoint = ChatEndpoint(reactor, endpoint, self._script)
            await endpoint.connect(factory)
        except PPTPGWError:
            raise
        except Exception as error:
            raise CallError(f"{self.endpoint or 'pty'}: {error}") from error
        return None

    def _configure(self, device: Device, ipv4: IPCP) -> None:
        """
        Give the device the address that IPCP has negotiated, and a route to the other end.
        """
        device.kernel.addAddress(IPv4Interface(ipv4.localAddress))
        if ipv4.peerAddress is not None:
            device.kernel.addRoute(IPv4Network(ipv4.peerAddress))


class SessionCounter(SessionObserver):
    """
    An observer that counts the sessions that have started.
    """

    def __init__(self) -> None:
        self.count = 0

    def sessionStarted(self, session: object) -> None:
        """
        See L{pptpgw.interfaces.ISessionObserver.sessionStarted}: count the session.
        """
        self.count += 1
