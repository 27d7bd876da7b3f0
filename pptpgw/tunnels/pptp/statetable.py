"""
The table of the states of PPTP's control connection, and of the messages that are legal in each
(RFC 2637 section 3.1).

Either end may open the control connection, and then each may request calls, as PNS or as PAC.
L{RULES} has a row for each message, and a column for each state in which a message can arrive:

  - take: the message is handled by C{pptp_NAME}.
  - refuse: the message is answered by C{refuse_NAME} with a refusal, and nothing changes.
  - drop: the message is counted and silently discarded.
  - end: the message is counted, and the control connection is closed.

The last columns are the type of the message that answers, and the setting that limits the time for
it. If the answer doesn't come, the call of the message ends, or the control connection if the
message belongs to no call.

These rules aren't in the table:

  - A Start-Control-Connection-Request of a later version than ours is answered with our version. A
    request of an earlier version is answered with result 5, and the connection is closed (section
    3.1.2). A second request gets result 3 (command channel already exists); the connection and its
    calls stay as they are.
  - After a bad magic cookie, a length below 12 or above that of the longest message, or a wrong
    length for the type, the stream can't be trusted, and the connection is closed at once (section
    3).
  - A message of an unknown control message type, or a PPTP management message, is dropped if the
    connection is established or is being stopped. Before that the connection is closed.
  - If no whole message comes for C{echoInterval}, an Echo-Request is sent; any message counts as a
    sign of life. The end that was called stops a connection that has had no call for
    C{callTimeout}.
  - A Stop-Control-Connection-Request from the peer ends every call without a notification;
    C{ControlConnection.stop} notifies the peer of each call's end first.
  - When the TCP connection ends, its calls end at once.
"""

from __future__ import annotations

from enum import Enum

from pptpgw.tunnels.pptp.wire.code import ControlMessageType, nameOf


class CallState(Enum):
    """
    The states of a call (RFC 2637 section 3.2). C{WAIT_REPLY} stands for wait_cs_ans too: the
    reply, ours or the peer's, is still to come. In C{WAIT_CONNECT} the Incoming-Call-Connected is.
    """

    WAIT_REPLY = "wait_reply"
    WAIT_CONNECT = "wait_connect"
    ESTABLISHED = "established"
    WAIT_DISCONNECT = "wait_disconnect"
    ENDED = "ended"


class Role(Enum):
    """
    Our role in a call.
    """

    PAC = "PAC"
    PNS = "PNS"


class Side(Enum):
    """
    Our side of a control connection (RFC 2637 section 3.1): the originator has opened it.
    """

    ORIGINATOR = "originator"
    RECEIVER = "receiver"


class ConnectionState(Enum):
    """
    The states of a control connection (RFC 2637 section 3.1), and the state after its end.
    """

    IDLE = "idle"
    WAIT_CTL_REPLY = "wait_ctl_reply"
    ESTABLISHED = "established"
    WAIT_STOP_REPLY = "wait_stop_reply"
    CLOSED = "closed"


# The columns of "take", "refuse", "drop" and "end" are the states idle, wait_ctl_reply, established
# and wait_stop_reply. The number is the type of the answer.
RULES = """
                                     idle  ctl   estab. stop
 1 Start-Control-Connection-Request  take  end   refuse drop   2 handshakeTimeout
 2 Start-Control-Connection-Reply    end   take  drop   drop
 3 Stop-Control-Connection-Request   take  take  take   take   4 stopTimeout
 4 Stop-Control-Connection-Reply     end   end   drop   take
 5 Echo-Request                      end   end   take   take   6 echoTimeout
 6 Echo-Reply                        end   end   take   drop
 7 Outgoing-Call-Request             end   end   take   drop   8 replyTimeout
 8 Outgoing-Call-Reply               end   end   take   drop
 9 Incoming-Call-Request             end   end   take   drop  10 replyTimeout
10 Incoming-Call-Reply               end   end   take   drop  11 replyTimeout
11 Incoming-Call-Connected           end   end   take   drop
12 Call-Clear-Request                end   end   take   drop  13 clearTimeout
13 Call-Disconnect-Notify            end   end   take   drop
14 WAN-Error-Notify                  end   end   take   drop
15 Set-Link-Info                     end   end   take   drop
"""
_STATES = (
    ConnectionState.IDLE,
    ConnectionState.WAIT_CTL_REPLY,
    ConnectionState.ESTABLISHED,
    ConnectionState.WAIT_STOP_REPLY,
)


def _parse(
    table: str,
) -> tuple[
    dict[tuple[ConnectionState, ControlMessageType], str],
    dict[ControlMessageType, tuple[ControlMessageType, str]],
]:
    actions: dict[tuple[ConnectionState, ControlMessageType], str] = {}
    answers: dict[ControlMessageType, tuple[ControlMessageType, str]] = {}
    for line in table.strip().splitlines()[1:]:
        number, name, *rest = line.split()
        kind = ControlMessageType(int(number))
        assert nameOf(kind) == name, name
        for state, action in zip(_STATES, rest[:4], strict=True):
            actions[state, kind] = action
        if rest[4:]:
            answer, setting = rest[4:]
            answers[kind] = (ControlMessageType(int(answer)), setting)
    return actions, answers


ACTIONS, ANSWERS = _parse(RULES)
