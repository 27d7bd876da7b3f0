"""
Tests for L{pptpgw.ports.loading}.
"""

from __future__ import annotations

import gc

import pytest

from pptpgw.ports.loading import loading


def test_nothingIsCollectedAndWhatThereIsIsFrozen() -> None:
    with loading():
        assert not gc.isenabled()
        made = [[number] for number in range(100)]
        before = gc.get_freeze_count()
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)


def test_anErrorPutsTheCollectorBack() -> None:
    with pytest.raises(ImportError), loading():
        raise ImportError
    assert gc.isenabled()
