"""
The C extensions, built for fuzzing: with AddressSanitizer and UndefinedBehaviorSanitizer, and with
the coverage that libFuzzer needs.
"""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from runpy import run_path

ROOT = Path(__file__).resolve().parents[2]
PLANTED = "planted.so"

_setup = run_path(str(ROOT / "setup.py"))
EXTENSIONS: tuple[str, ...] = tuple(_setup["PLAIN"])

FLAGS = (
    "-shared -fPIC -O1 -g -fno-omit-frame-pointer -DPy_LIMITED_API=0x030B0000 "
    "-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined"
)


def fileOf(name: str) -> str:
    """
    The name of an extension's file.
    """
    return name.rpartition(".")[2] + ".abi3.so"


def build(folder: Path) -> None:
    """
    Build the extensions, and the planted faults, into C{folder}.
    """
    include = sysconfig.get_path("include")
    sources = {fileOf(name): _sources(name) for name in EXTENSIONS}
    sources[PLANTED] = [Path(__file__).parent / "planted.c"]
    for made, files in sources.items():
        command = ["clang", *FLAGS.split(), f"-I{include}", *map(str, files)]
        subprocess.run([*command, "-o", str(folder / made)], check=True)


def _sources(name: str) -> list[Path]:
    """
    The source files of an extension.
    """
    native = ROOT / "pptpgw/datapath/native"
    plain = [native / f"{one}.c" for one in _setup["PLAIN"][name]]
    other = [ROOT / one for one in _setup["OTHER"].get(name, ())]
    return [ROOT / (name.replace(".", "/") + ".c"), *other, *plain]


def environment(folder: Path) -> dict[str, str]:
    """
    The environment that a process needs to run the extensions. atheris has the runtime of the
    sanitizers as a library, with libFuzzer in it, and that must be loaded before Python.
    """
    import atheris

    runtime = Path(atheris.__file__).parents[1] / "asan_with_fuzzer.so"
    return {
        "LD_PRELOAD": str(runtime),
        # Python frees little of its memory at its end, and handles a failed allocation.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "PPTPGW_NATIVE": str(folder),
    }
