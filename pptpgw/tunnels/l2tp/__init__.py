"""
L2TP (RFC 2661): PPP over UDP.

The RFC's tunnel is called a control connection here, since a tunnel is every protocol by which
callers arrive; its session is called a call.
"""
