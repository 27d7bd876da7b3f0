"""
IPsec beneath L2TP (RFC 3193), which an IKE daemon beside the gateway does: refusing what comes in
clear, and knowing the associations that peers come through.

The rules:

 - With C{clear = "refuse"} the kernel blocks datagrams to and from the port that IPsec doesn't
   protect, before the port is opened. So whatever arrives is protected.
 - With C{clear = "accept"} a peer is taken to be protected if strongSwan's daemon knows an
   association of its address and port when it asks for a call.
 - When associations of an address have ended for good, protected connections from there that have
   none left are closed.
"""

from __future__ import annotations

from collections.abc import Callable

from pptpgw.interfaces import ITunnelEnvironment
from pptpgw.ipsec.associations import Association
from pptpgw.ipsec.watch import AssociationWatch
from pptpgw.ports.cleartext import Cleartext, lackingPolicies
from pptpgw.tunnels.l2tp.carriage import Address

KEY = '[l2tp] clear = "refuse"'


class Protection:
    """
    What protects the datagrams of one tunnel.
    """

    def __init__(
        self,
        environment: ITunnelEnvironment,
        port: int,
        refuses: bool,
        gone: Callable[[str], object],
    ) -> None:
        """
        @param port: the UDP port.
        @param refuses: whether datagrams in clear are refused.
        @param gone: called with the address of peers some of whose associations have ended.
        """
        section = environment.environment.configuration.ipsec
        self._refuses = refuses
        self._isFollowed = refuses or section.isUsed
        self._cleartext = Cleartext(
            environment.reactor, port, environment.listen.addresses, KEY, not section.marks
        )
        self._watch = AssociationWatch(environment.reactor, section.socket, gone)

    @property
    def fault(self) -> str:
        """
        See L{pptpgw.interfaces.IHealth}.
        """
        return self._cleartext.fault

    def lacking(self) -> str:
        """
        Return why datagrams in clear can't be refused although they are to be; empty if nothing is
        seen.
        """
        why = lackingPolicies() if self._refuses else ""
        return why and f"{KEY}: {why}"

    def start(self) -> None:
        """
        Refuse datagrams in clear, or accept them, and follow the daemon's associations.

        @raise pptpgw.error.NotPermitted: datagrams in clear can't be refused; the text says why.
        """
        if self._refuses:
            self._cleartext.refuse()
        else:
            self._cleartext.accept()
        if self._isFollowed:
            self._watch.start()

    def stop(self) -> None:
        """
        Undo L{start}. Calling this again does nothing.
        """
        self._watch.stop()
        if self._refuses:
            self._cleartext.accept()

    def find(self, peer: Address) -> list[Association]:
        """
        Return the associations that datagrams from a peer may come through, the newest last.
        """
        return self._watch.find(*peer)

    def words(self, peer: Address) -> str:
        """
        Return in words what protects the datagrams of a peer; empty for nothing.
        """
        found = self.find(peer)
        if not found:
            return "IPsec" if self._refuses else ""
        shared = f" (or {len(found) - 1} more from there)" if len(found) > 1 else ""
        return f"IPsec {found[-1]}{shared}"
