"""
Sessions that an earlier run left open, found in the last part of the audit's file.

When the gateway is killed or the machine loses its power, the file has no end for the sessions that
were open. A session that began before the part of the file that is read isn't found here, but only
in the store, if there is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pptpgw.sessions.cause import Cause, Termination

BROKEN_OFF = Cause("the gateway's run broke off", Termination.NAS_REBOOT)
"""
The cause of the end of such sessions.
"""


class LeftOpen:
    """
    The sessions that lines of the audit mention.

    @ivar open: the values for the C{ended} of each session that has none, by its identifier.
    @ivar ended: the identifiers of the sessions that ended.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        """
        @param lines: lines of the audit; those that are no event of a session are skipped.
        """
        self.open: dict[str, dict[str, Any]] = {}
        self.ended: set[str] = set()
        for line in lines:
            try:
                event = json.loads(line)
                self._add(event["event"], event["session"], event)
            except (ValueError, TypeError, KeyError):
                continue

    def _add(self, kind: str, session: str, event: dict[str, Any]) -> None:
        if kind == "started":
            self.open[session] = {
                "user": event["user"],
                "source": event["source"],
                "tunnel": event.get("tunnel", ""),
                "started": event["time"],
                "method": event["method"],
                "addresses": {},
            }
        elif kind == "opened" and session in self.open:
            found = self.open[session]
            found["encryption"] = event["encryption"]
            found["addresses"][event["protocol"]] = event["addresses"]
        elif kind == "ended":
            self.open.pop(session, None)
            self.ended.add(session)
