"""
Descriptors: the limit on the files, and so the connections, that this process may have open, and
another socket for a number that others know.
"""

from __future__ import annotations

import os
import resource
import socket


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


def putSocket(opened: socket.socket, number: int) -> None:
    """
    Have the descriptor C{number} be that of C{opened}, which isn't used otherwise any more. The
    number may be that of C{opened} already, if it was closed by somebody else before.
    """
    if opened.fileno() == number:
        opened.detach()
    else:
        os.dup2(opened.fileno(), number, inheritable=False)
        opened.close()
