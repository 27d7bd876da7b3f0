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
    What is to be made can't be, because there is one of this name.
    """


class Unknown(StoreError):
    """
    There is nothing of this name.
    """


class InUse(StoreError):
    """
    A profile can't be removed because users share it.
    """


class NotAllowed(StoreError):
    """
    A name or another value is none that the store can have; the text says what is allowed.
    """
