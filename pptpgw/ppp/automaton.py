"""
The option negotiation automaton, driven by the table that RFC 1661 section 4.1 prints.

The table is copied from the RFC and parsed once. Three of its footnotes describe options that this
implementation doesn't use: C{r} (Open restarts a link that is up), C{p} (stay passive after too
many requests) and C{x} (crossed connections: here a reply whose identifier doesn't match never
becomes an event).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

# The period of the Restart timer in seconds, and the initial values of its counter (RFC 1661
# section 4.6).
RESTART_SECONDS = 3.0
MAX_CONFIGURE = 10
MAX_TERMINATE = 2

Argument = TypeVar("Argument")

_PRINTED = """
      | State
      |    0         1         2         3         4         5
Events| Initial   Starting  Closed    Stopped   Closing   Stopping
------+-----------------------------------------------------------
 Up   |    2     irc,scr/6     -         -         -         -
 Down |    -         -         0       tls/1       0         1
 Open |  tls/1       1     irc,scr/6     3r        5r        5r
 Close|    0       tlf/0       2         2         4         4
      |
  TO+ |    -         -         -         -       str/4     str/5
  TO- |    -         -         -         -       tlf/2     tlf/3
      |
 RCR+ |    -         -       sta/2 irc,scr,sca/8   4         5
 RCR- |    -         -       sta/2 irc,scr,scn/6   4         5
 RCA  |    -         -       sta/2     sta/3       4         5
 RCN  |    -         -       sta/2     sta/3       4         5
      |
 RTR  |    -         -       sta/2     sta/3     sta/4     sta/5
 RTA  |    -         -         2         3       tlf/2     tlf/3
      |
 RUC  |    -         -       scj/2     scj/3     scj/4     scj/5
 RXJ+ |    -         -         2         3         4         5
 RXJ- |    -         -       tlf/2     tlf/3     tlf/2     tlf/3
      |
 RXR  |    -         -         2         3         4         5

      | State
      |    6         7         8           9
Events| Req-Sent  Ack-Rcvd  Ack-Sent    Opened
------+-----------------------------------------
 Up   |    -         -         -           -
 Down |    1         1         1         tld/1
 Open |    6         7         8           9r
 Close|irc,str/4 irc,str/4 irc,str/4 tld,irc,str/4
      |
  TO+ |  scr/6     scr/6     scr/8         -
  TO- | tlf/3p    tlf/3p    tlf/3p         -
      |
 RCR+ |  sca/8   sca,tlu/9   sca/8   tld,scr,sca/8
 RCR- |  scn/6     scn/7     scn/6   tld,scr,scn/6
 RCA  |  irc/7     scr/6x  irc,tlu/9   tld,scr/6x
 RCN  |irc,scr/6   scr/6x  irc,scr/8   tld,scr/6x
      |
 RTR  |  sta/6     sta/6     sta/6   tld,zrc,sta/5
 RTA  |    6         6         8       tld,scr/6
      |
 RUC  |  scj/6     scj/7     scj/8       scj/9
 RXJ+ |    6         6         8           9
 RXJ- |  tlf/3     tlf/3     tlf/3   tld,irc,str/5
      |
 RXR  |    6         7         8         ser/9
"""


class State(IntEnum):
    """
    The states of the automaton (RFC 1661 section 4.2).
    """

    INITIAL = 0
    STARTING = 1
    CLOSED = 2
    STOPPED = 3
    CLOSING = 4
    STOPPING = 5
    REQ_SENT = 6
    ACK_RCVD = 7
    ACK_SENT = 8
    OPENED = 9


class Event(IntEnum):
    """
    The events of the automaton (RFC 1661 section 4.3), in the order of the table's rows.
    """

    UP = 0
    DOWN = 1
    OPEN = 2
    CLOSE = 3
    TO_PLUS = 4
    TO_MINUS = 5
    RCR_PLUS = 6
    RCR_MINUS = 7
    RCA = 8
    RCN = 9
    RTR = 10
    RTA = 11
    RUC = 12
    RXJ_PLUS = 13
    RXJ_MINUS = 14
    RXR = 15


class Transition(NamedTuple):
    """
    The automaton's reaction to an event in a state.

    @ivar actions: the names of the actions in the table (RFC 1661 section 4.4), in its order.
    @ivar state: the state that follows.
    """

    actions: tuple[str, ...]
    state: State


def parse(printed: str) -> tuple[tuple[Transition | None, ...], ...]:
    """
    Return the transitions of a printed table, as C{[event][state]}: None where the table has a
    dash.
    """
    names: dict[str, Event] = {
        event.name.replace("_PLUS", "+").replace("_MINUS", "-"): event for event in Event
    }
    table: list[list[Transition | None]] = [[None] * len(State) for _ in Event]
    columns: list[State] = []
    for line in printed.splitlines():
        name, _, row = line.partition("|")
        cells = row.split()
        if cells and all(cell.isdigit() for cell in cells) and not name.strip():
            columns = [State(int(cell)) for cell in cells]
        elif name.strip().upper() in names:
            event = names[name.strip().upper()]
            for state, cell in zip(columns, cells, strict=True):
                if cell != "-":
                    actions, _, after = cell.rpartition("/")
                    table[event][state] = Transition(
                        tuple(actions.split(",")) if actions else (),
                        State(int(after.rstrip("rpx"))),
                    )
    return tuple(map(tuple, table))


TABLE = parse(_PRINTED)

# RFC 1661 section 4.1: "The states in which the Restart timer is running are identifiable by the
# presence of TO events."
TIMED = frozenset(state for state in State if TABLE[Event.TO_PLUS][state] is not None)


class Automaton:
    """
    The automaton with its Restart timer and counter. Subclasses add the actions that send packets
    or tell the layer above, as methods named C{action_} and the table's name of the action.

    @ivar state: the current state. While an action runs it is the state after the transition.
    """

    __slots__ = ("_clock", "_queue", "_restarts", "_timer", "state")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._restarts = 0
        self._queue: list[tuple[Callable[[Any], None], Any]] | None = None
        self.state = State.INITIAL

    @property
    def opened(self) -> bool:
        """
        Whether the automaton is in state Opened.
        """
        return self.state is State.OPENED

    def _perform(self, step: Callable[[Argument], None], argument: Argument) -> None:
        """
        Take one step. A step that is requested during another one waits until that one is done.
        """
        if self._queue is not None:
            self._queue.append((step, argument))
            return
        queue: list[tuple[Callable[[Any], None], Any]] = [(step, argument)]
        self._queue = queue
        try:
            # The list may grow during the loop.
            for each, what in queue:
                each(what)
        finally:
            self._queue = None

    def _feed(self, event: Event) -> None:
        """
        Handle one event. An event for which the table has a dash in this state changes nothing.
        """
        transition = TABLE[event][self.state]
        if transition is None:
            return
        self.state = transition.state
        for action in transition.actions:
            getattr(self, "action_" + action)()
        if self._timer is not None and self.state not in TIMED:
            self._timer.cancel()
            self._timer = None

    def _timedOut(self) -> None:
        self._timer = None
        self._perform(self._expired, Event.TO_PLUS if self._restarts > 0 else Event.TO_MINUS)

    def _expired(self, event: Event) -> None:
        """
        Handle the end of the Restart timer.

        @param event: TO+ or TO-.
        """
        self._feed(event)

    def _startTimer(self) -> None:
        """
        Start the Restart timer, because a request is being sent.
        """
        self._restarts -= 1
        if self._timer is None:
            self._timer = self._clock.callLater(RESTART_SECONDS, self._timedOut)
        else:
            self._timer.reset(RESTART_SECONDS)

    def action_tls(self) -> None:
        """
        This-Layer-Started: do nothing, since the call is up before the link begins.
        """

    def action_irc(self) -> None:
        """
        Initialize-Restart-Count: set the counter to Max-Terminate or Max-Configure.
        """
        closing = self.state in (State.CLOSING, State.STOPPING)
        self._restarts = MAX_TERMINATE if closing else MAX_CONFIGURE

    def action_zrc(self) -> None:
        """
        Zero-Restart-Count: wait one period of the Restart timer before the link ends.
        """
        self._restarts = 0
        self._startTimer()
