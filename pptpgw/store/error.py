"""
The exceptions that the store raises.
"""

from __future__ import annotations

from pptpgw.error import PPTPGWError


class StoreError(PPTPGWError):
    """
    The database can't answer, or can't in time; the text says why, and contains no secret.
    """


class Taken(StoreError):
    """
    A user or profile can't be made because there is one of this name.
    """


class Unknown(StoreError):
    """
    There is no user or profile of this name.
    """


class InUse(StoreError):
    """
    A profile can't be removed because users share it.
    """
