from pptpgw.datapath.interface import ReceiveFrames, SendPacket
from pptpgw.tunnels.pptp.port.raw import Run

INTERFACE: int

def receive(descriptor: int, channels: dict[int, ReceiveFrames], /) -> list[Run]: ...
def sender(descriptor: int, source: bytes, destination: bytes, /) -> SendPacket: ...
