"""
Finds objects that only the garbage collector would free.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from unittest.mock import patch

from twisted.python.failure import Failure

# While a test runs with Twisted 24, and C{twisted.trial.unittest} is imported, pytest replaces this
# initializer by one that also stores the traceback in an attribute that is never removed. The
# frames in the traceback then keep everything that waited for the failure. Modules are imported
# before any test runs, so this is the original.
_INITIALIZER = Failure.__init__


def leftBy(call: Callable[[], None]) -> Counter[type]:
    """
    Call C{call} twice, and return the types of the objects that the second call leaves to the
    garbage collector.
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
