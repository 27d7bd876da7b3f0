"""
The garbage collector while a process imports its modules. This affects the whole process.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """
    Collect nothing while this context lasts, in which a program imports its modules, and freeze
    what there is at the end: nearly all that modules make stays, and looking through it again and
    again takes a tenth of the start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
