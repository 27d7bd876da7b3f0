"""
Tests of exports of RouterOS.
"""

from __future__ import annotations

from pptpgw.userfiles.entry import Entry, EntryFault, EntrySource
from pptpgw.userfiles.routeros import read

FILE = rb"""# nov/30/2026 10:00:00 by RouterOS 6.49.10
# software id = ABCD-EFGH
#
/ppp profile
add name=gold rate-limit=2M/4M
/ppp secret
add name=ann password=swordfish profile=default-encryption remote-address=\
    10.77.1.7 service=pptp
add caller-id=192.0.2.7 comment="the \"boss\"" disabled=yes limit-bytes-in=5 \
    name="b o b" password="a\$b\\c\_d\E4\
    e" profile=gold routes="10.8.0.0/16 10.77.1.8 1"
add name=carol password=x remote-address=guests local-address=10.0.0.1
add name=dave password=x service=l2tp
add name=erin
add name=ann password=again
add name=frank password=x caller-id=00:11:22:33:44:55
add name=gina password="open
set [ find name=hans ] password=x
add password=x
add name=ines password=x routes=10.8.0.1/16
add name=jo password=x service=any
add name=kim password=x service=pppoe
/ip pool
add name=guests ranges=10.78.0.0/24
"""


def test_aFile() -> None:
    found = list(read(EntrySource(FILE)))
    ann, bob, carol, dave, jo = [one for one in found if isinstance(one, Entry)]
    assert (ann.line, ann.name, ann.password) == (7, "ann", b"swordfish")
    assert ann.attributes == {"address": "10.77.1.7", "tunnels": "pptp"}
    assert (ann.shared, ann.disabled) == (None, False)
    assert (bob.name, bob.password) == ("b o b", b"a$b\\c d\xe4e")
    assert (bob.line, bob.shared, bob.disabled) == (9, "gold", True)
    assert bob.attributes == {"sources": "192.0.2.7", "routes": "10.8.0.0/16"}
    assert bob.notes == ("limit-bytes-in isn't kept",)
    assert carol.attributes == {"pool": "guests"}
    assert dave.attributes == {"tunnels": "l2tp"}
    assert jo.attributes == {}
    faults = [(one.line, one.name, one.why) for one in found if isinstance(one, EntryFault)]
    assert faults == [
        (
            14,
            "erin",
            "it has no password: RouterOS 7 exports them with show-sensitive only",
        ),
        (15, "ann", "an earlier line has this user"),
        (16, "frank", "caller-id '00:11:22:33:44:55': it is no address"),
        (17, "", "it can't be read behind 1 values"),
        (18, "", "only lines with add can be taken"),
        (19, "", "it has no name"),
        (20, "ines", "10.8.0.1/16 has host bits set"),
        (22, "kim", "it is for pppoe"),
    ]


def test_theSectionOnTheLineItself() -> None:
    (one,) = read(EntrySource(b"/ppp secret add name=ann password=x\n/ip pool add name=y\n"))
    assert isinstance(one, Entry) and one.name == "ann"


def test_noSection() -> None:
    """
    Lines may have been copied out of an export.
    """
    (one,) = read(EntrySource(b"add name=ann password=x\n/ip pool\nadd name=y\n"))
    assert isinstance(one, Entry) and one.name == "ann"
