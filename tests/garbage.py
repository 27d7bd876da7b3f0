"""
What only the garbage collector would find.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from unittest.mock import patch

from twisted.python.failure import Failure

# While a test runs with Twisted 24, and C{twisted.trial.unittest} is imported, pytest replaces this
# by one that also stores the traceback, in an attribute that nobody removes. The frames in there
# then keep whoever waited for the failure. Modules are imported before any test runs.
_INITIALIZER = Failure.__init__


def leftBy(call: Callable[[], None]) -> Counter[type]:
    """
    The types of what C{call} leaves to the collector, the second time.
    """
    with patch.object(Failure, "__init__", _INITIALIZER):
        call()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            call()
            gc.collect()
            return Counter(map(type, gc.garbage))
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
