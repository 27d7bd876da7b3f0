"""
The limit on the files, and so the connections, that this process may have open.
"""

from __future__ import annotations

import resource


def allowDescriptors(count: int) -> int:
    """
    Raise the process's own limit of open files to C{count}, or to what the machine allows.

    @return: the limit in force.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return count if soft == resource.RLIM_INFINITY else soft
