"""
What to do about calls that fail.
"""

from __future__ import annotations

from enum import Enum


class Remedy(Enum):
    """
    What to do about a call that failed, was refused or has ended. The value is the advice.

    What raises or makes the reason names the remedy (L{pptpgw.error.Refused.remedy},
    L{pptpgw.sessions.cause.Cause.remedy}). Reasons of some categories, and the end of calls in some
    stages, have a remedy without that.
    """

    # Before a call.

    CLIENTS = "Add the caller's network to [listen] clients."
    LIMIT = (
        "Raise the key that the reason names, if the callers are genuine (many may share one "
        "address behind a NAT)."
    )
    PAP_CLIENTS = (
        "Add the caller's network to [limits] pap-clients, or let the client authenticate by "
        "MS-CHAPv2."
    )
    DRAINED = "'pptpgw undrain' lets callers in again."
    STOPPING = "The client should dial again; calls that fail so once need nothing to be done."
    DISPLACED = (
        "More calls came at once than [limits] max-setups allows. The client should dial again; "
        "calls that fail so once need nothing to be done."
    )
    NOT_PPTP = (
        "What connects there doesn't speak PPTP: a port scan, or another program that has the "
        "wrong port."
    )
    NOTHING_SAID = (
        "Something connected and said nothing: a monitor or a port scan. If it is a caller, "
        "something between it and the gateway holds its data back."
    )
    SECRET = (
        "Compare the secret of the tunnel at both ends, and the name by which the peer introduces "
        "itself."
    )
    NOT_A_CONCENTRATOR = (
        "An access concentrator (PAC) offered a call of somebody who dialled into it. If it is "
        "yours, add its address to [pptp] access-concentrators."
    )
    NO_CALL = "The client connected and asked for no call. If it is a caller, its own log says why."

    # The carrier and LCP.

    GRE = (
        "Let IP protocol 47 (GRE) pass in both directions through every firewall between the "
        "caller and the gateway; TCP port 1723 alone isn't enough. A NAT needs its PPTP helper "
        "(Linux: nf_conntrack_pptp, nf_nat_pptp). tap/README.md has the rules."
    )
    LINE = (
        "Does the other end speak PPP, and at the same speed? Does a log-in prompt come before PPP?"
    )
    ONE_WAY = (
        "Frames of the caller arrive, but it doesn't answer ours: do they reach it? Something "
        "between may let packets (of GRE, with PPTP) pass in one direction only."
    )
    METHOD = (
        "Let the client authenticate by a method of [link] authentication (MS-CHAPv2 by default), "
        "or permit there the one that it proposes. Methods without keys for MPPE need an "
        "encryption that isn't required."
    )
    NO_PPP = "The client's PPP lacks what every PPP needs: look into its log."
    GAVE_UP = (
        "The client gave up: its own log says why. Often it wants another authentication protocol "
        "than [link] authentication permits."
    )

    # Authentication.

    OUTAGE = (
        "An outage: the gateway's log says which server, database or part of the gateway doesn't "
        "work."
    )
    PASSWORD = (
        "Check the name and the password that the client sends ('pptpgw test login' tries them "
        "here). An account that is disabled gets this answer too."
    )
    LOCKOUT = (
        "'pptpgw lockouts' shows until when. Find the client that goes on with a wrong password."
    )
    EXPIRED = (
        "Set a new password, or let the user change it: MS-CHAPv2 has a packet for that, which not "
        "all clients have."
    )
    ACCOUNT = "The account forbids it, where it is kept."
    CHECKER = (
        "The checkers in use can't judge this method: use another one in [link] authentication, or "
        "another checker."
    )
    NO_ANSWER = (
        "The client doesn't answer: has it a name and a password, or for EAP the method and its "
        "certificate? Its packets may be lost on the way (those of GRE, with PPTP)."
    )
    EAP = (
        "Compare the client's EAP method and certificates with [eap]; [eap] ca must have the "
        "authority of the client's certificate, and the client that of ours."
    )
    UNBELIEVED = (
        "The client gave up while it was authenticated: it may not believe the gateway, or lack a "
        "password."
    )

    BINDING = (
        "Somebody between ends the caller's TLS and begins it anew: an attacker, or a proxy of "
        "yours, for which [sstp] has tls and certificate. 'pptpgw test call sstp:HOST "
        "--fingerprint DIGITS' in the caller's network tells which certificate it is shown there. "
        "Only if the MAC alone is wrong, the client may make its key in another way: look for a "
        "newer one."
    )

    NOT_BELIEVED = (
        "Of a call that this gateway dials: compare user and password-file in [[dial]] with the "
        "account at the other end, whose log says more. It is tried again after retry-max."
    )

    # What the account allows.

    SESSIONS = (
        "Another session of the user is up: 'pptpgw sessions' shows it. The account's sessions or "
        '[limits] max-sessions-per-user allows more, and [limits] per-user = "replace" lets the '
        "newest call win."
    )
    HOURS = "The account's hours forbid it now: change them, or call later."
    SOURCES = "The account's sources don't have this address."
    TUNNEL = (
        "The account's tunnels don't have the one that the call came by: set the client up for one "
        "of those, or permit this one ('pptpgw user set NAME --tunnels')."
    )
    ADDRESSES = (
        "No address is left: enlarge the pool (for IPv4 [ipv4] pool), or end sessions; "
        "'pptpgw pools' shows who holds what."
    )
    POOL = "The account names a pool that isn't configured: declare it, or change the account."
    FILTER = (
        "The account names a filter that isn't configured: declare it by [[network.filter]], or "
        "change the account."
    )
    DESTINATION = (
        "No such end is known, or no tunnel that leads there: see [[forwarding.destination]], "
        "[listen] tunnels and, for RADIUS, Tunnel-Type."
    )
    UNAPPLIED = (
        "Where PPP ends elsewhere, only that end can filter, shape or demand encryption: remove it "
        "from the account, or don't pass the account's calls on."
    )
    BOUND = (
        "SSTP is bound to the authentication at this gateway: the destination needs authenticated "
        "= true, and its end must take what callers have claimed here and know their passwords. An "
        "LNS of ours takes it if we have a secret of our own with it."
    )
    NOT_PASSED = (
        "The gateway's log says what each end did: is it up, reachable by this tunnel, and the "
        "secret the same?"
    )
    LINKS = "The client places more calls for one session (multilink) than [limits] max-links says."
    PROTOCOLS = "The account's protocols have none of those that [network] protocols serves."

    # Encryption and networks.

    NO_KEYS = (
        "Only MS-CHAP, MS-CHAPv2 and EAP-TLS earn keys for MPPE: let the client use one of them, "
        "or permit calls without encryption."
    )
    NO_BITS = "The account and [link] encryption-bits have no key length in common."
    BITS = "Permit a key length that the client has by [link] encryption-bits."
    STATEFUL = "[link] encryption-stateful = true accepts it."
    ENCRYPTION = (
        "Let the client encrypt (Windows: 'Require encryption'; pppd: require-mppe-128), or permit "
        'calls without encryption by [link] encryption = "prefer".'
    )
    FIXED = (
        "The client has a fixed address of its own: let it take the one that the gateway gives, or "
        "give the account this address."
    )
    MRU = "Raise the MRU of the client, or go without IPv6."
    NO_NETWORK = "The client doesn't have this network protocol, or it is turned off there."
    SLOW = (
        "The call took too long: if its frames show repetitions, packets get lost; else [link] "
        "setup-timeout is too short for it."
    )

    # Sessions that have ended.

    VANISHED = (
        "The client vanished without a word: it lost its network, or a NAT between forgot the call."
    )
    QUALITY = (
        "Too many packets get lost on the way: 'pptpgw session show' has the losses of each "
        "direction, [link] quality-loss the limit."
    )
    IDLE = "[limits] idle-timeout or the account's ends idle sessions."
    TIME = "[limits] session-timeout or the account's ends it."
    VOLUME = "[limits] volume or the account's ends it."
    HOURS_OVER = "The account's hours end it."
    REPLACED = "A newer call of the same user replaced it."
