"""
The configuration of strongSwan, in the form of swanctl.conf, for clients of L2TP over IPsec.

What is proposed is what the systems' clients send, by their documentation and the logs of gateways:

 - Windows: AES-256 with SHA-1 and the groups ecp384, modp2048; AES-128 with ecp256; 3DES with
   modp2048 and modp1024. Within ESP, AES-256, AES-128 and 3DES with SHA-1.
 - macOS and iOS: AES-256 with SHA-256 or SHA-1 and modp2048, and older ones modp1536 and modp1024.
   Within ESP, AES-256, AES-128 and 3DES with SHA-1, and others.
 - Android, as long as it has L2TP: AES-256, AES-128 and 3DES with SHA-384, SHA-256 and SHA-1, all
   with modp1024.

ESP has no SHA-256: Android truncates it to 96 bits, where RFC 4868 has 128, and calls both the
same. The gateway never rekeys first, since some clients don't answer that: they do it themselves.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address

from pptpgw.error import ConfigurationError
from pptpgw.ipsec.section import IPsecSection

PORT = 1701
"""
The UDP port of L2TP (RFC 3193 section 4), which systems' clients always call.
"""

SECRET, CERTIFICATE = "pptpgw-psk", "pptpgw-cert"
"""
The names of the connections: of clients with the pre-shared key, and of those with certificates.
"""

IKE = (
    "aes256-sha256-modp2048",
    "aes256-sha1-ecp384",
    "aes256-sha1-modp2048",
    "aes128-sha1-ecp256",
    "aes128-sha1-modp2048",
    "aes256-sha1-modp1536",
)
WEAK_IKE = (
    "aes256-sha384-modp1024",
    "aes256-sha256-modp1024",
    "aes256-sha1-modp1024",
    "aes128-sha1-modp1024",
    "3des-sha1-modp2048",
    "3des-sha1-modp1024",
)
ESP = ("aes256-sha1", "aes128-sha1")
WEAK_ESP = ("3des-sha1",)

HARD_LIFETIME = "24h"
"""
How long a client may go without rekeying.
"""


def written(section: IPsecSection, addresses: Sequence[IPv4Address]) -> str:
    """
    Return the configuration, which contains the pre-shared key.

    @param addresses: where the gateway is called; empty for every address.
    @raise ConfigurationError: clients can't authenticate, or a file can't be used.
    """
    if not section.isUsed:
        raise ConfigurationError(
            "[ipsec] has neither secret-file nor certificate: clients can't authenticate"
        )
    if section.certificate and not (section.privateKey and section.ca):
        raise ConfigurationError("[ipsec] certificate needs private-key and ca too")
    connections = []
    if section.secretFile:
        connections.append(
            _connection(section, addresses, SECRET, [("auth", "psk")], [("auth", "psk")])
        )
    if section.certificate:
        ours = [("auth", "pubkey"), ("certs", section.certificate)]
        theirs = [("auth", "pubkey"), ("cacerts", section.ca)]
        connections.append(_connection(section, addresses, CERTIFICATE, ours, theirs))
    lines = ["# Made by pptpgw ipsec print.", *_section("connections", _joined(connections))]
    if section.secretFile:
        # In base64 it may have any character.
        value = "0s" + b64encode(section.secret()).decode()
        secret = _section(f"ike-{SECRET}", [f"secret = {value}"])
        lines += _section("secrets", secret)
    if section.certificate:
        lines += [
            "# swanctl loads keys only from folders of its own:",
            f"#   install -m 600 {section.privateKey} /etc/swanctl/private/",
        ]
    return "\n".join(lines) + "\n"


def _connection(
    section: IPsecSection,
    addresses: Sequence[IPv4Address],
    name: str,
    ours: list[tuple[str, str]],
    theirs: list[tuple[str, str]],
) -> list[str]:
    ike = IKE + WEAK_IKE if section.weak else IKE
    esp = ESP + WEAK_ESP if section.weak else ESP
    if section.name:
        ours = [*ours, ("id", section.name)]
    child = [
        ("mode", "transport"),
        ("esp_proposals", ", ".join(esp)),
        ("local_ts", f"dynamic[udp/{PORT}]"),
        ("remote_ts", "dynamic[udp]"),
        ("rekey_time", "0s"),
        # By default as long as the lifetime, by which strongSwan would rekey at once, and for ever.
        ("rand_time", "0s"),
        ("life_time", HARD_LIFETIME),
        ("dpd_action", "clear"),
    ]
    if section.marks:
        child += [("mark_in", "%unique"), ("mark_out", "%unique")]
    whole = [("local_addrs", ", ".join(map(str, addresses)))] if addresses else []
    whole += [
        ("version", "1"),
        ("proposals", ", ".join(ike)),
        # Clients behind different NATs may have the same private address as their identity.
        ("unique", "never"),
        ("rekey_time", "0s"),
        ("reauth_time", "0s"),
        ("dpd_delay", f"{section.deadPeer:g}s"),
        ("dpd_timeout", f"{5 * section.deadPeer:g}s"),
    ]
    return _section(
        name,
        [
            *_settings(whole),
            *_section("local", _settings(ours)),
            *_section("remote", _settings(theirs)),
            *_section("children", _section(name, _settings(child))),
        ],
    )


def _settings(settings: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{name} = {_quoted(value)}" for name, value in settings]


def _quoted(value: str) -> str:
    """
    Return a value as strongSwan's files have it: in quotation marks if it has characters that mean
    something there.
    """
    if re.fullmatch(r"[\w./,:@%\[\] -]*", value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _section(name: str, lines: Iterable[str]) -> list[str]:
    return [f"{name} {{", *(f"  {line}" for line in lines), "}"]


def _joined(parts: Iterable[Iterable[str]]) -> Iterator[str]:
    for one in parts:
        yield from one
