"""
What each control message does, where L{pptpgw.tunnels.pptp.rules} says that it is taken or refused.

One function a message: C{pptp_NAME} takes it, C{refuse_NAME} answers with a refusal.
"""

from __future__ import annotations

from pptpgw.error import Exhausted
from pptpgw.log import readable
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.tunnels.pptp.call import Call, CallConnection, CallState
from pptpgw.tunnels.pptp.wire.code import (
    GeneralError,
    IncomingCallResult,
    OutgoingCallResult,
    StartResult,
    StopReason,
    describe,
)
from pptpgw.tunnels.pptp.wire.message import (
    PROTOCOL_VERSION,
    CallClearRequest,
    CallDisconnectNotify,
    ControlMessage,
    EchoReply,
    EchoRequest,
    IncomingCallReply,
    IncomingCallRequest,
    OutgoingCallReply,
    OutgoingCallRequest,
    SetLinkInfo,
    StartControlConnectionReply,
    StartControlConnectionRequest,
    StopControlConnectionReply,
    StopControlConnectionRequest,
)


def pptp_START_CONTROL_CONNECTION_REQUEST(
    connection: CallConnection, message: StartControlConnectionRequest
) -> None:
    """
    The peer opens the control connection.
    """
    _peerIs(connection, message)
    if message.protocolVersion < PROTOCOL_VERSION:
        _startReply(connection, StartResult.UNSUPPORTED_PROTOCOL_VERSION)
        connection.end(f"the peer's protocol version is {message.protocolVersion:#06x}")
    else:
        _startReply(connection, StartResult.SUCCESS)
        connection.open()


def refuse_START_CONTROL_CONNECTION_REQUEST(
    connection: CallConnection, message: ControlMessage
) -> None:
    """
    There is one already: this one.
    """
    _startReply(connection, StartResult.COMMAND_CHANNEL_ALREADY_EXISTS)


def pptp_START_CONTROL_CONNECTION_REPLY(
    connection: CallConnection, message: StartControlConnectionReply
) -> None:
    """
    The peer agrees, or not.  Some send 0 for success.
    """
    _peerIs(connection, message)
    if message.result not in (0, StartResult.SUCCESS):
        text = describe(StartResult, message.result)
        if message.error:
            text += f", {describe(GeneralError, message.error)}"
        connection.end(f"the peer refused the control connection: {text}")
    elif message.protocolVersion < PROTOCOL_VERSION:
        connection.askToStop(
            f"the peer's protocol version is {message.protocolVersion:#06x}",
            StopReason.STOP_PROTOCOL,
        )
    else:
        connection.open()


def pptp_STOP_CONTROL_CONNECTION_REQUEST(
    connection: CallConnection, message: StopControlConnectionRequest
) -> None:
    """
    The peer closes the control connection.
    """
    connection.send(StopControlConnectionReply())
    text = f"the peer stopped the control connection: {describe(StopReason, message.reason)}"
    connection.end(connection.closeReason or Cause(text, Termination.USER_REQUEST))


def pptp_STOP_CONTROL_CONNECTION_REPLY(connection: CallConnection, message: ControlMessage) -> None:
    """
    The peer agrees that the control connection closes; it closes too where it doesn't.
    """
    connection.end(connection.closeReason)


def pptp_ECHO_REQUEST(connection: CallConnection, message: EchoRequest) -> None:
    """
    The peer asks whether we live.
    """
    connection.send(EchoReply(message.identifier))


def pptp_ECHO_REPLY(connection: CallConnection, message: EchoReply) -> None:
    """
    The peer lives, as any message shows.
    """
    if message.identifier != connection.echoIdentifier:
        connection.counters.discard("Echo-Reply to no request")


def pptp_OUTGOING_CALL_REQUEST(connection: CallConnection, message: OutgoingCallRequest) -> None:
    """
    The PNS asks for a call.  Its call id may be any, also one that it uses already.
    """
    try:
        callID = connection.allocate()
    except Exhausted:
        connection.counters.discard("Outgoing-Call-Request beyond the limit")
        _refuseCall(connection, message, OutgoingCallResult.GENERAL_ERROR, GeneralError.NO_RESOURCE)
        return
    call = Call(connection, callID, message)
    connection.addCall(call)
    connection.callAsked(call)
    call.requested()


def refuse_OUTGOING_CALL_REQUEST(connection: CallConnection, message: OutgoingCallRequest) -> None:
    """
    We are the PNS: nobody dials out here.
    """
    _refuseCall(connection, message, OutgoingCallResult.DO_NOT_ACCEPT)


def pptp_OUTGOING_CALL_REPLY(connection: CallConnection, message: OutgoingCallReply) -> None:
    """
    The PAC answers a call that we placed.
    """
    call = connection.calls.get(message.peerCallID)
    if call is None or not call.replied(message):
        connection.counters.discard("Outgoing-Call-Reply to no request")


def refuse_INCOMING_CALL_REQUEST(connection: CallConnection, message: IncomingCallRequest) -> None:
    """
    Incoming calls aren't taken; none of our call ids is given to one.
    """
    connection.send(
        IncomingCallReply(
            peerCallID=message.callID, result=IncomingCallResult.DO_NOT_ACCEPT, window=0
        )
    )


def pptp_CALL_CLEAR_REQUEST(connection: CallConnection, message: CallClearRequest) -> None:
    """
    The PNS ends a call.
    """
    call = _callOfPeer(connection, message.callID)
    if call is not None:
        call.cleared()


def pptp_CALL_DISCONNECT_NOTIFY(connection: CallConnection, message: CallDisconnectNotify) -> None:
    """
    The PAC ended a call; some PNSs say it so, too.
    """
    call = _callOfPeer(connection, message.callID)
    if call is not None:
        call.disconnected(message)


def pptp_WAN_ERROR_NOTIFY(connection: CallConnection, message: ControlMessage) -> None:
    """
    Errors on a line of the PAC's that we can do nothing about.
    """
    connection.counters.discard("WAN-Error-Notify")


def pptp_SET_LINK_INFO(connection: CallConnection, message: SetLinkInfo) -> None:
    """
    The peer's ACCMs, which mean nothing without asynchronous framing.
    """


def _callOfPeer(connection: CallConnection, callID: int) -> Call | None:
    """
    The call that the peer names by its own call id, or else by ours.
    """
    for call in connection.calls.values():
        if call.peerCallID == callID:
            return call
    found = connection.calls.get(callID)
    if found is None:
        # A PAC that never told its id notifies with it all the same.
        nameless = [
            call
            for call in connection.calls.values()
            if call.peerCallID < 0 and call.state is CallState.WAIT_DISCONNECT
        ]
        if len(nameless) == 1:
            return nameless[0]
        connection.counters.discard("control message for no call")
    return found


def _peerIs(
    connection: CallConnection,
    message: StartControlConnectionRequest | StartControlConnectionReply,
) -> None:
    connection.peerHostName = readable(message.hostName)
    connection.peerVendorName = readable(message.vendorName)


def _startReply(connection: CallConnection, result: StartResult) -> None:
    settings = connection.settings
    connection.send(
        StartControlConnectionReply(
            result=result,
            framingCapabilities=settings.framingCapabilities,
            bearerCapabilities=settings.bearerCapabilities,
            maximumChannels=settings.maximumCalls,
            firmwareRevision=settings.firmwareRevision,
            hostName=settings.hostName,
            vendorName=settings.vendorName,
        )
    )


def _refuseCall(
    connection: CallConnection,
    request: OutgoingCallRequest,
    result: OutgoingCallResult,
    error: GeneralError = GeneralError.NONE,
) -> None:
    connection.send(
        OutgoingCallReply(
            peerCallID=request.callID, result=result, error=error, connectSpeed=0, window=0
        )
    )
