"""
The environment variables of this process.
"""

from __future__ import annotations

import os


def variable(name: str) -> str | None:
    """
    Return the value of an environment variable; None if it isn't set, or is empty.
    """
    return os.environ.get(name) or None
