"""
The plugins for the declarations that come with the gateway (C{protocols.toml}), as entry points
name them.
"""

from __future__ import annotations

from pptpgw.networks.generic.catalogue import shipped
from pptpgw.networks.generic.plugin import GenericFactory


def _factory(name: str) -> GenericFactory:
    return GenericFactory(shipped()[name])


appletalk = _factory("appletalk")
decnet = _factory("decnet")
netbios = _factory("netbios")
osi = _factory("osi")
vines = _factory("vines")
xns = _factory("xns")
