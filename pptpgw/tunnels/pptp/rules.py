"""
The rules of PPTP's control connection: which message is legal when (RFC 2637 section 3.1).

The PNS opens it, as every client in the field does, and the PAC receives it.  L{RULES} has a row
for each message and, for each side, a column for each state in which a message can arrive:

  - take: C{pptp_NAME} acts on it.
  - refuse: C{refuse_NAME} answers with the reply's code for a refusal, and nothing changes.
  - drop: counted and silently discarded.
  - end: counted, and the control connection is closed.

Behind it stand the message that answers, and the setting that says within what time: silence
longer than that ends the call, where the message belongs to one, or else the control connection.

What the table can't hold:

  - Start-Control-Connection-Request of a later version than ours is answered with our version, of
    an earlier one with result 5, and the connection is closed (section 3.1.2).  A second one gets
    result 3 (command channel already exists); the connection and its calls stay as they are.
  - Bad magic cookie, length below 12 or above the longest message, wrong length for the type: the
    stream can't be trusted, the connection is closed at once (section 3).
  - Unknown control message type, PPTP management message: dropped when established or later, where
    the stream goes on behind it; before that the connection is closed.
  - Silence is the absence of whole messages: after C{echoInterval} an Echo-Request goes out, and
    any message is life.  A PAC's connection without any call for C{callTimeout} is stopped.
  - Stop-Control-Connection-Request ends every call without a word more for each of them;
    C{ControlConnection.stop} notifies each of them first.
  - A TCP connection that ends takes its calls with it at once.
"""

from __future__ import annotations

from enum import Enum

from pptpgw.tunnels.pptp.wire.code import ControlMessageType, nameOf


class Role(Enum):
    """
    What we are on a control connection.
    """

    PAC = "PAC"
    PNS = "PNS"


class ConnectionState(Enum):
    """
    The states of section 3.1, and the one after them.
    """

    IDLE = "idle"
    WAIT_CTL_REPLY = "wait_ctl_reply"
    ESTABLISHED = "established"
    WAIT_STOP_REPLY = "wait_stop_reply"
    CLOSED = "closed"


# The columns of "take", "refuse", "drop" and "end": PAC in idle, established and wait_stop_reply;
# PNS in wait_ctl_reply, established and wait_stop_reply.  The number is the type of the answer.
RULES = """
                                      PAC                 PNS
 1 Start-Control-Connection-Request   take refuse drop    end  refuse drop    2 handshakeTimeout
 2 Start-Control-Connection-Reply     end  drop   drop    take drop   drop
 3 Stop-Control-Connection-Request    take take   take    take take   take    4 stopTimeout
 4 Stop-Control-Connection-Reply      end  drop   take    end  drop   take
 5 Echo-Request                       end  take   take    end  take   take    6 echoTimeout
 6 Echo-Reply                         end  take   drop    end  take   drop
 7 Outgoing-Call-Request              end  take   drop    end  refuse drop    8 replyTimeout
 8 Outgoing-Call-Reply                end  drop   drop    end  take   drop
 9 Incoming-Call-Request              end  refuse drop    end  refuse drop   10 replyTimeout
10 Incoming-Call-Reply                end  drop   drop    end  drop   drop
11 Incoming-Call-Connected            end  drop   drop    end  drop   drop
12 Call-Clear-Request                 end  take   drop    end  drop   drop   13 clearTimeout
13 Call-Disconnect-Notify             end  take   drop    end  take   drop
14 WAN-Error-Notify                   end  drop   drop    end  take   drop
15 Set-Link-Info                      end  take   drop    end  take   drop
"""
_COLUMNS = (
    (Role.PAC, ConnectionState.IDLE),
    (Role.PAC, ConnectionState.ESTABLISHED),
    (Role.PAC, ConnectionState.WAIT_STOP_REPLY),
    (Role.PNS, ConnectionState.WAIT_CTL_REPLY),
    (Role.PNS, ConnectionState.ESTABLISHED),
    (Role.PNS, ConnectionState.WAIT_STOP_REPLY),
)


def _parse(
    table: str,
) -> tuple[
    dict[tuple[Role, ConnectionState, ControlMessageType], str],
    dict[ControlMessageType, tuple[ControlMessageType, str]],
]:
    actions: dict[tuple[Role, ConnectionState, ControlMessageType], str] = {}
    answers: dict[ControlMessageType, tuple[ControlMessageType, str]] = {}
    for line in table.strip().splitlines()[1:]:
        number, name, *rest = line.split()
        kind = ControlMessageType(int(number))
        assert nameOf(kind) == name, name
        for (role, state), action in zip(_COLUMNS, rest[:6], strict=True):
            actions[role, state, kind] = action
        if rest[6:]:
            answer, setting = rest[6:]
            answers[kind] = (ControlMessageType(int(answer)), setting)
    return actions, answers


ACTIONS, ANSWERS = _parse(RULES)
