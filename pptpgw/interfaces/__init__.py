"""
The interfaces that plugins implement or are given, one module for each kind of plugin.

The values that cross these interfaces, such as L{TunnelKind}, L{Attachment} and L{Claim}, are
defined here too. All names can be imported from this package. Base classes for plugins are in other
modules, such as L{pptpgw.networks.protocol} and L{pptpgw.sessions.observer}.
"""

from __future__ import annotations

from pptpgw.interfaces.attempt import (
    AttemptEvent,
    Ending,
    Frame,
    IAttempt,
    IAttempts,
    IFollowing,
    Outcome,
    Stage,
)
from pptpgw.interfaces.authentication import (
    Claim,
    Grant,
    IAuthenticationProtocol,
    IAuthenticatorExchange,
    IConfiguredProtocol,
    IExchange,
    IPeerResults,
    ISubscriber,
    IVerdicts,
)
from pptpgw.interfaces.caller import Caller, TunnelKind
from pptpgw.interfaces.channel import IChannel, IChannelOwner, IFrameSender
from pptpgw.interfaces.checker import (
    ICertifiedName,
    IChangedPassword,
    IClaimCredentials,
    IConfigurable,
    IEAPCredentials,
)
from pptpgw.interfaces.client import IPacketProtocol, IPacketTransport
from pptpgw.interfaces.datapath import IDataPath, IDataPathFactory, IKernelInterface
from pptpgw.interfaces.eap import EAPClaim, IEAPConversation, IEAPMethod, IEAPPeer
from pptpgw.interfaces.environment import IEnvironment
from pptpgw.interfaces.keys import IKeys, MPPEParameters
from pptpgw.interfaces.network import (
    Attachment,
    Attachments,
    IAddressedProtocol,
    IDetachable,
    INetwork,
    INetworkDeclarer,
    INetworkFactory,
    INetworkLink,
    INetworkProtocol,
    IPacketService,
    IPacketSession,
    IReadableNetwork,
    IReserving,
    ISessionFiles,
)
from pptpgw.interfaces.observer import ISessionObserverFactory
from pptpgw.interfaces.part import IHealth, IPreparable, IReloadable
from pptpgw.interfaces.pool import (
    DEFAULT_POOL,
    IAddressPool,
    IAddressPoolFactory,
    IAddressPools,
    ICountedPools,
    PoolFigures,
    PoolRanges,
)
from pptpgw.interfaces.service import (
    Change,
    Drain,
    Effect,
    IGatewayService,
    IOperatorObserver,
    IServiceObserver,
    Operated,
    Reloaded,
    ReloadOutcome,
)
from pptpgw.interfaces.session import ISession, ISessionObserver, ISessions
from pptpgw.interfaces.tunnel import (
    ICall,
    ICallOwner,
    ICallTaker,
    IChannelHost,
    IStagedCall,
    ITunnel,
    ITunnelEnvironment,
    ITunnelFactory,
    Refusal,
)

__all__ = [
    "DEFAULT_POOL",
    "Attachment",
    "Attachments",
    "AttemptEvent",
    "Caller",
    "Change",
    "Claim",
    "Drain",
    "EAPClaim",
    "Effect",
    "Ending",
    "Frame",
    "Grant",
    "IAddressPool",
    "IAddressPoolFactory",
    "IAddressPools",
    "IAddressedProtocol",
    "IAttempt",
    "IAttempts",
    "IAuthenticationProtocol",
    "IAuthenticatorExchange",
    "ICall",
    "ICallOwner",
    "ICallTaker",
    "ICertifiedName",
    "IChangedPassword",
    "IChannel",
    "IChannelHost",
    "IChannelOwner",
    "IClaimCredentials",
    "IConfigurable",
    "IConfiguredProtocol",
    "ICountedPools",
    "IDataPath",
    "IDataPathFactory",
    "IDetachable",
    "IEAPConversation",
    "IEAPCredentials",
    "IEAPMethod",
    "IEAPPeer",
    "IEnvironment",
    "IExchange",
    "IFollowing",
    "IFrameSender",
    "IGatewayService",
    "IHealth",
    "IKernelInterface",
    "IKeys",
    "INetwork",
    "INetworkDeclarer",
    "INetworkFactory",
    "INetworkLink",
    "INetworkProtocol",
    "IOperatorObserver",
    "IPacketProtocol",
    "IPacketService",
    "IPacketSession",
    "IPacketTransport",
    "IPeerResults",
    "IPreparable",
    "IReadableNetwork",
    "IReloadable",
    "IReserving",
    "IServiceObserver",
    "ISession",
    "ISessionFiles",
    "ISessionObserver",
    "ISessionObserverFactory",
    "ISessions",
    "IStagedCall",
    "ISubscriber",
    "ITunnel",
    "ITunnelEnvironment",
    "ITunnelFactory",
    "IVerdicts",
    "MPPEParameters",
    "Operated",
    "Outcome",
    "PoolFigures",
    "PoolRanges",
    "Refusal",
    "ReloadOutcome",
    "Reloaded",
    "Stage",
    "TunnelKind",
]
