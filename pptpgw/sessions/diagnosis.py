"""
Why a user can't call, in plain English: what the account, the lockouts and the last attempts tell,
and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol as TypingProtocol

from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IAttempt, Outcome
from pptpgw.sessions import hours
from pptpgw.sessions.cause import Cause, Termination, asCause
from pptpgw.sessions.remedy import Remedy
from pptpgw.sessions.username import folded
from pptpgw.store.record import Account

EARLIER = 5
"""
The number of attempts before the last one that are summed up.
"""

STRANGERS = 3
"""
The number of attempts without a name that are told of, if there is none with the name.
"""


_ANY = tuple(Termination)
_GONE = (Termination.USER_REQUEST, Termination.LOST_CARRIER)

_STAGES: dict[str, tuple[Remedy, Sequence[Termination]]] = {
    "GRE": (Remedy.GRE, _ANY),
    "line": (Remedy.LINE, _ANY),
    "LCP": (Remedy.GAVE_UP, _GONE),
    "authentication": (Remedy.UNBELIEVED, _GONE),
    "CCP": (Remedy.ENCRYPTION, _ANY),
}
"""
The remedies of failures that name none, by their stage, each with the codes that it is for.
"""


class LockoutState(TypingProtocol):
    """
    A lockout, as far as a diagnosis needs it.

    @ivar kind: C{"user"} or C{"source"}.
    @ivar subject: the identity of the user, or the address.
    @ivar until: when it ends, in seconds since 1970.
    """

    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def until(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was found.

    @ivar text: what it is, a sentence.
    @ivar advice: what to do about it; empty if it is no problem, or nothing is known.
    @ivar isProblem: whether it keeps the user from calling, or did the last time.
    """

    text: str
    advice: str = ""
    isProblem: bool = True


@dataclass(frozen=True, slots=True)
class AccountState:
    """
    What is known of a user's account.

    @ivar account: the account; None if the store has none of this name.
    """

    account: Account | None


def explain(
    user: str,
    attempts: Iterable[IAttempt],
    now: float,
    state: AccountState | None = None,
    lockouts: Iterable[LockoutState] = (),
) -> list[Finding]:
    """
    Say why C{user} can't call, or couldn't the last time: first what would keep the user out now,
    then what the last calls came to.

    @param attempts: all attempts that are remembered, the newest first: an
        L{pptpgw.interfaces.IAttempts} is such an iterable.
    @param now: the time of day, in seconds since 1970.
    @param state: the state of the account; None if no store of ours has the accounts.
    @param lockouts: the lockouts of users and sources that are known.
    @return: the findings, the most important one first; at least one.
    """
    attempts = list(attempts)
    own = [one for one in attempts if one.isOf(user)]
    sources = {one.guesser for one in own}
    findings = [*_account(user, state, now), *_locked(user, sources, lockouts, now)]
    if own:
        findings += _calls(user, own, now)
    else:
        findings += _strangers(user, attempts, now)
    return findings


def outcome(attempt: IAttempt, now: float) -> Finding:
    """
    Say what became of one attempt, and what to do about it.

    @param now: the time of day, in seconds since 1970.
    """
    caller = f"from {attempt.guesser or attempt.source} by {attempt.tunnel.name}"
    if attempt.protection:
        caller += f" ({attempt.protection})"
    began = f"{_ago(now - attempt.since)} {caller}"
    if attempt.outcome is Outcome.UP:
        return Finding(f"is up since {_duration(attempt.duration)}, {caller}", "", False)
    if attempt.outcome is Outcome.SETTING_UP:
        stage = attempt.going or "the network protocols"
        return Finding(f"is being set up, {caller}: it has got to {stage}", "", False)
    reason, advice = reasonOf(attempt), adviceOn(attempt)
    if attempt.outcome is Outcome.ENDED:
        text = f", {began}, was up for {_duration(attempt.duration)} and ended: {reason}"
        return Finding(text, advice, False)
    times = f" ({attempt.repeats + 1} times)" if attempt.repeats else ""
    if attempt.outcome is Outcome.REFUSED:
        return Finding(f", {began}, was refused{times}: {reason}", advice)
    stage = attempt.going or "the network protocols"
    return Finding(f", {began}, got to {stage}{times}: {reason}", advice)


def adviceOn(attempt: IAttempt) -> str:
    """
    Return what to do about an attempt that failed, was refused or has ended; an empty text if there
    is nothing to be done, or nothing is known.
    """
    if attempt.outcome in (Outcome.SETTING_UP, Outcome.UP):
        return ""
    remedy, codes = _STAGES.get(attempt.going, (None, ()))
    for cause in (reasonOf(attempt), asCause(attempt.cause)):
        if found := cause.remedy or (remedy if cause.code in codes else None):
            return found.value
    return ""


def reasonOf(attempt: IAttempt) -> Cause:
    """
    Return why an attempt failed: the failure of its last stage tells more than its cause, which may
    only be that the peer hung up after it.
    """
    last = attempt.stages[-1] if attempt.outcome is Outcome.FAILED and attempt.stages else None
    return asCause(last.failure if last and last.failure else attempt.cause)


def _account(user: str, state: AccountState | None, now: float) -> Iterable[Finding]:
    if state is None:
        return
    account = state.account
    if account is None:
        text = f"There is no account {user!a}."
        yield Finding(text, f"'pptpgw user add {user}' makes it; or the client sends another name.")
        return
    if account.disabled:
        yield Finding(
            f"The account {user!a} is disabled.", f"'pptpgw user enable {user}' enables it."
        )
    if account.expired(now):
        assert account.expires is not None
        ago = _ago(now - account.expires)
        text = f"The password of {user!a} expired {ago}."
        yield Finding(text, f"'pptpgw user set {user} --password' sets a new one.")
    profile = account.profile
    if profile.tunnels is not None:
        yield Finding(
            f"{user!a} may call by {' or '.join(sorted(profile.tunnels))} only.",
            f"'pptpgw user set {user} --tunnels \"*\"' permits every tunnel.",
            False,
        )
    if profile.hours:
        try:
            left = hours.parse(profile.hours).left(now)
        except ConfigurationError as error:
            yield Finding(f"The hours of {user!a} can't be read: {error}.", "Correct them.")
        else:
            if not left:
                text = f"{user!a} may call in its hours only, and not now: {profile.hours}."
                yield Finding(text, f"'pptpgw user set {user} --hours \"\"' permits every hour.")


def _locked(
    user: str, sources: set[str], lockouts: Iterable[LockoutState], now: float
) -> Iterable[Finding]:
    identity = folded(user.encode("utf-8", "surrogateescape"), True)
    for one in lockouts:
        subjects = {user, identity} if one.kind == "user" else sources
        if one.until > now and one.subject in subjects:
            text = (
                f"The {one.kind} {one.subject!a} is locked out for another "
                f"{_duration(one.until - now)}, after too many wrong passwords."
            )
            yield Finding(
                text,
                "Find the client that goes on with a wrong password, and wait; or "
                f"'pptpgw lockouts clear {one.kind} {one.subject}' ends it.",
            )


def _calls(user: str, own: Sequence[IAttempt], now: float) -> Iterable[Finding]:
    """
    Return what a user's attempts tell, the newest first.
    """
    for one in own:
        if one.outcome in (Outcome.UP, Outcome.SETTING_UP):
            yield _of(f"A call of {user!a}", outcome(one, now))
    over = [one for one in own if one.outcome not in (Outcome.UP, Outcome.SETTING_UP)]
    if not over:
        return
    last, *earlier = over
    yield _of(f"The last call of {user!a} that is over", outcome(last, now))
    failed = [one for one in earlier[:EARLIER] if one.outcome is not Outcome.ENDED]
    if failed:
        stages = ", ".join(dict.fromkeys(one.going or "the network protocols" for one in failed))
        text = (
            f"Of the {len(earlier[:EARLIER])} calls before it, {len(failed)} failed, in {stages}; "
            f"the last of them: {reasonOf(failed[0])}."
        )
        yield Finding(text, "", False)


def _strangers(user: str, attempts: Sequence[IAttempt], now: float) -> Iterable[Finding]:
    """
    Return what attempts tell that gave no name, when none of the user's is known.
    """
    yield Finding(
        f"No call of {user!a} is remembered.",
        "Either it is too long ago, or the client doesn't get as far as giving its name: can it "
        "reach the gateway, and does it dial the right address?",
    )
    nameless = [
        one for one in attempts if not one.user and one.outcome in (Outcome.FAILED, Outcome.REFUSED)
    ]
    for one in nameless[:STRANGERS]:
        yield _of("A call that gave no name", outcome(one, now))


def _of(subject: str, finding: Finding) -> Finding:
    """
    Return a finding as a sentence about C{subject}.
    """
    space = "" if finding.text.startswith(",") else " "
    return Finding(f"{subject}{space}{finding.text}.", finding.advice, finding.isProblem)


def _ago(seconds: float) -> str:
    return f"{_duration(seconds)} ago"


def _duration(seconds: float) -> str:
    """
    Return a duration in words, in its largest unit.
    """
    for name, size in (("day", 86400), ("h", 3600), ("min", 60)):
        count = int(seconds // size)
        if count:
            plural = "s" if name == "day" and count > 1 else ""
            return f"{count} {name}{plural}"
    return f"{max(0, round(seconds))} s"
