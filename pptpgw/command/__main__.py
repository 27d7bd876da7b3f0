"""
C{python -m pptpgw.command}, which is the command C{pptpgw}.
"""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """
    The entry point: run the command line of this process, and exit. The status is 130 after Ctrl-C
    before the reactor runs, also while modules are imported.
    """
    try:
        from pptpgw.ports.loading import loading

        with loading():
            from pptpgw.command.main import main

        main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
