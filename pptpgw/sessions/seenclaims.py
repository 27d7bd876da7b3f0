"""
The claims of callers that other ends have told of, of which none is judged twice.

The challenge of such a claim isn't ours, so whoever has recorded it could repeat it. A repeated
claim is left out, and the caller is asked anew. A claim without a challenge, a password, is the
same each time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from hashlib import blake2b

from pptpgw.interfaces import Negotiated

REMEMBERED = 65536
"""
How many claims are remembered, the latest ones.
"""

_OCTETS = 16


class SeenClaims:
    """
    The claims that are remembered.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def unseen(self, negotiated: Negotiated | None) -> Negotiated | None:
        """
        Return C{negotiated}, without a claim that was there before, and remember the claim.
        """
        claim = None if negotiated is None else negotiated.claim
        if negotiated is None or claim is None or not claim.challenge:
            return negotiated
        digest = blake2b(claim.challenge + claim.response, digest_size=_OCTETS).digest()
        wasSeen = digest in self._seen
        self._seen[digest] = None
        self._seen.move_to_end(digest)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return replace(negotiated, claim=None) if wasSeen else negotiated
