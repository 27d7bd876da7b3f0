"""
The PPP link and the protocols that set it up: LCP, authentication, CCP, and the state machine that
all control protocols share (RFC 1661).
"""
