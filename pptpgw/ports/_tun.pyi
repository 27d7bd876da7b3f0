from pptpgw.datapath.interface import Deliver

INTERFACE: int

def writer(descriptor: int, /) -> Deliver: ...
