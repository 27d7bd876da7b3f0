"""
What this machine has of what a configuration names.
"""

from __future__ import annotations

import os
import socket


def lackingAddress(address: str) -> str:
    """
    Why nothing can be served at the IPv4 address C{address} (dotted; empty or 0.0.0.0: every one);
    empty: it can.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # The kernel refuses an address that it doesn't have, whatever the port.
            probe.bind((address, 0))
        except OSError as error:
            return f"{address}: {error.strerror}: it must be one of this machine (ip address)"
    return ""


def lackingFile(path: str) -> str:
    """
    Why the file at C{path} can't be made or written; empty: it can.
    """
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        return f"{path}: there is no folder {folder}; mkdir -p {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{path}: the folder {folder} isn't writable"
    if os.path.lexists(path) and not os.access(path, os.W_OK):
        return f"{path}: it isn't writable"
    return ""


def lackingFolder(path: str) -> str:
    """
    Why files can't be made in the folder at C{path}, which comes into being with its first file;
    empty: they can.
    """
    if os.path.isdir(path):
        return lackingFile(os.path.join(path, "file"))
    return lackingFile(path)
