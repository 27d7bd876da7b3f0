"""
The pydoctor system that makes the API reference, C{make docs}.

It needs no network: a name of Twisted, zope.interface or the standard library is looked up in what
is installed, and linked to where its project publishes its documentation.
"""

from __future__ import annotations

import ast
import sys
from importlib.util import find_spec
from pkgutil import resolve_name

from pydoctor import extensions, model
from pydoctor.extensions.zopeinterface import ZopeInterfaceClass
from pydoctor.options import Options
from pydoctor.sphinx import SphinxInventory
from zope.interface.interface import InterfaceClass

TWISTED = "https://docs.twisted.org/en/stable/api"
PYTHON = "https://docs.python.org/3/library"
ZOPE = "https://zopeinterface.readthedocs.io/en/latest/api.html"


def split(name: str) -> tuple[str, list[str]]:
    """
    Return the dotted name of the module with which C{name} begins, and the names within it that
    follow.

    @raise ImportError: the first part of C{name} is no module.
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        try:
            if find_spec(module) is not None:
                return module, parts[length:]
        except ModuleNotFoundError:
            continue
    raise ImportError(name)


def exists(name: str) -> bool:
    """
    Return whether a dotted name is that of a module, or of an object in one.

    An interface's methods and attributes are found too, though they aren't attributes of it.
    """
    try:
        resolve_name(name)
    except (ImportError, AttributeError):
        owner, _, member = name.rpartition(".")
        return isInterface(owner) and member in resolve_name(owner)
    return True


def isInterface(name: str) -> bool:
    """
    Return whether a dotted name is that of a zope interface outside of pptpgw.
    """
    if name.partition(".")[0] not in {"twisted", "zope"}:
        return False
    try:
        return isinstance(resolve_name(name), InterfaceClass)
    except (ImportError, AttributeError):
        return False


class Installed(SphinxInventory):
    """
    An inventory that finds names in the installed packages.
    """

    def getLink(self, name: str) -> str | None:
        """
        Return the address of the documentation of C{name}, or None if there is no such name.
        """
        top = name.partition(".")[0]
        if not (top == "twisted" or top == "zope" or top in sys.stdlib_module_names):
            return None
        if not exists(name):
            return None
        module, members = split(name)
        if top == "zope":
            return f"{ZOPE}#{name}"
        if top != "twisted":
            return f"{PYTHON}/{module}.html#{name if members else ''}".rstrip("#")
        if not members or isinstance(resolve_name(f"{module}.{members[0]}"), type | InterfaceClass):
            page = ".".join([module, *members[:1]])
            return f"{TWISTED}/{page}.html#{'.'.join(members[1:])}".rstrip("#")
        return f"{TWISTED}/{module}.html#{members[0]}"


class Interfaces(extensions.ModuleVisitorExt):
    """
    Marks as interfaces the classes that extend one of Twisted, such as IPlugin.

    pydoctor itself knows only the interfaces that it documents.
    """

    when = extensions.ModuleVisitorExt.When.AFTER

    def depart_ClassDef(self, node: ast.ClassDef) -> None:
        """
        Mark a class as an interface if one of its bases is one.
        """
        made = self.visitor.builder.current.contents.get(node.name)
        if isinstance(made, ZopeInterfaceClass) and any(map(isInterface, made.bases)):
            made.isinterface = True
            made.kind = model.DocumentableKind.INTERFACE
            made.implementedby_directly = []


def setup_pydoctor_extension(registrar: extensions.ExtRegistrar) -> None:
    """
    Tell pydoctor about the extension in this module.
    """
    registrar.register_astbuilder_visitor(Interfaces)


class System(model.System):
    """
    A system with the inventory and the extension above.
    """

    custom_extensions = [__name__]

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self.intersphinx = Installed(logger=self.msg)
