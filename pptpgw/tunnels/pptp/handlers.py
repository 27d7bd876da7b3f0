"""
The functions that handle control messages, if L{pptpgw.tunnels.pptp.statetable} says that a message
is taken or refused.

C{pptp_NAME} handles a message, and C{refuse_NAME} answers it with a refusal.
"""

from __future__ import annotations

from pptpgw.error import Exhausted
from pptpgw.log import readable
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.tunnels.pptp.asked import AskedCall, AskedIncomingCall, AskedOutgoingCall
from pptpgw.tunnels.pptp.call import Call, CallConnection
from pptpgw.tunnels.pptp.placed import PlacedCall, PlacedIncomingCall, PlacedOutgoingCall
from pptpgw.tunnels.pptp.statetable import CallState, Role
from pptpgw.tunnels.pptp.wire.code import (
    GeneralError,
    IncomingCallResult,
    OutgoingCallResult,
    StartResult,
    StopReason,
    describe,
    nameOf,
)
from pptpgw.tunnels.pptp.wire.message import (
    PROTOCOL_VERSION,
    CallClearRequest,
    CallDisconnectNotify,
    ControlMessage,
    EchoReply,
    EchoRequest,
    IncomingCallConnected,
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
    Establish the control connection at the peer's request, unless its version is too old.
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
    Refuse a second control connection on the same TCP connection.
    """
    _startReply(connection, StartResult.COMMAND_CHANNEL_ALREADY_EXISTS)


def pptp_START_CONTROL_CONNECTION_REPLY(
    connection: CallConnection, message: StartControlConnectionReply
) -> None:
    """
    Establish the control connection if the peer agrees. Some peers send 0 for success.
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
    Acknowledge that the peer closes the control connection, and end it.
    """
    connection.send(StopControlConnectionReply())
    text = f"the peer stopped the control connection: {describe(StopReason, message.reason)}"
    connection.end(connection.closeReason or Cause(text, Termination.USER_REQUEST))


def pptp_STOP_CONTROL_CONNECTION_REPLY(connection: CallConnection, message: ControlMessage) -> None:
    """
    Close the control connection, whatever result the peer sends.
    """
    connection.end(connection.closeReason)


def pptp_ECHO_REQUEST(connection: CallConnection, message: EchoRequest) -> None:
    """
    Answer the peer's Echo-Request.
    """
    connection.send(EchoReply(message.identifier))


def pptp_ECHO_REPLY(connection: CallConnection, message: EchoReply) -> None:
    """
    Count a reply to no request. A valid reply needs no action, since any message is a sign of life.
    """
    if message.identifier != connection.echoIdentifier:
        connection.counters.discard("Echo-Reply to no request")


def pptp_OUTGOING_CALL_REQUEST(connection: CallConnection, message: OutgoingCallRequest) -> None:
    """
    Offer the owner the call that a PNS asks for. Its call id may be any number, even one that it
    uses already.
    """
    refusal = OutgoingCallReply(
        peerCallID=message.callID,
        result=OutgoingCallResult.GENERAL_ERROR,
        error=GeneralError.NO_RESOURCE,
        connectSpeed=0,
        window=0,
    )
    callID = _allocated(connection, message, refusal)
    if callID is not None:
        _offer(connection, AskedOutgoingCall(connection, callID, message))


def pptp_OUTGOING_CALL_REPLY(connection: CallConnection, message: OutgoingCallReply) -> None:
    """
    Pass the PAC's reply to the call that we placed.
    """
    _replied(connection, PlacedOutgoingCall, message)


def pptp_INCOMING_CALL_REQUEST(connection: CallConnection, message: IncomingCallRequest) -> None:
    """
    Offer the owner the call that a PAC has.
    """
    refusal = IncomingCallReply(
        peerCallID=message.callID,
        result=IncomingCallResult.GENERAL_ERROR,
        error=GeneralError.NO_RESOURCE,
        window=0,
    )
    callID = _allocated(connection, message, refusal)
    if callID is not None:
        _offer(connection, AskedIncomingCall(connection, callID, message))


def pptp_INCOMING_CALL_REPLY(connection: CallConnection, message: IncomingCallReply) -> None:
    """
    Pass the PNS's reply to the call that we offered.
    """
    _replied(connection, PlacedIncomingCall, message)


def pptp_INCOMING_CALL_CONNECTED(
    connection: CallConnection, message: IncomingCallConnected
) -> None:
    """
    Establish the call that we have accepted.
    """
    call = connection.calls.get(message.peerCallID)
    if not isinstance(call, AskedIncomingCall) or not call.connected(message):
        connection.counters.discard("Incoming-Call-Connected of no call")


def pptp_CALL_CLEAR_REQUEST(connection: CallConnection, message: CallClearRequest) -> None:
    """
    End a call at the PNS's request. A PAC's request is none.
    """
    call = _callOfPeer(connection, message.callID)
    if call is None:
        return
    if call.role is Role.PAC:
        call.cleared()
    else:
        connection.counters.discard("Call-Clear-Request of a PAC")


def pptp_CALL_DISCONNECT_NOTIFY(connection: CallConnection, message: CallDisconnectNotify) -> None:
    """
    End a call that the PAC has disconnected. Some PNSs send this message too.
    """
    call = _callOfPeer(connection, message.callID)
    if call is not None:
        call.disconnected(message)


def pptp_WAN_ERROR_NOTIFY(connection: CallConnection, message: ControlMessage) -> None:
    """
    Count that the PAC has had errors on its line.
    """
    connection.counters.discard("line errors told by a PAC")


def pptp_SET_LINK_INFO(connection: CallConnection, message: SetLinkInfo) -> None:
    """
    Take the ACCMs that a PNS has negotiated, for a line to which the call may be joined.
    """
    call = connection.calls.get(message.peerCallID)
    if call is not None and call.setACCM is not None:
        call.setACCM(message.sendACCM, message.receiveACCM)


def _callOfPeer(connection: CallConnection, callID: int) -> Call | None:
    """
    Return the call to which the peer assigned this id, or else the one to which we assigned it.
    """
    for call in connection.calls.values():
        if call.peerCallID == callID:
            return call
    found = connection.calls.get(callID)
    if found is None:
        # A PAC whose Outgoing-Call-Reply never came may send a notification with its own id.
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
    connection.peerName = readable(message.hostName)
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


def _allocated(
    connection: CallConnection, request: ControlMessage, refusal: ControlMessage
) -> int | None:
    """
    Return a call id for the call that C{request} asks for; None if there is none, which the peer is
    told by C{refusal}.
    """
    try:
        return connection.allocate()
    except Exhausted:
        connection.counters.discard(f"{nameOf(request.messageType)} beyond the limit")
        connection.send(refusal)
        return None


def _replied(
    connection: CallConnection,
    kind: type[PlacedCall],
    message: OutgoingCallReply | IncomingCallReply,
) -> None:
    """
    Pass a reply to the call of this kind that it names, or count it if no such call awaits one.
    """
    call = connection.calls.get(message.peerCallID)
    if not isinstance(call, kind) or not call.replied(message):
        connection.counters.discard(f"{nameOf(message.messageType)} to no request")


def _offer(connection: CallConnection, call: AskedCall) -> None:
    connection.addCall(call)
    connection.callAsked(call)
    call.requested()
