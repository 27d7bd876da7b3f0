"""
Tests for what an installation gives, and for what its removal leaves. None needs the internet.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

from pptpgw import __version__
from tests.floors import floors

ROOT = Path(__file__).parent.parent
NOT_SOURCE = shutil.ignore_patterns(
    ".git",
    ".venv",
    ".nox",
    "build",
    "dist",
    "state",
    "*.egg-info",
    "*.so",
    "__pycache__",
    ".*_cache",
)
METADATA = """
from importlib.metadata import metadata
found = metadata("pptpgw")
for name in ("Version", "License-Expression", "Requires-Python"):
    print(found[name])
print(found.get_all("License-File"))
print("twisted[tls]>=24.3" in found.get_all("Requires-Dist"))
"""
TWISTED = distribution("Twisted")
TWISTD = next(path for path in TWISTED.files or () if path.name == "twistd")


def test_everythingNeededHasALowestVersion() -> None:
    """
    Every dependency has a lowest version, which C{make floors} tests.
    """
    needed = {name for name, _, version in (one.partition("==") for one in floors()) if version}
    assert {"twisted", "service-identity", "pyopenssl", "cryptography", "psycopg"} <= needed


class Environment:
    """
    A virtual environment with Twisted in its own site-packages, as after C{pip install twisted}.
    Twisted's dependencies and setuptools are those of the environment that runs the tests.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        venv.create(path, with_pip=False, symlinks=True)
        self.python = path / "bin/python"
        self.packages = next(path.glob("lib/python*/site-packages"))
        base = Path(str(TWISTED.locate_file("")))
        for part in (base / "twisted", base / f"twisted-{TWISTED.version}.dist-info"):
            shutil.copytree(
                part,
                self.packages / part.name,
                ignore=shutil.ignore_patterns("test"),
            )
        (self.packages / "twisted/plugins/dropin.cache").unlink(missing_ok=True)
        (self.packages / "outside.pth").write_text(f"{base}\n")
        self.whole = self.files("twisted")

    def files(self, name: str) -> set[Path]:
        """
        Every file below C{name} in site-packages, without the caches of Python and twistd.
        """
        return {
            path
            for path in (self.packages / name).rglob("*")
            if path.is_file() and path.suffix != ".pyc" and path.name != "dropin.cache"
        }

    def run(self, *command: str, **environment: str) -> str:
        """
        The output of C{python COMMAND}, run in a folder that isn't a checkout.
        """
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            [self.python, *command],
            cwd=self.path,
            env=clean | environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pip(self, *command: str, **environment: str) -> None:
        """
        Run pip on this environment, without an index.
        """
        quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1", "PIP_QUIET": "1"}
        arguments = ["-m", "pip", "--python", str(self.python), *command]
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env=os.environ | quiet | environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def install(self, *what: str, **environment: str) -> None:
        """
        Run C{pip install WHAT} without an index.
        """
        self.pip("install", "--no-build-isolation", "--no-deps", *what, **environment)

    def twistd(self, *arguments: str) -> str:
        """
        The output of the twistd script.
        """
        return self.run(str(TWISTED.locate_file(TWISTD)), *arguments)

    def offersGateway(self) -> bool:
        """
        Whether twistd lists the plugin among its commands.
        """
        listing = self.twistd("--help").partition("Commands:")[2]
        assert "web" in listing
        return any(line.split()[:1] == ["pptpgw"] for line in listing.splitlines())

    def offersPlugins(self) -> bool:
        """
        Whether the gateway's plugins of each necessary kind are found.
        """
        words = self.twistd("pptpgw", "--help-plugins").split()
        return {"ipv4", "mschapv2", "ranges", "python", "chap-secrets"} <= set(words)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The sdist, made from a copy of the source.
    """
    folder = tmp_path_factory.mktemp("sdist")
    source = shutil.copytree(ROOT, folder / "source", ignore=NOT_SOURCE)
    build = "import sys, setuptools.build_meta as b; b.build_sdist(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=300,
    )
    (archive,) = folder.glob("*.tar.gz")
    return archive


def unpacked(archive: Path, folder: Path) -> Path:
    """
    Unpack the sdist's contents into C{folder}, and return where they are.
    """
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The wheel, made from the sdist without what the commands import.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"
    setuptools = Path(str(distribution("setuptools").locate_file("")))
    alone = folder / "alone"
    alone.mkdir()
    for part in (*setuptools.glob("setuptools*"), *setuptools.glob("_distutils_hack")):
        (alone / part.name).symlink_to(part)
    subprocess.run(
        [sys.executable, "-S", "-c", build, str(folder)],
        cwd=unpacked(archive, folder),
        env=os.environ | {"PYTHONPATH": str(alone)},
        check=True,
        capture_output=True,
        timeout=300,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")


def test_theSourceArchiveHoldsTheWaysToDeployAndTheTests(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    for name in (
        "LICENSE",
        "Makefile",
        "noxfile.py",
        "pyproject.toml",
        "setup.py",
        "README.md",
        "pptpgw/datapath/_mppe.c",
        "pptpgw/datapath/native/rc4.c",
        "pptpgw/datapath/native/rc4.h",
        "pptpgw/datapath/native/segment.c",
        "pptpgw/ports/_tun.c",
        "pptpgw/ppp/_des.c",
        "pptpgw/ppp/_md4.c",
        "pptpgw/tunnels/pptp/port/_gre.c",
        "tap/gateway.tac",
        "tap/pptpgw.service",
        "tap/pptpgw.toml",
        "tests/conftest.py",
        "tests/lab/uml-run",
        "twisted/plugins/pptpgw_plugin.py",
    ):
        assert name in names


def test_installingGivesTheCommandAndUninstallingLeavesTwistedWhole(
    environment: Environment, wheel: Path
) -> None:
    environment.install(str(wheel))
    assert environment.offersGateway() and environment.offersPlugins()
    added = environment.files("twisted") - environment.whole
    assert [path.name for path in added] == ["pptpgw_plugin.py"]
    assert (environment.packages / "pptpgw/py.typed").exists()
    files = environment.packages / "pptpgw/management/browser"
    served = {path.name for path in (ROOT / "pptpgw/management/browser").iterdir()}
    assert {"index.html", "main.js", "style.css"} <= served
    assert {path.name for path in files.iterdir()} == served
    assert not (environment.packages / "tap").exists()
    assert not (environment.packages / "tests").exists()
    assert not (environment.packages / "pptpgw/newsfragments").exists()
    assert not list((environment.packages / "pptpgw").rglob("*.[ch]"))
    metadata = environment.run("-c", METADATA).splitlines()
    assert metadata == [__version__, "MIT", ">=3.11", "['LICENSE']", "True"]

    environment.pip("uninstall", "--yes", "pptpgw")
    assert environment.files("twisted") == environment.whole
    assert not environment.files("pptpgw")
    assert not environment.offersGateway()


def test_theManualIsWhereManFindsIt(environment: Environment, wheel: Path) -> None:
    """
    The pages are in the wheel, and C{man} finds them by the folder of the command.
    """
    inside = {Path(name) for name in ZipFile(wheel).namelist()}
    shared = Path(f"pptpgw-{__version__}.data/data/share/man/man1")
    pages = {path.name for path in (ROOT / "docs/man").iterdir()}
    assert {"pptpgw.1", "pptpgw-sessions.1"} <= pages
    assert {path.name for path in inside if path.parent == shared} == pages
    environment.install(str(wheel))
    if shutil.which("man") is None:
        pytest.skip("needs man")
    folders = f"{environment.path}/bin:{os.environ['PATH']}"
    for name in ("pptpgw", "pptpgw-session-show"):
        done = subprocess.run(
            ["man", "--where", name],
            env={"PATH": folders},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout == f"{environment.path}/share/man/man1/{name}.1\n", done.stderr


def test_theExtensionsAreBuiltForEveryLaterPython(wheel: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    inside = map(Path, ZipFile(wheel).namelist())
    extensions = {path.name for path in inside if path.suffix == ".so"}
    names = ("_mppe", "_native", "_tun", "_des", "_md4", "_gre")
    assert extensions == {f"{name}.abi3.so" for name in names}


def test_withoutACompilerTheGatewayInstallsAllTheSame(
    environment: Environment, archive: Path, tmp_path: Path
) -> None:
    environment.install(str(unpacked(archive, tmp_path)), CC="/bin/false")
    assert not list((environment.packages / "pptpgw").rglob("*.so"))
    assert environment.offersGateway()


def test_anEditableInstallationGivesTheSame(
    environment: Environment, archive: Path, tmp_path: Path
) -> None:
    source = unpacked(archive, tmp_path)
    environment.install("--editable", str(source))
    where = environment.run("-c", "import pptpgw; print(pptpgw.__file__)")
    assert Path(where.strip()) == source / "pptpgw/__init__.py"
    assert environment.offersGateway() and environment.offersPlugins()
