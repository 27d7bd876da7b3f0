"""
Sessions of a run before this one that nobody saw the end of, as the end of the audit's file has
them.

The gateway was killed, or the machine lost its power: these sessions began and did not end. One
that began before the part of the file that is looked at isn't found here, but in the store, where
there is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pptpgw.cause import Cause, Termination

BROKEN_OFF = Cause("the gateway's run broke off", Termination.NAS_REBOOT)
"""
Why they ended.
"""


class Earlier:
    """
    What lines of the audit say of sessions.

    @ivar open: by the identifiers of those that did not end, what their C{ended} can say.
    @ivar ended: the identifiers of those that did.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        """
        @param lines: what is no event of a session is passed over.
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
