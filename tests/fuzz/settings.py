"""
Fuzzing of what operators write: the configuration, users and their secrets, filters and hours.

An invalid text must raise L{ConfigurationError}, or C{ValueError} where only a word is judged.
"""

from __future__ import annotations

from itertools import pairwise

from pptpgw.auth import chapsecrets
from pptpgw.config import configuration
from pptpgw.error import ConfigurationError
from pptpgw.sessions import hours
from pptpgw.sessions.filter import Filter
from pptpgw.sessions.hours import Hours
from pptpgw.tunnels.l2tp.secrets import _rows
from tests.fuzz.reader import Target


def _configuration(octets: bytes) -> None:
    """
    A configuration file.
    """
    try:
        configuration.parse(octets.decode("utf-8", "replace"), "pptpgw.toml")
    except ConfigurationError as error:
        assert str(error).startswith("pptpgw.toml: ")


def _secrets(octets: bytes) -> None:
    """
    A chap-secrets file, and the secrets that are found in it.
    """
    try:
        found = chapsecrets.parse(octets, "chap-secrets")
    except ConfigurationError as error:
        assert str(error).startswith("chap-secrets, line ")
        return
    for client in (*found.clients, b"alice"):
        secret = found.find(client, b"server")
        assert secret is None or secret.client in (client, b"*")


def _tunnelSecrets(octets: bytes) -> None:
    """
    A file with the secrets of L2TP's peers.
    """
    text = octets.decode("utf-8", "surrogateescape")
    try:
        rows = list(_rows("l2tp-secrets", text))
    except ConfigurationError as error:
        assert str(error).startswith("l2tp-secrets, line ")
        return
    assert len(rows) <= len(text.splitlines())


def _filter(octets: bytes) -> None:
    """
    A rule of a filter.
    """
    try:
        made = Filter((octets.decode("latin-1"),))
    except ValueError:
        return
    made.permits(bytes.fromhex("4500001c0000000040110000") + bytes(16))


def _hours(octets: bytes) -> None:
    """
    The hours of an account.
    """
    try:
        spans = hours.parse(octets.decode("latin-1")).spans
    except ConfigurationError:
        return
    assert spans and all(start < end for start, end in spans)
    assert all(first[1] < second[0] for first, second in pairwise(spans))
    assert Hours(spans).left(0.0) >= 0


TARGETS: dict[str, Target] = {
    "configuration": _configuration,
    "filter": _filter,
    "hours": _hours,
    "secrets": _secrets,
    "tunnel-secrets": _tunnelSecrets,
}
"""
Targets by name.
"""
