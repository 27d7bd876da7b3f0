"""
The unit tests with each Python and with the lowest and the latest Twisted: C{nox}.

An interpreter that this machine doesn't have is skipped. C{make test} runs the tests that need a
network of their own or real clients, and C{make floors} tries the lowest version of everything.
"""

import nox

nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True
ELSEWHERE = ("bench", "demo", "fuzz", "integration", "lab", "test_packaging.py")
# With Twisted 24 a claim that fails may leave objects to the garbage collector.
LOWEST = ("hostile/test_garbage.py",)


@nox.session(python=["3.11", "3.12", "3.13"])
@nox.parametrize("twisted", ["lowest", "latest"])
def tests(session: nox.Session, twisted: str) -> None:
    """
    Run the unit tests, or those that the command line names.
    """
    project = nox.project.load_toml("pyproject.toml")["project"]
    (asked,) = (one for one in project["dependencies"] if one.startswith("twisted"))
    session.install(
        asked.replace(">=", "==") if twisted == "lowest" else asked, "--editable", ".[test]"
    )
    without = ELSEWHERE + (LOWEST if twisted == "lowest" else ())
    chosen = session.posargs or ["tests", *(f"--ignore=tests/{one}" for one in without)]
    session.run("python", "-m", "pytest", "-q", *chosen)
