from pptpgw.datapath.interface import Receive, Send
from pptpgw.tunnels.pptp.port.raw import Run

INTERFACE: int

def receive(descriptor: int, channels: dict[int, Receive], /) -> list[Run]: ...
def sender(descriptor: int, source: bytes, destination: bytes, /) -> Send: ...
