"""
Tests for L{pptpgw.counting.bucket}.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from pptpgw.counting.bucket import Bucket


def test_burst() -> None:
    """
    A bucket gives its burst at once, and then nothing until time passes.
    """
    clock = Clock()
    bucket = Bucket(clock.seconds, (2.0, 3.0))
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    clock.advance(0.5)
    assert [bucket.take() for _ in range(2)] == [True, False]
    clock.advance(100)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


def test_several() -> None:
    """
    Several are taken together or not at all.
    """
    bucket = Bucket(Clock().seconds, (1.0, 3.0))
    assert not bucket.take(4)
    assert bucket.take(2.5)
    assert not bucket.take()
    assert bucket.take(0.5)
