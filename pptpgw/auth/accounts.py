"""
The former module of the checker of accounts, which is in L{pptpgw.auth.checkers} now.
"""

from __future__ import annotations

from twisted.python.deprecate import deprecatedModuleAttribute
from twisted.python.versions import Version

from pptpgw.auth.checkers import AccountsChecker as AccountsChecker
from pptpgw.auth.checkers import PasswordExpired as PasswordExpired

for _name in ("AccountsChecker", "PasswordExpired"):
    deprecatedModuleAttribute(
        Version("pptpgw", "NEXT", 0, 0), f"It is pptpgw.auth.checkers.{_name} now.", __name__, _name
    )
