"""
What can go wrong with the store.
"""

from __future__ import annotations

from pptpgw.error import PPTPGWError


class StoreError(PPTPGWError):
    """
    The database can't answer, or not in time; the text says why, and has no secret in it.
    """


class Taken(StoreError):
    """
    There is one of this name already.
    """


class Unknown(StoreError):
    """
    There is none of this name.
    """


class InUse(StoreError):
    """
    It can't be removed while others need it.
    """
