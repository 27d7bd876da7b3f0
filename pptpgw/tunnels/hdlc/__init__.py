"""
PPP in HDLC-like framing (RFC 1662) over anything that carries a stream of octets: serial lines,
pseudoterminals, TCP and Unix connections, standard input and output.

Only the asynchronous framing with octet stuffing is implemented (RFC 1662 section 4). The
bit-stuffed framing of section 5 is left out, since it is for synchronous lines and done by their
hardware. The FCS of 32 bits is left out too, since no peer negotiates the FCS-Alternatives option
that it needs (RFC 1570 section 2.3).
"""
