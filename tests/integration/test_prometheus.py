"""
Debian's Prometheus reads the metrics of the whole program, with callers of our own.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.conftest import Serve
from tests.integration.test_records import Start
from tests.integration.world import ROOT, Program, World

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
GATEWAY, OWN = "127.0.0.1:8723", "127.0.0.1:9090"
SHIPPED = ROOT / "tap" / "prometheus"
CONFIGURATION = """
global:
  scrape_interval: 250ms
  evaluation_interval: 500ms
rule_files:
  - {rules}
scrape_configs:
  - job_name: pptpgw
    static_configs:
      - targets: ["{gateway}"]
"""
FETCH = """
import json, sys, urllib.error, urllib.parse, urllib.request

def get(url):
    try:
        return urllib.request.urlopen(url, timeout=10).read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError as error:
        return str(error)

json.dump([get(url) for url in json.load(sys.stdin)], sys.stdout)
"""

pytestmark = pytest.mark.skipif(
    PROMETHEUS is None or PROMTOOL is None, reason="needs Debian's package prometheus"
)


class Prometheus(Program):
    """
    A Prometheus in the gateway's namespace.
    """

    def __init__(self, world: World, folder: Path) -> None:
        folder.mkdir()
        path = folder / "prometheus.yml"
        path.write_text(CONFIGURATION.format(rules=SHIPPED / "alerts.yml", gateway=GATEWAY))
        super().__init__(
            world.gateway,
            folder / "log",
            str(PROMETHEUS),
            f"--config.file={path}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={OWN}",
        )
        self.waitFor("Server is ready to receive web requests", 60)

    def get(self, *paths: str) -> list[Any]:
        """
        Ask its interface, which answers JSON.
        """
        return [json.loads(one) for one in fetch(self, [f"http://{OWN}{path}" for path in paths])]

    def query(self, *expressions: str) -> list[Any]:
        """
        Evaluate expressions, which must succeed, and return what each of them finds.
        """
        answers = self.get(*(f"/api/v1/query?query={quote(one)}" for one in expressions))
        for expression, answer in zip(expressions, answers, strict=True):
            assert answer["status"] == "success", (expression, answer)
        return [answer["data"]["result"] for answer in answers]

    def waitForValue(self, expression: str, value: float, timeout: float = 20.0) -> None:
        """
        Wait until C{expression} has one result, C{value}.
        """
        deadline = time.monotonic() + timeout
        while True:
            (found,) = self.query(expression)
            if [float(one["value"][1]) for one in found] == [value]:
                return
            assert time.monotonic() < deadline, f"{expression}: {found}, not {value}"


def fetch(program: Program, urls: Iterable[str]) -> list[str]:
    """
    Get pages in the namespace of C{program}.
    """
    done = subprocess.run(
        program.namespace.command(sys.executable, "-c", FETCH),
        input=json.dumps(list(urls)),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.fixture
def prometheus(world: World, tmp_path: Path) -> Iterator[list[Prometheus]]:
    """
    A list of those that are stopped at the end.
    """
    started: list[Prometheus] = []
    yield started
    for one in started:
        one.stop()


def expressions() -> list[str]:
    """
    Every expression of the dashboard, with its variables replaced as Grafana replaces them.
    """
    board = json.loads((SHIPPED / "dashboard.json").read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    found += [one["expr"] for one in board["annotations"]["list"]]
    return [one.replace("$instance", ".*").replace("$__rate_interval", "1m") for one in found]


def _silent(folder: Path) -> dict[str, object]:
    """
    The section of a RADIUS server that doesn't answer.
    """
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_text("a secret of the tests\n")
    return {
        "host": "127.0.0.1",
        "auth-port": 1812,
        "acct-port": 1813,
        "secret-file": str(secret),
    }


def test_itReadsAndEvaluates(
    world: World, serve: Serve, client: Start, tmp_path: Path, prometheus: list[Prometheus]
) -> None:
    """
    Prometheus sees a caller come and go, and can evaluate every expression that comes with the
    gateway; promtool has nothing to say about the metrics.
    """
    served = serve(
        management={
            "endpoints": [f"tcp:{GATEWAY.rpartition(':')[2]}:interface=127.0.0.1"],
            "metrics-public": True,
        },
        limits={"max-sessions": 100},
        radius={"nas-identifier": "gate", "timeout": 1, "deadline": 2},
        **{"[radius.server]": _silent(tmp_path)},
    )
    one = Prometheus(world, tmp_path / "prometheus")
    prometheus.append(one)
    one.waitForValue("up", 1)
    one.waitForValue('pptpgw_sessions{state="active"}', 0)
    calling = client()
    call = calling.dial()
    one.waitForValue('pptpgw_sessions{state="active"}', 1)
    one.waitForValue('pptpgw_pool_addresses{state="used"}', 1)
    calling.ask("ping", call["number"])
    one.waitForValue('pptpgw_octets_total{direction="received"} > bool 0', 1)
    assert "error" in calling.ask("call", "alice", "wrong", 1400)
    one.waitForValue('pptpgw_refusals_total{cause="wrong-password"}', 1)
    one.waitForValue('pptpgw_radius_up{service="accounting"}', 0)
    one.waitForValue("pptpgw_accounting_spool_records > bool 0", 1)
    calling.ask("hangUp", call["number"])
    one.waitForValue('pptpgw_sessions{state="active"}', 0)
    one.waitForValue('pptpgw_session_ends_total{cause="user-request"}', 1)
    _evaluates(one)
    (text,) = fetch(one, [f"http://{GATEWAY}/metrics"])
    assert "alice" not in text and "192.0.2.10" not in text
    said = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, text=True
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
    assert json.loads(fetch(one, [f"http://{GATEWAY}/readyz"])[0]) == {"state": "ready"}
    assert served.running


def _evaluates(one: Prometheus) -> None:
    """
    Check that every expression of the dashboard and of the alerts can be evaluated, and that every
    metric that they name exists.
    """
    wanted = expressions()
    one.query(*wanted)
    (rules,) = one.get("/api/v1/rules")
    (group,) = rules["data"]["groups"]
    deadline = time.monotonic() + 20
    while {rule["health"] for rule in group["rules"]} != {"ok"}:
        assert time.monotonic() < deadline, group
        (rules,) = one.get("/api/v1/rules")
        (group,) = rules["data"]["groups"]
    (names,) = one.get("/api/v1/label/__name__/values")
    said = " ".join(wanted + [rule["query"] for rule in group["rules"]])
    assert set(re.findall(r"\b(?:pptpgw|process)_\w+\b", said)) <= {*names["data"], "pptpgw"}
