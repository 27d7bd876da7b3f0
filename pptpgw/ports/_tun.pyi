from pptpgw.datapath.interface import DeliverPacket

INTERFACE: int

def writer(descriptor: int, /) -> DeliverPacket: ...
