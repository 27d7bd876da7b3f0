"""
The way in which the owners of calls and control connections are told about them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from pptpgw.log import Logger

_log = Logger()
_P = ParamSpec("_P")


def tell(function: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
    """
    Call a method of an owner. An exception that it raises is logged and goes no further, so that
    other owners are still told.
    """
    try:
        function(*args, **kwargs)
    except Exception:
        _log.failure("the owner of a call or control connection failed")
