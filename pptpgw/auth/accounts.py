"""
The former module of L{AccountsChecker}, which is in L{pptpgw.auth.checkers} now.
"""

from __future__ import annotations

from twisted.python.deprecate import deprecatedModuleAttribute
from twisted.python.versions import Version

from pptpgw.auth.checkers import AccountsChecker, PasswordExpired

__all__ = ["AccountsChecker", "PasswordExpired"]

for _name in __all__:
    deprecatedModuleAttribute(
        Version("pptpgw", "NEXT", 0, 0), f"It is pptpgw.auth.checkers.{_name} now.", __name__, _name
    )
