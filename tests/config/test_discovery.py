"""
Tests for finding plugins, in distributions that are made for the test and installed where Python
looks for them.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from itertools import permutations
from textwrap import dedent

import pytest
from twisted.cred.strcred import ICheckerFactory
from twisted.plugin import CachedDropin, getPlugins

from pptpgw import __version__
from pptpgw.config import discovery
from pptpgw.config.configuration import parse
from pptpgw.config.discovery import KINDS, NotInstalled, choose, find, installed, specification
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    IAddressPoolFactory,
    IAuthenticationProtocol,
    IDataPathFactory,
    INetworkFactory,
    ISessionObserverFactory,
)
from pptpgw.networks.ipv4 import plugin
from tests import distribution
from tests.distribution import Site, checker, observer

site = pytest.fixture(distribution.site, name="site")


# Entry points and drop-ins.


def test_anEntryPointIsFound(site: Site) -> None:
    site.install("quote", {"quote.py": observer("quote")}, "quote = quote:plugin")
    found = find(ISessionObserverFactory, "quote")
    assert found is sys.modules["quote"].plugin
    assert installed(ISessionObserverFactory)["quote"] is found
    assert site.warnings == []


def test_aDropInIsFound(site: Site) -> None:
    site.install("quote", {"twisted/plugins/quote_plugin.py": checker("quote")})
    found = find(ICheckerFactory, "quote")
    assert found is sys.modules["twisted.plugins.quote_plugin"].plugin
    assert installed(ICheckerFactory)["quote"] is found
    assert site.warnings == []


def test_dropInsAreCheckers(site: Site) -> None:
    """
    Drop-ins can only be checkers. Other kinds of plugins need an entry point.
    """
    site.install("quote", {"twisted/plugins/quote_plugin.py": observer("quote")})
    assert "quote" not in installed(ISessionObserverFactory)
    assert "twisted.plugins.quote_plugin" not in sys.modules


def test_eachKindHasItsGroup() -> None:
    groups = {kind: KINDS[kind].group for kind in KINDS}
    assert groups[INetworkFactory] == "pptpgw.network"
    assert groups[IAddressPoolFactory] == "pptpgw.pool"
    assert groups[IAuthenticationProtocol] == "pptpgw.authentication"
    assert groups[ISessionObserverFactory] == "pptpgw.observer"
    assert groups[IDataPathFactory] == "pptpgw.datapath"
    assert groups[ICheckerFactory] == "pptpgw.checker"
    assert len(set(groups.values())) == len(groups)


def test_anotherKindsEntryPointIsNoneOfThisKind(site: Site) -> None:
    text = observer("quote")
    site.install("quote", {"quote.py": text}, "quote = quote:plugin", "pptpgw.pool")
    assert "quote" not in installed(ISessionObserverFactory)


def test_theCheckersAreThoseThatTwistedFinds() -> None:
    names = [one.authType for one in getPlugins(ICheckerFactory)]
    assert {"accounts", "chap-secrets", "radius"} < set(names)
    assert list(installed(ICheckerFactory)) == sorted(names)


# Lazy imports, in any order.


def test_findImportsWhatIsAskedForAlone(site: Site) -> None:
    site.install("one", {"one.py": observer("one")}, "one = one:plugin")
    site.install("two", {"two.py": "raise Exception"}, "two = two:plugin")
    assert find(ISessionObserverFactory, "one")
    assert "two" not in sys.modules
    assert site.warnings == []


@pytest.mark.parametrize("order", [*permutations(("one", "two", "three"))])
def test_theOrderOfInstallationMakesNoDifference(site: Site, order: tuple[str, ...]) -> None:
    for name in order:
        module = f"module{name}"
        text = checker(name)
        if name == "two":
            site.install(name, {f"twisted/plugins/{module}.py": text})
        else:
            point = f"{name} = {module}:plugin"
            site.install(name, {f"{module}.py": text}, point, "pptpgw.checker")
    found = list(installed(ICheckerFactory))
    assert found == sorted(found)
    assert {"one", "two", "three"} <= set(found)
    assert find(ICheckerFactory, order[-1]).authType == order[-1]


# Broken plugins.


ERRORS = [
    ("import nothingLikeThis", "ModuleNotFoundError: No module named 'nothingLikeThis'"),
    ("def", "SyntaxError: "),
    ("raise ValueError('two\\nlines')", "ValueError: two lines"),
    ("raise SystemExit(3)", "SystemExit: 3"),
    ("class Odd(BaseException): pass\nraise Odd", "Odd: "),
]


@pytest.mark.parametrize(("text", "reason"), ERRORS)
def test_aModuleThatFailsIsNamedAndLeftOut(site: Site, text: str, reason: str) -> None:
    site.install("bad", {"bad.py": text}, "bad = bad:plugin")
    site.install("good", {"good.py": observer("good")}, "good = good:plugin")
    found = installed(ISessionObserverFactory)
    assert "good" in found
    assert "bad" not in found
    [warning] = site.warnings
    assert warning.startswith(f'the session observer "bad" of bad 1.0 can\'t be used: {reason}')
    assert "\n" not in warning
    with pytest.raises(ConfigurationError, match=r'"bad" of bad 1\.0 can\'t be used'):
        find(ISessionObserverFactory, "bad")
    assert find(ISessionObserverFactory, "good")


@pytest.mark.parametrize(("text", "reason"), ERRORS)
def test_aDropInThatFailsIsNamedAndLeftOut(site: Site, text: str, reason: str) -> None:
    site.install("bad", {"twisted/plugins/bad.py": text})
    site.install("good", {"twisted/plugins/good.py": checker("good")})
    assert find(ICheckerFactory, "good")
    assert "good" in installed(ICheckerFactory)
    [warning] = site.warnings
    assert warning.startswith(f"the drop-in twisted.plugins.bad of bad 1.0 is left out: {reason}")


def test_aDropInOfNoDistributionIsNamedByItsPath(site: Site) -> None:
    place = site.install("bad", {"twisted/plugins/bad.py": "raise OSError"}, record=False)
    installed(ICheckerFactory)
    [warning] = site.warnings
    assert f" of {place}/twisted/plugins/bad.py is left out" in warning


def test_oneFaultIsLoggedOnce(site: Site) -> None:
    site.install("bad", {"bad.py": "raise OSError"}, "bad = bad:plugin")
    site.install("worse", {"twisted/plugins/worse.py": "raise OSError"})
    for _ in range(3):
        installed(ISessionObserverFactory)
        installed(ICheckerFactory)
    assert len(site.warnings) == 2
    assert discovery.faults == site.warnings


def test_anInterruptIsNoFaultOfAPlugin(site: Site) -> None:
    site.install("bad", {"bad.py": "raise KeyboardInterrupt"}, "bad = bad:plugin")
    with pytest.raises(KeyboardInterrupt):
        find(ISessionObserverFactory, "bad")


@pytest.mark.parametrize(
    ("text", "point", "reason"),
    [
        ("", "bad:plugin", "AttributeError: "),
        ("plugin = 7", "bad:plugin", "DoesNotImplement|MultipleInvalid"),
        (observer("bad"), "bad:Factory", "does not|DoesNotImplement|MultipleInvalid"),
        (observer("bad") + "del Factory.description", "bad:plugin", "description"),
        (observer("bad") + "del Factory.makeObserver", "bad:plugin", "makeObserver"),
        (
            observer("bad") + "Factory.makeObserver = lambda self: 0",
            "bad:plugin",
            "enough arguments",
        ),
        (observer("good"), "bad:plugin", r"its name is 'good'"),
        (observer("bad"), "bad plugin", "can't be used"),
    ],
)
def test_whatIsNoPluginOfItsKindIsLeftOut(site: Site, text: str, point: str, reason: str) -> None:
    site.install("bad", {"bad.py": text}, f"bad = {point}")
    with pytest.raises(ConfigurationError, match=reason):
        find(ISessionObserverFactory, "bad")
    assert "bad" not in installed(ISessionObserverFactory)
    assert len(site.warnings) == 1


def test_aDropInThatIsNoPluginOfItsKindIsLeftOut(site: Site) -> None:
    text = checker("bad") + 'del Factory.generateChecker\nfine = Factory("fine")\n'
    text += "Factory.generateChecker = lambda self: 0\n"
    site.install("bad", {"twisted/plugins/bad.py": text})
    site.install("good", {"twisted/plugins/good.py": checker("good")})
    assert {"bad", "fine", "good"} & set(installed(ICheckerFactory)) == {"good"}
    assert len(site.warnings) == 2
    assert all("of bad 1.0 can't be used" in warning for warning in site.warnings)


def test_entryPointsThatCannotBeReadAreThoseOfTheirDistributionAlone(site: Site) -> None:
    site.install("bad", {}, "this is no entry point")
    site.install("good", {"good.py": observer("good")}, "good = good:plugin")
    assert "good" in installed(ISessionObserverFactory)
    [warning] = site.warnings
    assert warning.startswith("the entry points of bad 1.0 are left out: ")


def test_whatIsInstalledOrRemovedMeanwhile(site: Site) -> None:
    """
    What is installed into a folder that was read before is found, and what is removed isn't.
    """
    place = site.install("one", {"one.py": observer("one")}, "one = one:plugin")
    assert find(ISessionObserverFactory, "one")
    other = site.install("two", {"two.py": observer("two")}, "two = two:plugin")
    assert find(ISessionObserverFactory, "two")
    time.sleep(0.02)
    (other / "two-1.0.dist-info").rename(place / "two-1.0.dist-info")
    assert find(ISessionObserverFactory, "two")
    time.sleep(0.02)
    (place / "two-1.0.dist-info").rename(place.parent / "gone")
    with pytest.raises(NotInstalled):
        find(ISessionObserverFactory, "two")
    assert find(ISessionObserverFactory, "one")


def test_theRemainsOfADistributionDoNoHarm(site: Site) -> None:
    place = site.install("gone", {}, "gone = gone:plugin")
    (place / "gone-1.0.dist-info" / "METADATA").unlink()
    site.install("good", {"good.py": observer("good")}, "good = good:plugin")
    assert find(ISessionObserverFactory, "good")
    assert "gone" not in installed(ISessionObserverFactory)
    [warning] = site.warnings
    assert warning.startswith(f"the entry points of a distribution in {place} are left out: ")


def test_anOlderVersionsEntryPointsDoNotCount(site: Site) -> None:
    """
    Entry points that an older version had and the newer one, which comes first on the path, hasn't
    don't count.
    """
    site.install("quote", {"quote.py": observer("quote")}, "quote = quote:plugin")
    site.install("quote", {"quote.py": observer("quote")}, version="2.0")
    assert "quote" not in installed(ISessionObserverFactory)
    assert site.warnings == []


# Two plugins with one name.


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
@pytest.mark.parametrize("dropIn", [False, True])
def test_ofTwoOfOneNameNeitherIsUsed(site: Site, order: tuple[str, ...], dropIn: bool) -> None:
    for name in order:
        if dropIn and name == "two":
            site.install(name, {f"twisted/plugins/{name}.py": checker("quote")})
        else:
            site.install(
                name, {f"{name}.py": checker("quote")}, f"quote = {name}:plugin", "pptpgw.checker"
            )
    both = (
        'the credentials checker "quote" can\'t be used: one 1.0 and two 1.0 each have one; '
        "uninstall one"
    )
    with pytest.raises(ConfigurationError) as caught:
        find(ICheckerFactory, "quote")
    assert str(caught.value) == both
    assert "quote" not in installed(ICheckerFactory)
    assert site.warnings == [both]


def test_ofTwoOfOneNameTheOneThatWorksIsUsed(site: Site) -> None:
    site.install("one", {"one.py": observer("quote")}, "quote = one:plugin")
    site.install("two", {"two.py": "raise OSError"}, "quote = two:plugin")
    assert find(ISessionObserverFactory, "quote") is sys.modules["one"].plugin
    [warning] = site.warnings
    assert "of two 1.0 can't be used" in warning


def test_aDropInThatIsAnEntryPointTooIsOnePlugin(site: Site) -> None:
    site.install(
        "quote",
        {"quote.py": checker("quote"), "twisted/plugins/quoted.py": "from quote import plugin"},
        "quote = quote:plugin",
        "pptpgw.checker",
    )
    assert find(ICheckerFactory, "quote") is sys.modules["quote"].plugin
    assert site.warnings == []


def test_ofTwoVersionsThatCountsWhichPythonWouldImport(site: Site) -> None:
    site.install("some-quote", {"quote.py": "raise OSError"}, "quote = quote:plugin")
    place = site.install("Some.Quote", {"quote.py": observer("quote")}, "quote = quote:plugin")
    assert find(ISessionObserverFactory, "quote")
    assert sys.modules["quote"].__file__ == str(place / "quote.py")
    assert site.warnings == []


def test_aBuiltInEntryPointStaysBeforeOthers(site: Site) -> None:
    site.install("pptpgw-ipv4", {"mine.py": "raise OSError"}, "ipv4 = mine:x", "pptpgw.network")
    assert find(INetworkFactory, "ipv4").settings is plugin.IPv4Section
    [warning] = site.warnings
    assert warning == (
        f'the network protocol "ipv4" of pptpgw-ipv4 1.0 is left out: pptpgw {__version__} has one'
    )


@pytest.mark.parametrize("name", ["chap-secrets", "memory"])
@pytest.mark.parametrize("dropIn", [False, True])
def test_aBuiltInOneStaysBeforeOthers(site: Site, name: str, dropIn: bool) -> None:
    ours = find(ICheckerFactory, name)
    if dropIn:
        text = f"""
        from twisted.cred.strcred import ICheckerFactory
        from twisted.plugin import IPlugin
        from zope.interface import implementer

        @implementer(ICheckerFactory, IPlugin)
        class Factory:
            authType = "{name}"

        mine = Factory()
        """
        site.install("mine", {"twisted/plugins/aaa.py": dedent(text)})
    else:
        site.install("mine", {"mine.py": "raise OSError"}, f"{name} = mine:x", "pptpgw.checker")
    assert find(ICheckerFactory, name) is ours
    assert installed(ICheckerFactory)[name] is ours
    assert "mine" not in sys.modules
    [warning] = site.warnings
    assert warning.startswith(f'the credentials checker "{name}" of mine 1.0 is left out: ')


def test_ofThoseChosenTheBrokenAreLeftOut(site: Site) -> None:
    """
    Broken ones among the chosen plugins are left out, and the rest works if enough are left. A name
    that no plugin has is an error.
    """
    site.install("bad", {"bad.py": "raise ValueError('no')"}, "bad = bad:plugin")
    site.install("good", {"good.py": observer("good")}, "good = good:plugin")
    assert list(choose(ISessionObserverFactory, ["bad", "good"])) == ["good"]
    [warning] = site.warnings
    assert "of bad 1.0 can't be used: ValueError: no" in warning
    assert choose(ISessionObserverFactory, ["bad"], 0) == {}
    with pytest.raises(ConfigurationError, match=r"of bad 1\.0 can't be used"):
        choose(ISessionObserverFactory, ["bad"])
    with pytest.raises(NotInstalled, match="did you mean good"):
        choose(ISessionObserverFactory, ["good", "goof"])


# Unknown plugins.


def test_anUnknownNameIsToldWhatThereIs(site: Site) -> None:
    site.install("quote", {"quote.py": observer("quote")}, "quote = quote:plugin\nnote = quote:x")
    with pytest.raises(ConfigurationError) as caught:
        find(ISessionObserverFactory, "quot")
    assert str(caught.value) == (
        '[plugins] observers: no session observer is called "quot": did you mean quote?'
    )
    with pytest.raises(ConfigurationError, match=r'"" *: there are .*note, .*quote'):
        find(ISessionObserverFactory, "")


def test_whatTheInstallationLacksOfTheSourceIsToldHowToHave(site: Site) -> None:
    """
    The error about a plugin of the source that the installation lacks, as after C{git pull}, says
    how to install it.
    """
    site.install("pptpgw", {}, "ipv6 = pptpgw.networks.ipv6.plugin:factory", "pptpgw.network")
    advice = r'yet; run "pip install -e \." in '
    for kind, name in [(INetworkFactory, "ipv4"), (IAuthenticationProtocol, "mschapv2")]:
        with pytest.raises(NotInstalled, match=f'"{name}" can\'t be used.*{advice}'):
            find(kind, name)
    with pytest.raises(NotInstalled, match="did you mean ipv6"):
        find(INetworkFactory, "ipv66")
    with pytest.raises(NotInstalled, match=advice):
        choose(INetworkFactory, ["ipv6", "ipv4"])
    with pytest.raises(ConfigurationError, match=f"^x.toml: the network protocol.*{advice}.*$"):
        parse("[ipv4]\n", "x.toml")


def test_whereNoneIsInstalledThatIsSaid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, IPlugged, discovery.PluginKind("plug", "--plug", "pptpgw.plug"))
    with pytest.raises(
        ConfigurationError, match=r'^--plug: no plug is called "x": none is installed$'
    ):
        find(IPlugged, "x")
    assert installed(IPlugged) == {}


class IPlugged(INetworkFactory):
    """
    A kind of plugin of which there are none.
    """


# Files.


def test_aStaleCacheOfTwistedMakesNoDifference(site: Site) -> None:
    place = site.install("quote", {"twisted/plugins/quoted.py": checker("quote")})
    cache = place / "twisted" / "plugins" / "dropin.cache"
    stale = pickle.dumps({"quoted": CachedDropin("twisted.plugins.quoted", None)})
    cache.write_bytes(stale)
    later = cache.stat().st_mtime + 3600
    os.utime(cache, (later, later))
    assert find(ICheckerFactory, "quote")
    assert cache.read_bytes() == stale


def test_nothingIsWritten(site: Site) -> None:
    place = site.install("quote", {"twisted/plugins/quoted.py": checker("quote")})
    site.monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = sorted(place.rglob("*"))
    assert find(ICheckerFactory, "quote")
    assert sorted(place.rglob("*")) == before


# The gateway's own plugins.


def test_theDropInIsCheapToImport() -> None:
    code = """
    import sys, twisted.plugins.pptpgw_plugin
    print(*sorted(name for name in sys.modules if name.startswith("pptpgw")))
    """
    result = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True
    )
    assert set(result.stdout.split()) <= {
        "pptpgw",
        "pptpgw.auth",
        "pptpgw.auth.plugin",
        "pptpgw.interfaces",
        "pptpgw.interfaces.attempt",
        "pptpgw.interfaces.authentication",
        "pptpgw.interfaces.caller",
        "pptpgw.interfaces.channel",
        "pptpgw.interfaces.checker",
        "pptpgw.interfaces.client",
        "pptpgw.interfaces.datapath",
        "pptpgw.interfaces.eap",
        "pptpgw.interfaces.environment",
        "pptpgw.interfaces.forward",
        "pptpgw.interfaces.keys",
        "pptpgw.interfaces.network",
        "pptpgw.interfaces.observer",
        "pptpgw.interfaces.part",
        "pptpgw.interfaces.pool",
        "pptpgw.interfaces.service",
        "pptpgw.interfaces.session",
        "pptpgw.interfaces.tunnel",
        "pptpgw.sessions",
        "pptpgw.sessions.username",
        "pptpgw.radius",
        "pptpgw.radius.plugin",
        "pptpgw.tunnels",
        "pptpgw.tunnels.hdlc",
        "pptpgw.tunnels.hdlc.endpoint",
    }


@pytest.mark.parametrize(
    ("text", "parts"),
    [("sql:dsn=x:y", ("sql", "dsn=x:y")), ("sql", ("sql", "")), ("sql:", ("sql", ""))],
)
def test_aSpecificationIsANameAndAnArgument(text: str, parts: tuple[str, str]) -> None:
    assert specification(text) == parts
