"""
Times of day as text.
"""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(time: float | None) -> str | None:
    """
    Return a time, in seconds since the epoch, as JSON has it: ISO 8601, in UTC. None stays None.
    """
    if time is None:
        return None
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
