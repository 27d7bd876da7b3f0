"""
Tests for L{pptpgw.ppp.automaton}.
"""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from pptpgw.ppp.automaton import (
    MAX_CONFIGURE,
    MAX_TERMINATE,
    RESTART_SECONDS,
    TABLE,
    TIMED,
    Automaton,
    Event,
    State,
)

# The table of section 4.1 again, by columns: for each state the effect of each event, in the order
# of the events Up Down Open Close TO+ TO- RCR+ RCR- RCA RCN RTR RTA RUC RXJ+ RXJ- RXR.
COLUMNS = {
    State.INITIAL: "2 - 1:tls 0 - - - - - - - - - - - -",
    State.STARTING: "6:irc:scr - 1 0:tlf - - - - - - - - - - - -",
    State.CLOSED: (
        "- 0 6:irc:scr 2 - - 2:sta 2:sta 2:sta 2:sta 2:sta 2 2:scj 2 2:tlf 2"  # from section 4.2:
        # "Upon reception of Configure-Request packets, a Terminate-Ack is sent"
    ),
    State.STOPPED: (
        "- 1:tls 3 2 - - 8:irc:scr:sca 6:irc:scr:scn 3:sta 3:sta 3:sta 3 3:scj 3 3:tlf 3"
    ),
    State.CLOSING: "- 0 5 4 4:str 2:tlf 4 4 4 4 4:sta 2:tlf 4:scj 4 2:tlf 4",
    State.STOPPING: "- 1 5 4 5:str 3:tlf 5 5 5 5 5:sta 3:tlf 5:scj 5 3:tlf 5",
    State.REQ_SENT: (
        "- 1 6 4:irc:str 6:scr 3:tlf 8:sca 6:scn 7:irc 6:irc:scr 6:sta 6 6:scj 6 3:tlf 6"
    ),
    State.ACK_RCVD: (
        "- 1 7 4:irc:str 6:scr 3:tlf 9:sca:tlu 7:scn 6:scr 6:scr 6:sta 6 7:scj 6 3:tlf 7"
    ),
    State.ACK_SENT: (
        "- 1 8 4:irc:str 8:scr 3:tlf 8:sca 6:scn 9:irc:tlu 8:irc:scr 6:sta 8 8:scj 8 3:tlf 8"
    ),
    State.OPENED: (
        "- 1:tld 9 4:tld:irc:str - - 8:tld:scr:sca 6:tld:scr:scn 6:tld:scr 6:tld:scr "
        "5:tld:zrc:sta 6:tld:scr 9:scj 9 5:tld:irc:str 9:ser"
    ),
}

EVERY = [(state, event) for state in State for event in Event]


class Recorder(Automaton):
    """
    An automaton that records its actions. The actions that send a request start the Restart timer
    (RFC 1661 section 4.6).
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.actions: list[str] = []
        self.then: list[Event] = []

    def __getattr__(self, name: str) -> object:
        if not name.startswith("action_"):
            raise AttributeError(name)

        def act() -> None:
            self.actions.append(name.removeprefix("action_"))
            if name in ("action_scr", "action_str"):
                self._startTimer()
            while self.then:
                self.feed(self.then.pop())

        return act

    def action_zrc(self) -> None:
        self.actions.append("zrc")
        super().action_zrc()

    def action_irc(self) -> None:
        self.actions.append("irc")
        super().action_irc()

    def action_tls(self) -> None:
        self.actions.append("tls")
        super().action_tls()

    def feed(self, event: Event) -> None:
        """
        Feed one event to the automaton.
        """
        self._perform(self._feed, event)


@pytest.mark.parametrize(("state", "event"), EVERY)
def test_everyTransition(state: State, event: Event) -> None:
    """
    The parsed table and the behaviour of the automaton both equal L{COLUMNS}.
    """
    cell = COLUMNS[state].split()[event]
    automaton = Recorder(Clock())
    automaton.state = state
    automaton.feed(event)
    if cell == "-":
        assert TABLE[event][state] is None
        assert (automaton.state, automaton.actions) == (state, [])
    else:
        after, *actions = cell.split(":")
        assert TABLE[event][state] == (tuple(actions), State(int(after)))
        assert (automaton.state, automaton.actions) == (State(int(after)), actions)


@pytest.mark.parametrize(("state", "event"), EVERY)
def test_invariants(state: State, event: Event) -> None:
    """
    The automaton keeps the rules that the text of RFC 1661 section 4 states: the layer is told of
    entering and leaving Opened and of nothing else, a packet that needs an answer leads to a timed
    state, and only the Up and Down events move between the three states without a lower layer and
    the other states.
    """
    transition = TABLE[event][state]
    if transition is None:
        return
    actions, after = transition
    entered = after is State.OPENED and state is not State.OPENED
    left = state is State.OPENED and after is not State.OPENED
    assert ("tlu" in actions) == entered
    assert ("tld" in actions) == left
    if {"scr", "str", "zrc"} & set(actions):
        assert after in TIMED
    lower = {State.INITIAL, State.STARTING}
    if event in (Event.UP, Event.DOWN):
        assert (state in lower) == (event is Event.UP)
        assert (after in lower) == (event is Event.DOWN)
    else:
        assert (state in lower) == (after in lower)
    if "tlf" in actions:
        assert after in (State.INITIAL, State.STARTING, State.CLOSED, State.STOPPED)
        assert after not in TIMED
    if "scr" in actions and event in (Event.UP, Event.OPEN):
        assert actions == ("irc", "scr")


def test_timedStates() -> None:
    """
    The Restart timer runs in five states (section 4.2).
    """
    assert {
        State.CLOSING,
        State.STOPPING,
        State.REQ_SENT,
        State.ACK_RCVD,
        State.ACK_SENT,
    } == TIMED


def test_maxConfigure() -> None:
    """
    The automaton sends Max-Configure requests, a Restart timer apart, then reports that it has
    finished and stops.
    """
    clock = Clock()
    automaton = Recorder(clock)
    automaton.feed(Event.OPEN)
    automaton.feed(Event.UP)
    clock.pump([RESTART_SECONDS] * (MAX_CONFIGURE + 3))
    assert automaton.actions == ["tls", "irc"] + ["scr"] * MAX_CONFIGURE + ["tlf"]
    assert automaton.state is State.STOPPED
    assert not clock.getDelayedCalls()


def test_maxTerminate() -> None:
    """
    The automaton sends Max-Terminate requests when it is closed, then reports that it has finished.
    """
    clock = Clock()
    automaton = Recorder(clock)
    automaton.state = State.OPENED
    automaton.feed(Event.CLOSE)
    clock.pump([RESTART_SECONDS] * (MAX_TERMINATE + 3))
    assert automaton.actions == ["tld", "irc"] + ["str"] * MAX_TERMINATE + ["tlf"]
    assert automaton.state is State.CLOSED
    assert not clock.getDelayedCalls()


def test_terminatedByPeer() -> None:
    """
    After the peer's Terminate-Request the automaton waits for one Restart timer and sends nothing
    more.
    """
    clock = Clock()
    automaton = Recorder(clock)
    automaton.state = State.OPENED
    automaton.feed(Event.RTR)
    clock.advance(RESTART_SECONDS - 0.1)
    assert automaton.actions == ["tld", "zrc", "sta"]
    clock.advance(0.1)
    assert automaton.actions == ["tld", "zrc", "sta", "tlf"]
    assert automaton.state is State.STOPPED


def test_timerStops() -> None:
    """
    The Restart timer doesn't run in Opened.
    """
    clock = Clock()
    automaton = Recorder(clock)
    for event in (Event.OPEN, Event.UP, Event.RCR_PLUS, Event.RCA):
        automaton.feed(event)
    assert automaton.opened
    assert not clock.getDelayedCalls()


def test_reentrantEvents() -> None:
    """
    An event that an action causes is handled after the whole transition.
    """
    automaton = Recorder(Clock())
    automaton.state = State.ACK_RCVD
    automaton.then = [Event.CLOSE]
    automaton.feed(Event.RCR_PLUS)
    assert automaton.actions == ["sca", "tlu", "tld", "irc", "str"]
    assert automaton.state is State.CLOSING
