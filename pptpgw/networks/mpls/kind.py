"""
The kinds of value of the section C{[mpls]}: labels, and routes by them.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from itertools import pairwise

from pptpgw.config.kind import ADDRESS, ValueKind, exactly, require
from pptpgw.networks.mpls.wire.mpls import LARGEST, UNRESERVED

LabelRange = tuple[int, int]
"""
The first and the last of a run of labels.
"""

LabelRoute = tuple[int, int, IPv4Address]
"""
The label of a packet that arrives, the label that replaces it, and the address of the session that
the packet goes to.
"""


def _label(text: str) -> int:
    label = int(text)
    require(UNRESERVED <= label <= LARGEST)
    return label


def _labelRange(value: object) -> LabelRange:
    """
    Convert C{"a-b"}, or one label.
    """
    match = re.fullmatch(r"(\d{1,7})(?: *- *(\d{1,7}))?", exactly(str, value), re.ASCII)
    require(match is not None)
    assert match is not None
    first, last = _label(match[1]), _label(match[2] or match[1])
    require(first <= last)
    return first, last


def _labels(value: object) -> tuple[LabelRange, ...]:
    ranges = tuple(_labelRange(one) for one in exactly(list, value))
    require(all(a[1] < b[0] for a, b in pairwise(sorted(ranges))))
    return ranges


def _labelRoute(value: object) -> LabelRoute:
    """
    Convert C{"a as b via c"}: the label that arrives, the label that replaces it, and the address
    of the session.
    """
    match = re.fullmatch(r"(\d{1,7}) as (\d{1,7}) via (\S+)", exactly(str, value), re.ASCII)
    require(match is not None)
    assert match is not None
    return _label(match[1]), _label(match[2]), ADDRESS.convert(match[3])


def _labelRoutes(value: object) -> tuple[LabelRoute, ...]:
    routes = tuple(_labelRoute(one) for one in exactly(list, value))
    require(len({label for label, _, _ in routes}) == len(routes))
    return routes


LABELS = ValueKind(
    f'a list of labels and ranges "FIRST-LAST" of them, from {UNRESERVED} to {LARGEST}, none '
    "overlapping another",
    _labels,
)
LABEL_ROUTES = ValueKind(
    f'a list of routes "LABEL as LABEL via IPV4-ADDRESS", labels from {UNRESERVED} to {LARGEST}, '
    "one route for a label",
    _labelRoutes,
)
