"""
The recording of a channel's frames, decrypted.

The rules:

 - A received frame is recorded once it is in order and, with MPPE, decrypted; a frame that doesn't
   get that far isn't recorded. An encrypted frame is recorded as if it weren't encrypted, so there
   are no MPPE frames, and a compressed one as if it weren't compressed.
 - Recording begins and ends while the channel carries frames. A channel whose frames are recorded
   belongs to a class of its own for that time, so that the others don't get slower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from pptpgw.datapath.channel import Channel
from pptpgw.datapath.checks import OpenProtocol
from pptpgw.datapath.mppe import DecryptorType, Packets, decryptOneByOne
from pptpgw.datapath.passage import Passage
from pptpgw.datapath.wire.pcapng import RECEIVED, SENT
from pptpgw.ppp.wire.ppp import ADDRESS_CONTROL, MPPE


class FrameRecorder(Protocol):
    """
    An object that is given the frames of one channel.
    """

    def record(self, direction: int, frame: bytes) -> None:
        """
        Record a frame. This doesn't raise.

        @param direction: L{RECEIVED} or L{SENT}.
        @param frame: the address, control and protocol fields, and the information field.
        """

    def closed(self) -> None:
        """
        The channel is closed: there will be no more frames.
        """


def startRecording(channel: Channel, recorder: FrameRecorder) -> None:
    """
    Give the frames of C{channel} to C{recorder} from now on, besides those that have them already.
    """
    channel.recorders += (recorder,)
    if not isinstance(channel, Recording):
        channel.__class__ = _recording(type(channel))
        channel.rebind()


def stopRecording(channel: Channel, recorder: FrameRecorder) -> None:
    """
    Undo L{startRecording}. Do nothing if C{recorder} isn't given the frames of C{channel}.
    """
    channel.recorders = tuple(one for one in channel.recorders if one is not recorder)
    if not channel.recorders and isinstance(channel, Recording):
        channel.stop()


class RecordingDecryptor:
    """
    A decryptor that records what it decrypts.

    @ivar decryptor: the decryptor that does the work.
    """

    __slots__ = ("_record", "decryptor")

    def __init__(self, decryptor: DecryptorType, record: Callable[[int, bytes], object]) -> None:
        """
        @param record: see L{FrameRecorder.record}.
        """
        self.decryptor = decryptor
        self._record = record

    @property
    def count(self) -> int:
        """
        See L{DecryptorType}.
        """
        return self.decryptor.count

    @property
    def rekeys(self) -> int:
        """
        See L{DecryptorType}.
        """
        return self.decryptor.rekeys

    def decrypt(self, frame: bytes, /) -> bytes | int:
        """
        See L{DecryptorType}. A plaintext begins with the protocol number.
        """
        plain = self.decryptor.decrypt(frame)
        if isinstance(plain, bytes):
            self._record(RECEIVED, ADDRESS_CONTROL + plain)
        return plain

    def decryptRun(self, frames: list[bytes], /) -> list[Packets]:
        """
        See L{DecryptorType}.
        """
        return decryptOneByOne(self, frames)

    def skip(self, packets: int, /) -> None:
        """
        See L{DecryptorType}.
        """
        self.decryptor.skip(packets)

    def copy(self) -> DecryptorType:
        """
        See L{DecryptorType}. Frames that are tried on the copy aren't recorded.
        """
        return self.decryptor.copy()


class Recording(Channel):
    """
    A channel whose frames are recorded; L{_recording} combines this class with a tunnel's class of
    channels. It has no attributes of its own, so that a channel can change its class. A recorder
    may end the recording while it is given a frame: the channel is of the tunnel's class then, so
    each method takes that of the tunnel before.

    @cvar plain: the tunnel's class.
    """

    __slots__ = ()

    direct = False
    plain: type[Channel]

    def rebind(self) -> None:
        """
        See L{Channel.rebind}.
        """
        super().rebind()
        self._setDecryptor(self._decryptor)

    def stop(self) -> None:
        """
        Return to the tunnel's class.
        """
        if isinstance(self._decryptor, RecordingDecryptor):
            super()._setDecryptor(self._decryptor.decryptor)
        self.__class__ = cast(Any, self.plain)
        self.rebind()

    def transmit(self, network: OpenProtocol | Passage, packets: Sequence[bytes]) -> None:
        """
        See L{Channel.transmit}.
        """
        transmit = super().transmit
        if self._encryptor is not None or not self._required:
            for packet in packets:
                self._record(SENT, network.protocol, packet)
        transmit(network, packets)

    def transmitCompressed(
        self, network: OpenProtocol, packet: bytes, form: OpenProtocol, frame: bytes
    ) -> None:
        """
        See L{Channel.transmitCompressed}. The packet is recorded as it was.
        """
        transmit = super().transmit
        self._record(SENT, network.protocol, packet)
        transmit(form, (frame,))

    def decompressed(self, protocol: int, packet: bytes) -> None:
        """
        See L{Channel.decompressed}.
        """
        decompressed = super().decompressed
        self._record(RECEIVED, protocol, packet)
        decompressed(protocol, packet)

    def sendFrame(self, protocol: int, information: bytes) -> None:
        """
        See L{Channel.sendFrame}.
        """
        sendFrame = super().sendFrame
        if not self._closed:
            self._record(SENT, protocol, information)
        sendFrame(protocol, information)

    def close(self) -> None:
        """
        See L{Channel.close}.
        """
        super().close()
        recorders, self.recorders = self.recorders, ()
        for recorder in recorders:
            recorder.closed()

    def _frame(self, protocol: int, information: bytes) -> None:
        """
        See L{Channel._frame}. Encrypted frames are recorded by the decryptor, and compressed ones
        by L{decompressed}.
        """
        handle = super()._frame
        if protocol not in (0, MPPE):
            self._record(RECEIVED, protocol, information)
        handle(protocol, information)

    def _setDecryptor(self, decryptor: DecryptorType | None) -> None:
        """
        See L{Channel._setDecryptor}.
        """
        if decryptor is not None:
            decryptor = RecordingDecryptor(decryptor, self._give)
        super()._setDecryptor(decryptor)

    def _record(self, direction: int, protocol: int, information: bytes) -> None:
        self._give(
            direction, b"%b%b%b" % (ADDRESS_CONTROL, protocol.to_bytes(2, "big"), information)
        )

    def _give(self, direction: int, frame: bytes) -> None:
        for recorder in self.recorders:
            recorder.record(direction, frame)


_derived: dict[type[Channel], type[Channel]] = {}


def _recording(plain: type[Channel]) -> type[Channel]:
    """
    Return the subclass of the channel class C{plain} whose frames are recorded.
    """
    if plain not in _derived:
        names: dict[str, Any] = {"__slots__": (), "plain": plain}
        _derived[plain] = type(f"Recording{plain.__name__}", (Recording, plain), names)
    return _derived[plain]
