"""
Tests that the configuration for strongSwan is made of the keys in force after a reload.
"""

from __future__ import annotations

from pathlib import Path

from pptpgw.config.configuration import parse
from pptpgw.interfaces import Reloaded
from pptpgw.ipsec.swanctl import written
from pptpgw.testing import resultOf
from tests.reload.world import World, shows


@shows(
    *(
        f"[ipsec] {name}"
        for name in (
            "secret-file",
            "certificate",
            "private-key",
            "ca",
            "name",
            "weak",
            "marks",
            "dead-peer",
        )
    )
)
def test_theConfigurationForStrongSwan(tmp_path: Path) -> None:
    secret = tmp_path / "psk"
    secret.touch(0o600)
    secret.write_text("open sesame")
    world = World()
    more = (
        f'[ipsec]\nsecret-file = "{secret}"\ncertificate = "/c"\nprivate-key = "/k"\nca = "/a"\n'
        'name = "vpn.example.com"\nweak = false\nmarks = true\ndead-peer = 7\nsocket = "/other"\n'
    )
    reloaded: Reloaded = resultOf(world.service.reload(parse(more, "after")))
    section = world.service.configuration.ipsec
    text = written(section, ())
    for line in (
        "secret = 0sb3BlbiBzZXNhbWU=",
        "certs = /c",
        "cacerts = /a",
        "install -m 600 /k ",
        "id = vpn.example.com",
        "mark_in = %unique",
        "dpd_delay = 7s",
    ):
        assert line in text
    assert "3des" not in text
    assert [one.name for one in reloaded.kept] == ["[ipsec] socket"]
    assert section.socket == "/run/charon.vici"
