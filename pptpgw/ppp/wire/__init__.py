"""
The packets of PPP and its authentication protocols, as values that are encoded to octets and
decoded from them. There is no Twisted here, no clock and no state.
"""
