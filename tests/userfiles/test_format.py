"""
Tests of the recognition of formats, and that no file breaks a reader.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pptpgw.userfiles.entry import Entry, EntryFault, EntrySource
from pptpgw.userfiles.format import FORMATS, detect
from tests.userfiles import test_accel, test_freeradius, test_routeros


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"ann * x *\n", "chap-secrets"),
        (b"ann * x 10.77.1.7 10.77.1.8\n", "chap-secrets"),
        (b"# ann * x * 1024\nann * x *\n", "chap-secrets"),
        (b"", "chap-secrets"),
        (b"ann * abc==x *\nbob * Ab-c :=d\n", "chap-secrets"),
        (b'"b o b"\tNT-Password := x\n', "freeradius"),
        (b"ann * x *\nbob * x 10.77.1.7 1024/512\n", "accel"),
        (b"add name=ann password=x\n", "routeros"),
        (b"/ppp secret\nadd name=ann password=x\n", "routeros"),
        (b'ann Cleartext-Password := "x"\n', "freeradius"),
        (b'\n{"name": "ann"}\n', "json"),
        (test_accel.FILE, "accel"),
        (test_routeros.FILE, "routeros"),
        (test_freeradius.FILE, "freeradius"),
    ],
)
def test_detect(content: bytes, name: str) -> None:
    assert detect(content) == name


_PIECES = st.sampled_from(
    [
        b" ",
        b"\n",
        b"\t",
        b'"',
        b"'",
        b"\\",
        b"#",
        b"{",
        b"}",
        b"=",
        b":=",
        b",",
        b"/ppp secret\n",
        b"add name=a password=b",
        b"ann Cleartext-Password := x",
        b"10.77.1.7",
        b"ann * x *",
        b"1/2",
        b'{"name": "ann", "nt_hash": "00"}',
        b"\tFramed-Route = x",
        b"\xff",
        b"\0",
    ]
)


@given(st.lists(_PIECES | st.binary(max_size=4), max_size=30), st.sampled_from(sorted(FORMATS)))
@example([b'"'], "chap-secrets")
def test_anyFile(pieces: list[bytes], name: str) -> None:
    """
    Whatever the file, it has users and faults, each with the number of a line.
    """
    content = b"".join(pieces)
    detect(content)
    for one in FORMATS[name].read(EntrySource(content, "pptpgw")):
        assert isinstance(one, Entry | EntryFault)
        assert 1 <= one.line <= content.count(b"\n") + content.count(b"\r") + 20
