"""
What to do about an attempt that failed: advice by the stage in which it failed, and the reason.

The reasons are texts of many modules, and of plugins. L{remedy} looks for words in them, and gives
no advice where it finds none that it knows.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pptpgw.interfaces import IAttempt, Outcome
from pptpgw.sessions.attempts import CALL

_AUTHENTICATION = "authentication"
_ACCOUNT = "limits"
_ADDRESSES = "addresses"
_ENCRYPTION = "CCP"


class Remedy(NamedTuple):
    """
    Advice for one kind of failure.

    @ivar stage: the stage that it is for; empty for all.
    @ivar pattern: a regular expression that is found in the reason.
    @ivar advice: what to do.
    """

    stage: str
    pattern: str
    advice: str


_RULES = (
    Remedy(
        "",
        "callers can't be judged or served|no verdict in time|can't be reached|no RADIUS server",
        "An outage: the gateway's log says which server or database doesn't answer.",
    ),
    Remedy(
        "",
        "isn't permitted, see .listen. clients",
        "Add the caller's network to [listen] clients.",
    ),
    Remedy(
        "",
        r"see \[(limits|listen)\] max-",
        "Raise the key that the reason names, if the callers are genuine (many may share "
        "one address behind a NAT).",
    ),
    Remedy(
        "",
        "see .limits. pap-clients",
        "Add the caller's network to [limits] pap-clients, or let the client authenticate "
        "by MS-CHAPv2.",
    ),
    Remedy(
        "",
        "gateway is drained",
        "'pptpgw undrain' lets callers in again.",
    ),
    Remedy(
        "",
        "gateway (is stopping|stops|shuts down)",
        "The client should dial again; calls that fail so once need nothing to be done.",
    ),
    Remedy(
        "",
        "newer call needs its place",
        "More calls came at once than [limits] max-setups allows. The client should dial "
        "again; calls that fail so once need nothing to be done.",
    ),
    Remedy(
        "",
        "is looped back",
        "The line returns what is sent: look for a loop in its wiring, or a modem that echoes.",
    ),
    Remedy(
        "",
        "^malformed|before the control connection was established",
        "What connects there doesn't speak PPTP: a port scan, or another program that has "
        "the wrong port.",
    ),
    Remedy(
        "",
        "no Start-Control-Connection-Request",
        "Something connected and said nothing: a monitor or a port scan. If it is a caller,"
        " something between it and the gateway holds its data back.",
    ),
    Remedy(
        "",
        "no call for",
        "The client connected and asked for no call. If it is a caller, its own log says why.",
    ),
    Remedy(
        "GRE",
        "",
        "Let IP protocol 47 (GRE) pass in both directions through every firewall between "
        "the caller and the gateway; TCP port 1723 alone isn't enough. A NAT needs its PPTP"
        " helper (Linux: nf_conntrack_pptp, nf_nat_pptp). tap/README.md has the rules.",
    ),
    Remedy(
        "line",
        "",
        "Does the other end speak PPP, and at the same speed? Does a log-in prompt come "
        "before PPP?",
    ),
    Remedy(
        "LCP",
        "no answer to our Configure-Requests",
        "Frames of the caller arrive, but it doesn't answer ours: do they reach it? "
        "Something between may let GRE pass in one direction only.",
    ),
    Remedy(
        "LCP",
        "proposes|refuses to authenticate|acceptable Configure-Request",
        "Let the client authenticate by a method of [link] authentication (MS-CHAPv2 by "
        "default), or permit there the one that it proposes. Methods without keys for MPPE "
        "need an encryption that isn't required.",
    ),
    Remedy(
        "LCP",
        "doesn't know|rejects",
        "The client's PPP lacks what every PPP needs: look into its log.",
    ),
    Remedy(
        "LCP",
        "peer terminated|cleared the call|^Connection (was|to)",
        "The client gave up: its own log says why. Often it wants another authentication "
        "protocol than [link] authentication permits.",
    ),
    Remedy(
        _AUTHENTICATION,
        "locked out",
        "'pptpgw lockouts' shows until when. Find the client that goes on with a wrong password.",
    ),
    Remedy(
        _AUTHENTICATION,
        "no such user or wrong password",
        "Check the name and the password that the client sends ('pptpgw test login' tries "
        "them here). An account that is disabled gets this answer too.",
    ),
    Remedy(
        _AUTHENTICATION,
        "password has expired|did not change its password",
        "Set a new password, or let the user change it: MS-CHAPv2 has a packet for that, "
        "which not all clients have.",
    ),
    Remedy(
        _AUTHENTICATION,
        "account is disabled",
        "Enable the account where it is kept.",
    ),
    Remedy(
        _AUTHENTICATION,
        "outside the hours|may not dial in",
        "The account forbids it, where it is kept.",
    ),
    Remedy(
        _AUTHENTICATION,
        "no checker here can verify",
        "The checkers in use can't judge this method: use another one in [link] "
        "authentication, or another checker.",
    ),
    Remedy(
        _AUTHENTICATION,
        "did not answer the|sent no name",
        "The client doesn't answer: has it a name and a password, or for EAP the method and"
        " its certificate? GRE may be lost on the way.",
    ),
    Remedy(
        _AUTHENTICATION,
        "EAP method|TLS|certificate",
        "Compare the client's EAP method and certificates with [eap]; [eap] ca must have "
        "the authority of the client's certificate, and the client that of ours.",
    ),
    Remedy(
        _AUTHENTICATION,
        "another name",
        "The client answers with several names: it may run several calls into one.",
    ),
    Remedy(
        _AUTHENTICATION,
        "peer terminated|cleared the call|^Connection (was|to)",
        "The client gave up while it was authenticated: it may not believe the gateway, or "
        "lack a password.",
    ),
    Remedy(
        _ACCOUNT,
        r"has \d+ sessions, and may have",
        "Another session of the user is up: 'pptpgw sessions' shows it. The account's "
        "sessions or [limits] max-sessions-per-user allows more, and [limits] per-user = "
        '"replace" lets the newest call win.',
    ),
    Remedy(
        _ACCOUNT,
        "in its hours only",
        "The account's hours forbid it now: change them, or call later.",
    ),
    Remedy(
        _ACCOUNT,
        "may not call from",
        "The account's sources don't have this address.",
    ),
    Remedy(
        _ADDRESSES,
        "used up|in use|is longer than",
        "No address is left: enlarge the pool (for IPv4 [ipv4] pool), or end sessions; "
        "'pptpgw pools' shows who holds what.",
    ),
    Remedy(
        _ADDRESSES,
        "no address pool",
        "The account names a pool that isn't configured: declare it, or change the account.",
    ),
    Remedy(
        _ADDRESSES,
        "no filter",
        "The account names a filter that isn't configured: declare it by "
        "[[network.filter]], or change the account.",
    ),
    Remedy(
        _ADDRESSES,
        "no network protocol is permitted",
        "The account's protocols have none of those that [network] protocols serves.",
    ),
    Remedy(
        _ENCRYPTION,
        "earns no keys",
        "Only MS-CHAP, MS-CHAPv2 and EAP-TLS earn keys for MPPE: let the client use one of "
        "them, or permit calls without encryption.",
    ),
    Remedy(
        _ENCRYPTION,
        "account allows no key length",
        "The account and [link] encryption-bits have no key length in common.",
    ),
    Remedy(
        _ENCRYPTION,
        "no common key length",
        "Permit a key length that the client has by [link] encryption-bits.",
    ),
    Remedy(
        _ENCRYPTION,
        "insists on stateful",
        "[link] encryption-stateful = true accepts it.",
    ),
    Remedy(
        _ENCRYPTION,
        "",
        "Let the client encrypt (Windows: 'Require encryption'; pppd: require-mppe-128), or"
        ' permit calls without encryption by [link] encryption = "prefer".',
    ),
    Remedy(
        "",
        "insists on",
        "The client has a fixed address of its own: let it take the one that the gateway "
        "gives, or give the account this address.",
    ),
    Remedy(
        "",
        r"receives \d+ octets, and IPv6 needs",
        "Raise the MRU of the client, or go without IPv6.",
    ),
    Remedy(
        "",
        "the peer doesn't know",
        "The client doesn't have this network protocol, or it is turned off there.",
    ),
    Remedy(
        "",
        "no network protocol opened within",
        "The call took too long: if its frames show repetitions, packets get lost; else "
        "[link] setup-timeout is too short for it.",
    ),
    Remedy(
        "",
        "Echo-Requests? |unanswered",
        "The client vanished without a word: it lost its network, or a NAT between forgot "
        "the call.",
    ),
    Remedy(
        "",
        "session was idle",
        "[limits] idle-timeout or the account's ends idle sessions.",
    ),
    Remedy(
        "",
        "session's time is over",
        "[limits] session-timeout or the account's ends it.",
    ),
    Remedy(
        "",
        "volume is used up",
        "[limits] volume or the account's ends it.",
    ),
    Remedy(
        "",
        "hours are over",
        "The account's hours end it.",
    ),
    Remedy(
        "",
        "takes its place",
        "A newer call of the same user replaced it.",
    ),
)


def remedy(attempt: IAttempt) -> str:
    """
    Return what to do about an attempt that failed, was refused or has ended; an empty text if there
    is nothing to be done, or nothing is known.
    """
    if attempt.outcome in (Outcome.SETTING_UP, Outcome.UP):
        return ""
    stage = attempt.going or ("" if attempt.outcome is Outcome.ENDED else CALL)
    for text in (reasonOf(attempt), attempt.cause):
        for rule in _RULES:
            if rule.stage in ("", stage) and re.search(rule.pattern, text):
                return rule.advice
    return ""


def reasonOf(attempt: IAttempt) -> str:
    """
    Return why an attempt failed, in words: the failure of its last stage tells more than its cause,
    which may only be that the peer hung up after it.
    """
    if attempt.outcome is Outcome.FAILED and attempt.stages and attempt.stages[-1].failure:
        return attempt.stages[-1].failure
    return attempt.cause
