"""
C{pptpgw ppp}: PPP on one line, as the end that answers or as the end that dials.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import click
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.stdio import StandardIO
from twisted.logger import globalLogBeginner

from pptpgw.auth.judging import settingsOf
from pptpgw.clock import steady
from pptpgw.command.gateway import NOBODY, GatewayOptions, gatewayed
from pptpgw.command.parsing import command, one, refuse
from pptpgw.config import discovery
from pptpgw.config.configuration import Configuration
from pptpgw.config.secrecy import readSecret
from pptpgw.config.section import NetworkSection, strongestFirst
from pptpgw.counting.counters import Counters
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError, NotPermitted, PPTPGWError
from pptpgw.interfaces import IAuthenticationProtocol
from pptpgw.log import Logger
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv4.plugin import factory as ipv4Factory
from pptpgw.ports.device import Device
from pptpgw.ports.logoutput import lines, standardError
from pptpgw.ports.signals import Signals
from pptpgw.ports.terminal import onInterrupt, rawInput
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


@command(
    "ppp",
    "Run PPP on a line: standard input and output, a serial line.",
    "Without --dial it answers, as the gateway does, with the checkers of --auth and the "
    "configuration. Without ENDPOINT the line is standard input and output, as in pppd pty "
    '"pptpgw ppp --config FILE --auth SPEC", and there is one call. ENDPOINT is one of Twisted\'s '
    "endpoint strings, such as tcp:2000, unix:/run/ppp.sock or serial:/dev/ttyS0:115200. With "
    "--dial it calls, and gives a TUN device the address that it gets, with that of the other end; "
    "routes must be added by hand. The exit status is 0 after a session, 1 if there was none. The "
    "log goes to standard error.",
)
@one("ENDPOINT", needed=False)
@gatewayed
@click.option("--check-config", is_flag=True, help="Check whether it could start, and exit.")
@click.option("--dial", is_flag=True, help="Be the end that calls, not the one that answers.")
@click.option("--user", "-u", metavar="NAME", help="With --dial: the name to log in with.")
@click.option(
    "--password-file", metavar="FILE", help="With --dial: a file with the password, one line."
)
@click.option(
    "--address",
    metavar="OWN[:OTHER]",
    help="With --dial: the address to ask for, and the one that the other end is to have.",
)
@click.option(
    "--chat",
    metavar="SCRIPT",
    help="With --dial: a chat script to run first, as in \"ABORT BUSY '' ATDT5551234 CONNECT\".",
)
@click.option(
    "--pty", is_flag=True, help="Make a pseudoterminal, print its path, and use it as the line."
)
async def ppp(
    reactor: Any, words: Sequence[str], endpoint: str | None, check_config: bool, **given: Any
) -> int:
    """
    C{pptpgw ppp}: run PPP on one line, or with C{--check-config} say whether it could be run.

    @param given: the other keyword arguments of L{PPP}.
    @return: the exit status, 0 after a session.
    """
    line = PPP(words, endpoint or "", **given)
    return line.check(reactor) if check_config else await line.run(reactor)


class PPP:
    """
    PPP on one line: the end that answers, a gateway with this line alone, or the end that dials.
    """

    _log = Logger()

    def __init__(
        self,
        words: Sequence[str],
        endpoint: str,
        *,
        dial: bool,
        user: str | None,
        password_file: str | None,
        address: str | None,
        chat: str | None,
        pty: bool,
    ) -> None:
        """
        @param words: the options of C{twistd pptpgw} that were given.
        @param endpoint: the endpoint of the line; empty for a pseudoterminal, or for standard input
            and output.
        @raise click.UsageError: the options don't go together.
        @raise pptpgw.error.PPTPGWError: the configuration or the password can't be used.
        """
        if pty and endpoint:
            refuse("either --pty or an endpoint, not both")
        self.endpoint = endpoint
        self._dials, self._user, self._pty = dial, user, pty
        self._options = GatewayOptions()
        self._options.parseOptions(words)
        self.configuration = self._adapted(self._options.load())
        if dial:
            if "auth" in self._options:
                refuse("--auth is for the end that answers, not for --dial")
            if (user is None) != (password_file is None):
                refuse("--user and --password-file go together")
            if chat is not None and not endpoint:
                refuse("--chat is for an endpoint: a serial line, for example")
        else:
            given = {"user": user, "password-file": password_file}
            given |= {"address": address, "chat": chat}
            for option, value in given.items():
                if value is not None:
                    refuse(f"--{option} is for --dial")
            self._options.addConfigured(self.configuration)
            if not self._options.checkers:
                refuse(f"{NOBODY}; or --dial")
        self._own, self._other = _addresses(address)
        self._script: tuple[Step, ...] = parseChat(chat or "")
        self._password = b"" if password_file is None else readSecret(password_file)

    async def run(self, reactor: Any) -> int:
        """
        Run PPP on the line until the call ends or a signal comes.

        @return: the exit status.
        @raise pptpgw.error.PPTPGWError: the line can't be run; the text says why.
        """
        reactor = steady(reactor)
        output = lines(standardError())
        globalLogBeginner.beginLoggingTo([output], redirectStandardIO=False)
        output.start()
        statuses: list[int] = []
        work = self._dial(reactor) if self._dials else self._answer(reactor)
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
        return not self.endpoint and not self._pty

    def _adapted(self, configuration: Configuration) -> Configuration:
        """
        Return C{configuration}, changed so that it serves this line alone.
        """
        endpoints = ("pty:",) if self._pty else (self.endpoint,) if self.endpoint else ()
        settings = replace(configuration.section(hdlc), endpoints=endpoints)
        network = configuration.network
        if network.interface == NetworkSection().interface and not network.masquerade:
            network = replace(network, interface=INTERFACE)
        listen = replace(configuration.listen, tunnels=(hdlc.name,))
        if self._pty or self._isStandard:
            # A pseudoterminal, or standard input and output, carries one call at a time.
            listen = replace(listen, maxConnections=1)
        return replace(
            configuration,
            listen=listen,
            network=network,
            sections={**configuration.sections, hdlc.name: settings},
        )

    def check(self, reactor: Any) -> int:
        """
        Report whether the line could be run, without opening it.

        @return: the exit status, 1 if something is lacking.
        """
        source, lacking = self._options["config"] or "the default configuration", []
        if not self._dials:
            service = GatewayService(reactor, self.configuration, self._options.checkers)
            lacking = service.lacking()
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
        service = GatewayService(reactor, self.configuration, self._options.checkers, [sessions])
        service.privilegedStartService()
        service.startService()
        try:
            tunnel = service.tunnels[hdlc.name]
            if self._isStandard:
                factory = ILines(tunnel).factory
                StandardIO(factory.buildProtocol(None), reactor=reactor)
                await factory.entrance.whenEmpty()
            else:
                if self._pty:
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
        compresses = configuration.section(ipv4Factory).headerCompression == "vj"
        ipv4 = IPCP(
            IPv4Settings(
                localAddress=self._own,
                peerAddress=self._other,
                addresses=(EVERYWHERE,),
                mtu=link.mru,
                requestDNS=True,
                yields=True,
                compressHeaders=compresses,
            )
        )
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
        link, user = self.configuration.link, self._user
        identity = None
        if user is not None:
            found = discovery.choose(IAuthenticationProtocol, link.authentication).values()
            methods = strongestFirst(found)
            identity = Identity(user.encode(), self._password, methods)
        accm = self.configuration.section(hdlc).accm
        return replace(settingsOf(link), identity=identity, accm=accm)

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
            if self._pty:
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
        Give the device the addresses of both ends as IPCP has negotiated them, and an MTU that the
        other end can receive.
        """
        device.kernel.setMTU(ipv4.attachment().mtu)
        peer = None if ipv4.peerAddress is None else IPv4Address(ipv4.peerAddress)
        device.kernel.addAddress(IPv4Interface(ipv4.localAddress), peer)


def _addresses(given: str | None) -> tuple[str, str | None]:
    """
    Read the option C{--address}.

    @return: our address, 0.0.0.0 to be given one; and that of the other end, None for any.
    """
    own, _, other = (given or "0.0.0.0").partition(":")
    try:
        return str(IPv4Address(own)), str(IPv4Address(other)) if other else None
    except AddressValueError as error:
        refuse(f"--address {given}: {error}")


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
