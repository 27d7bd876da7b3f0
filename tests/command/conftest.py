"""
Fixtures of the tests of commands.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command.invocation import Command, runner


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """
    A configuration whose store doesn't exist yet, and whose gateway doesn't run.
    """
    path = tmp_path / "pptpgw.toml"
    path.write_text(
        f'[accounts]\nstore = "sqlite:{tmp_path}/accounts.sqlite"\nkey = "{tmp_path}/key"\n'
        f'[management]\nendpoints = ["unix:{tmp_path}/management.sock:mode=600"]\n'
    )
    return path


@pytest.fixture
def pptpgw(
    configuration: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """
    Run a command, see L{runner}.
    """
    return runner(configuration, capsys, monkeypatch)
