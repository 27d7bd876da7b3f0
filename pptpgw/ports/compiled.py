"""
The check whether a compiled module fits the Python code that uses it.

Every compiled module has a twin in Python, which does the same, slower. The twin is used if the
module isn't built, or if it was built from another version of the source.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from pptpgw.log import Logger

INTERFACE = 10
"""
The number that every compiled module has as its C{INTERFACE}. It is incremented, here and in all of
them, when the functions or types of one change.
"""

_log = Logger()


@cache
def fits(module: ModuleType) -> bool:
    """
    Return whether C{module} may be used. The first time that a module doesn't fit, a warning is
    logged.
    """
    if getattr(module, "INTERFACE", None) == INTERFACE:
        return True
    _log.warn(
        "{module} isn't used, but its slower twin in Python: it was compiled from other source "
        "than the rest of pptpgw. Compile it again: pip install -e . in the folder of the source",
        module=module.__name__,
    )
    return False
