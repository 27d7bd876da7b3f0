"""
The tables of the states of L2TP's control connections and calls, and of the messages that are legal
in each (RFC 2661 section 7).

L{CONNECTION_RULES} and L{CALL_RULES} have a row for each message and a column for each state in
which it can arrive:

  - take: the message is handled by C{l2tp_NAME}.
  - drop: the message is counted and silently discarded.
  - end: the message is counted, and the connection or call is ended with an error.

A call that the peer asks for has no column before its request. Which of the ends is LAC and which
is LNS is a matter of each call: who asks for an incoming call is the LAC, who asks for an outgoing
one is the LNS. As LAC we answer an outgoing call by OCRP and OCCN at once, since there is no line
to wait for.

These rules aren't in the tables:

  - An SCCRQ that opens a connection is told from one that is repeated by
    L{pptpgw.tunnels.l2tp.connections}.
  - A message that is malformed, or has an unknown type or AVP with the bit M, ends the call that it
    belongs to, or the connection if it belongs to none. With C{permissive} what is unknown is
    ignored, whatever its bit M says.
  - A message of a call that there isn't (any more) is counted and discarded.
  - A StopCCN ends every call without a CDN.
"""

from __future__ import annotations

from enum import Enum

from pptpgw.tunnels.l2tp.wire.code import MessageType
from pptpgw.tunnels.l2tp.wire.message import nameOf


class ControlState(Enum):
    """
    The states of a control connection (RFC 2661 section 7.2.1). C{STOPPING} is after our StopCCN,
    until it is acknowledged.
    """

    IDLE = "idle"
    WAIT_CTL_REPLY = "wait-ctl-reply"
    WAIT_CTL_CONN = "wait-ctl-conn"
    ESTABLISHED = "established"
    STOPPING = "stopping"
    CLOSED = "closed"


class CallKind(Enum):
    """
    The kinds of calls, by our end and who asks for them (RFC 2661 sections 7.4 and 7.5).
    """

    LNS_INCOMING = "incoming, here the LNS"
    LAC_INCOMING = "incoming, here the LAC"
    LAC_OUTGOING = "outgoing, here the LAC"
    LNS_OUTGOING = "outgoing, here the LNS"

    @property
    def isOurs(self) -> bool:
        """
        Whether we ask for the call.
        """
        return self in (CallKind.LAC_INCOMING, CallKind.LNS_OUTGOING)

    @property
    def isLAC(self) -> bool:
        """
        Whether we are the LAC.
        """
        return self in (CallKind.LAC_INCOMING, CallKind.LAC_OUTGOING)


class CallPhase(Enum):
    """
    The states of a call. C{WAIT_ANSWER} is the RFC's idle and wait-cs-answer, while the gateway
    decides; C{WAIT_TUNNEL} is left out, since a call is asked for on an established connection.
    """

    WAIT_ANSWER = "wait-answer"
    WAIT_REPLY = "wait-reply"
    WAIT_CONNECT = "wait-connect"
    ESTABLISHED = "established"
    ENDED = "ended"


# The columns: idle, wait-ctl-reply, wait-ctl-conn, established, stopping.
CONNECTION_RULES = """
 1 SCCRQ    take end  end  end  drop
 2 SCCRP    drop take end  end  drop
 3 SCCCN    drop end  take end  drop
 4 StopCCN  drop take take take take
 6 HELLO    drop end  end  take drop
 7 OCRQ     drop end  end  take drop
 8 OCRP     drop end  end  call drop
 9 OCCN     drop end  end  call drop
10 ICRQ     drop end  end  take drop
11 ICRP     drop end  end  call drop
12 ICCN     drop end  end  call drop
14 CDN      drop end  end  call drop
15 WEN      drop end  end  call drop
16 SLI      drop end  end  call drop
"""
"""
Besides the actions above, C{call} means that L{CALL_RULES} say more.
"""

# The columns: LNS of an incoming call in wait-answer, wait-connect and established; its LAC in
# wait-reply and established; LAC of an outgoing call in wait-answer and established; its LNS in
# wait-reply, wait-connect and established.
CALL_RULES = """
 8 OCRP     end  end  end   end  end   end  end   take end  end
 9 OCCN     end  end  end   end  end   end  end   end  take end
11 ICRP     end  end  end   take end   end  end   end  end  end
12 ICCN     end  take end   end  end   end  end   end  end  end
14 CDN      take take take  take take  take take  take take take
15 WEN      drop drop take  drop drop  drop drop  drop drop take
16 SLI      drop drop drop  drop take  drop take  drop drop drop
"""

_CONNECTION_COLUMNS = (
    ControlState.IDLE,
    ControlState.WAIT_CTL_REPLY,
    ControlState.WAIT_CTL_CONN,
    ControlState.ESTABLISHED,
    ControlState.STOPPING,
)
_CALL_COLUMNS = (
    (CallKind.LNS_INCOMING, CallPhase.WAIT_ANSWER),
    (CallKind.LNS_INCOMING, CallPhase.WAIT_CONNECT),
    (CallKind.LNS_INCOMING, CallPhase.ESTABLISHED),
    (CallKind.LAC_INCOMING, CallPhase.WAIT_REPLY),
    (CallKind.LAC_INCOMING, CallPhase.ESTABLISHED),
    (CallKind.LAC_OUTGOING, CallPhase.WAIT_ANSWER),
    (CallKind.LAC_OUTGOING, CallPhase.ESTABLISHED),
    (CallKind.LNS_OUTGOING, CallPhase.WAIT_REPLY),
    (CallKind.LNS_OUTGOING, CallPhase.WAIT_CONNECT),
    (CallKind.LNS_OUTGOING, CallPhase.ESTABLISHED),
)


def _rows(table: str) -> list[tuple[MessageType, list[str]]]:
    rows = []
    for line in table.strip().splitlines():
        number, name, *actions = line.split()
        kind = MessageType(int(number))
        assert nameOf(kind) == name, name
        rows.append((kind, actions))
    return rows


CONNECTION_ACTIONS: dict[tuple[ControlState, MessageType], str] = {
    (state, kind): action
    for kind, actions in _rows(CONNECTION_RULES)
    for state, action in zip(_CONNECTION_COLUMNS, actions, strict=True)
}
CALL_ACTIONS: dict[tuple[CallKind, CallPhase, MessageType], str] = {
    (*column, kind): action
    for kind, actions in _rows(CALL_RULES)
    for column, action in zip(_CALL_COLUMNS, actions, strict=True)
}
