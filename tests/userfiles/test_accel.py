"""
Tests of accel-ppp's chap-secrets.
"""

from __future__ import annotations

import pytest

from pptpgw.error import ConfigurationError
from pptpgw.userfiles.accel import read, speed
from pptpgw.userfiles.entry import Entry, EntryFault, EntrySource

FILE = rb"""
# comment
ann * "correct \"horse" 10.77.1.7 2048/512
bob	*	battery	*	1024
carol l2tp staple guests
dave * x - 0
erin * 'it is' !
ann * again * 1
frank * x
gina * "open
hans * x * fast
ines * "" *
kurt # * *
"""


def test_aFile() -> None:
    """
    Speeds are kilobits a second, to the user and from the user.
    """
    found = list(read(EntrySource(FILE)))
    entries = {one.name: one for one in found if isinstance(one, Entry)}
    assert list(entries) == ["ann", "bob", "carol", "dave", "erin", "kurt"]
    ann = entries["ann"]
    assert (ann.line, ann.password) == (3, b'correct "horse')
    assert ann.attributes == {
        "address": "10.77.1.7",
        "send-rate": "2048000",
        "receive-rate": "512000",
    }
    assert entries["bob"].attributes == {"send-rate": "1024000", "receive-rate": "1024000"}
    assert entries["carol"].attributes == {"pool": "guests"}
    assert entries["dave"].attributes == {}
    assert entries["erin"].password == b"it is"
    assert entries["kurt"].password == b"*"
    faults = {(one.line, one.name): one.why for one in found if isinstance(one, EntryFault)}
    assert faults == {
        (8, "ann"): "an earlier line has this user",
        (9, "frank"): "3 words; client, server, secret and address are needed",
        (10, ""): "a quote is not closed",
        (11, "hans"): "speed 'fast': must be DOWN/UP in kilobits a second",
        (12, "ines"): "its password is empty",
    }


@pytest.mark.parametrize("text", ["2048/512", "2048:512", "2048\\512"])
def test_separators(text: str) -> None:
    assert speed(text) == {"send-rate": "2048000", "receive-rate": "512000"}


@pytest.mark.parametrize("text", ["", "1,2048/512", "2048/", "-1", "2M/1M", "99999999999"])
def test_speedsThatCannotBeKept(text: str) -> None:
    """
    A speed for a time range, too, is none that an account has.
    """
    with pytest.raises(ConfigurationError):
        speed(text)
