from pptpgw.datapath.edges import Receive
from pptpgw.ports.gre import Arrival

def receive(descriptor: int, channels: dict[int, Receive], /) -> list[Arrival]: ...
