"""
The name servers that the other end of a dialled call tells, in a file as the resolver reads it
(resolv.conf(5)). Programs such as dnsmasq follow a file of their own; C{/etc/resolv.conf} itself is
better left to whoever manages it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from pptpgw.ports.keptfile import KeptFile

MODE = 0o644
"""
The mode of the file, which every program may read.
"""

_LIMIT = 8192


class Names:
    """
    The file of one dialled call, which has no name servers while the call isn't up.
    """

    def __init__(self, clock: IReactorTime, name: str, path: str) -> None:
        """
        @param name: the name of the call.
        @param path: the path of the file; empty for none.
        """
        self._clock = clock
        self._name = name
        self._file = KeptFile(clock, Path(path), _LIMIT, MODE) if path else None

    def tell(self, servers: Sequence[str], domains: Sequence[str] = ()) -> None:
        """
        Write the name servers, and the domains to search, in place of others.
        """
        if self._file is not None:
            lines = [f"# Of the call {self._name!a} that pptpgw dials.", ""]
            lines[1:1] = [f"nameserver {one}" for one in servers]
            if domains:
                lines.insert(-1, f"search {' '.join(domains)}")
            self._file.write("\n".join(lines).encode("ascii"))

    def stop(self) -> Deferred[None]:
        """
        Forget all name servers.

        @return: fires when the file is written.
        """
        if self._file is None:
            return succeed(None)
        self.tell(())
        return self._file.stop()
