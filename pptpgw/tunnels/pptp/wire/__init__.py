"""
The messages of PPTP and the headers of its GRE, as values that are encoded to octets and decoded
from them. There is no Twisted here, no clock and no state.
"""
