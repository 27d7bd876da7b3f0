"""
What callers are offered: the settings of links to come, by the tunnel that a call comes by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from pptpgw.error import Category, Refused
from pptpgw.interfaces import IAuthenticationProtocol, ICall
from pptpgw.ppp.settings import LinkSettings
from pptpgw.ppp.wire.ppp import PAP
from pptpgw.sessions.remedy import Remedy

_NOTHING: Mapping[str, LinkSettings] = MappingProxyType({})


class Offers:
    """
    The settings of links to come. Links whose calls don't differ share one value.

    @ivar general: the settings for calls by a tunnel whose section changes nothing.
    @ivar tunnels: those for calls by the other tunnels, by the names of the tunnels.
    """

    __slots__ = ("_made", "general", "tunnels")

    def __init__(
        self, general: LinkSettings, tunnels: Mapping[str, LinkSettings] = _NOTHING
    ) -> None:
        self.general = general
        self.tunnels = tunnels
        self._made: dict[tuple[str, bool, int | None, bool], LinkSettings] = {}

    def methods(self) -> Iterator[IAuthenticationProtocol]:
        """
        Iterate over the authentication protocols that some callers are offered.
        """
        for settings in (self.general, *self.tunnels.values()):
            yield from settings.methods

    def settingsFor(self, call: ICall, permitsPAP: bool) -> LinkSettings:
        """
        Return the settings of the link of C{call}.

        @param permitsPAP: whether the caller may be offered PAP.
        @raise Refused: a caller must authenticate, but there is no protocol that this one may be
            offered.
        """
        name = call.tunnel.name if call.tunnel.name in self.tunnels else ""
        key = name, call.encrypted, call.accm, permitsPAP
        settings = self._made.get(key)
        if settings is None:
            settings = self._make(*key)
            self._made[key] = settings
        return settings

    def _make(
        self, tunnel: str, encrypted: bool, accm: int | None, permitsPAP: bool
    ) -> LinkSettings:
        section = tunnel or "link"
        given = replace(self.tunnels.get(tunnel, self.general), encrypted=encrypted, accm=accm)
        settings = given
        if not permitsPAP:
            methods = tuple(one for one in given.methods if one.number != PAP)
            settings = replace(given, methods=methods)
        # A link without a method would let in everybody.
        if given.methods and not given.usableMethods:
            raise Refused(
                f"MPPE is required of this call, and no method of [{section}] authentication earns "
                "keys for it",
                category=Category.FORBIDDEN,
                remedy=Remedy.NO_KEYS,
            )
        if given.methods and not settings.usableMethods:
            raise Refused(
                "only PAP is permitted, but not from there, see [limits] pap-clients",
                category=Category.FORBIDDEN,
                remedy=Remedy.PAP_CLIENTS,
            )
        return settings
