from pptpgw.datapath.edges import Deliver

INTERFACE: int

def writer(descriptor: int, /) -> Deliver: ...
