"""
Checks of whether this machine has what a configuration names.
"""

from __future__ import annotations

import os
import socket


def lackingAddress(address: str) -> str:
    """
    Return why nothing can listen at the IPv4 address C{address}; an empty text if it can.

    @param address: the address, dotted; empty or 0.0.0.0 for every address.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # The kernel refuses an address that the machine doesn't have, whatever the port.
            probe.bind((address, 0))
        except OSError as error:
            return f"{address}: {error.strerror}: it must be one of this machine (ip address)"
    return ""


def lackingFile(path: str) -> str:
    """
    Return why the file at C{path} can't be made or written; an empty text if it can.
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
    Return why files can't be made in the folder at C{path}, which need not exist; an empty text if
    they can.
    """
    if os.path.isdir(path):
        return lackingFile(os.path.join(path, "file"))
    return lackingFile(path)
