"""
C{python -m tests.bench.radius FOLDER USERS} runs a FreeRADIUS, which logs everything, until its
standard input ends. It prints the section that a gateway needs to reach it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.bench.caller import PASSWORD
from tests.bench.process import settle
from tests.radius.freeradius import SECRET, FreeRADIUS


def serve(folder: Path, users: int) -> None:
    """
    Run the server.
    """
    lines = (f'caller{n} Cleartext-Password := "{PASSWORD}"\n' for n in range(users))
    server = FreeRADIUS(folder, "".join(lines))
    server.start()
    try:
        one = {"host": "127.0.0.1", "auth-port": server.authPort, "acct-port": server.acctPort}
        print(json.dumps({**one, "secret": SECRET}), flush=True)
        sys.stdin.read()
    finally:
        server.kill()


if __name__ == "__main__":
    settle(server=False)
    serve(Path(sys.argv[1]), int(sys.argv[2]))
