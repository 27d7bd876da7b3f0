"""
The files of the web console, which a browser loads and runs.

They are in the folder C{browser}. Anybody may have them: what they show comes from the operations,
which ask who the operator is.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request

FOLDER = "browser"

_TYPES = {
    "css": b"text/css; charset=utf-8",
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}


class Asset(Resource):
    """
    A file of the console, which is kept in memory and answered to everybody.
    """

    isLeaf = True

    def __init__(self, octets: bytes, kind: bytes) -> None:
        """
        @param kind: the media type.
        """
        Resource.__init__(self)
        self._octets = octets
        self._kind = kind

    def render_GET(self, request: Request) -> bytes:
        """
        Answer with the file and its media type.
        """
        request.setHeader(b"content-type", self._kind)
        return self._octets


def console() -> dict[bytes, Resource]:
    """
    Read the files, and return their resources by the first part of the path.
    """
    folder = Resource()
    made: dict[bytes, Resource] = {b"console": folder}
    source: Any = files(__package__) / FOLDER
    for path in source.iterdir():
        kind = _TYPES.get(path.name.rpartition(".")[2])
        if kind is None:
            continue
        asset = Asset(path.read_bytes(), kind)
        if path.name == "index.html":
            made[b""] = asset
        else:
            folder.putChild(path.name.encode(), asset)
    return made
