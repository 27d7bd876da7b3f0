"""
What only the garbage collector would find.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable


def leftBy(call: Callable[[], None]) -> Counter[type]:
    """
    The types of what C{call} leaves to the collector, the second time.
    """
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
