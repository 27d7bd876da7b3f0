"""
Tests of FreeRADIUS' users file.
"""

from __future__ import annotations

from pptpgw.ppp.mschap import ntPasswordHash
from pptpgw.userfiles.entry import Entry, EntryFault, EntrySource
from pptpgw.userfiles.freeradius import read

HASH = ntPasswordHash(b"battery").hex()
FILE = f"""
# comment
ann  Cleartext-Password := "correct \\"horse", Simultaneous-Use := 2  # her
\tFramed-IP-Address = 10.77.1.7,
\tFramed-Route = "10.8.0.0/16 0.0.0.0 1",
\tSession-Timeout = 3600, Idle-Timeout = 60,
\tMikrotik-Rate-Limit = "512k/2M",
\tReply-Message = "Hello, %{{User-Name}}",
\tMS-Primary-DNS-Server = 192.0.2.1,
\tTunnel-Password = x,
\tFall-Through = Yes

"b o b" NT-Password := 0x{HASH.upper()}, Service-Type == Framed-User
\tService-Type = Framed-User
carol Auth-Type := Reject
    Reply-Message = 'no'
dave User-Password == "x", Calling-Station-Id == "192.0.2.0/24"
DEFAULT Framed-Protocol == PPP
\tFramed-Protocol = PPP
erin Cleartext-Password := "x", Huntgroup-Name == "here"
frank Cleartext-Password := "x", Expiration := "30 Nov 2026"
gina Crypt-Password := "$1$x"
hans Cleartext-Password := "x"
\tFramed-IP-Address = somewhere
ines Cleartext-Password := "x"
\tFramed-IP-Address = 224.0.0.1
kurt Cleartext-Password := "open
ann Cleartext-Password := "again"
$INCLUDE other
lena NT-Password := abcd
""".encode()


def test_aFile() -> None:
    found = list(read(EntrySource(FILE)))
    ann, bob, carol, dave = [one for one in found if isinstance(one, Entry)]
    assert (ann.line, ann.name, ann.password) == (3, "ann", b'correct "horse')
    assert ann.attributes == {
        "address": "10.77.1.7",
        "routes": "10.8.0.0/16",
        "dns": "192.0.2.1",
        "sessions": "2",
        "session-timeout": "3600",
        "idle-timeout": "60",
        "receive-rate": "512000",
        "send-rate": "2000000",
    }
    assert ann.notes == ("Tunnel-Password isn't kept",)
    assert (bob.name, bob.password, bob.ntHash.hex()) == ("b o b", None, HASH)
    assert (carol.password, carol.disabled) == (None, True)
    assert (dave.password, dave.attributes) == (b"x", {"sources": "192.0.2.0/24"})
    faults = {(one.line, one.name): one.why for one in found if isinstance(one, EntryFault)}
    assert faults == {
        (18, "DEFAULT"): "a store has no user that stands for all others",
        (20, "erin"): "the check of Huntgroup-Name can't be kept",
        (21, "frank"): "the check of Expiration can't be kept",
        (22, "gina"): "the check of Crypt-Password can't be kept",
        (23, "hans"): "Framed-IP-Address = 'somewhere': no value of it",
        (25, "ines"): "Framed-IP-Address: 224.0.0.1 is no host's address",
        (27, "kurt"): "item 1 can't be read",
        (28, "ann"): "an earlier entry has this user",
        (29, "$INCLUDE"): "other files aren't read",
        (30, "lena"): "its NT-Password hasn't 16 octets",
    }
