"""
PPP in HDLC-like framing (RFC 1662) on anything that carries a stream of octets: serial lines,
pseudoterminals, TCP and Unix connections, standard input and output.

Only the asynchronous framing with octet stuffing (RFC 1662 section 4) is spoken. The bit-stuffed
framing of section 5 is for synchronous lines, whose hardware does it, and is left out. So is the
FCS of 32 bits: no peer negotiates the FCS-Alternatives option (RFC 1570 section 2.3) that it needs.
"""
