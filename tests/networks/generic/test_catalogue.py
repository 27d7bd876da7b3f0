"""
Tests for L{pptpgw.networks.generic.catalogue}.
"""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.config.kind import Fault
from pptpgw.networks.generic.catalogue import GENERIC, shipped
from pptpgw.networks.generic.declaration import HUB, Declaration, Destination, Rule


def declare(text: str) -> tuple[Declaration, ...]:
    """
    The declarations that the C{[[generic]]} tables in C{text} make.
    """
    declared: tuple[Declaration, ...] = GENERIC.convert(tomllib.loads(text).get("generic", []))
    return declared


def fault(text: str) -> str:
    """
    The error that the C{[[generic]]} tables in C{text} cause.
    """
    with pytest.raises(Fault) as caught:
        declare(text)
    return str(caught.value)


ENTRY = '[[generic]]\nname = "controller"\ncontrol = 0x80c3\ndata = 0x00c3\n'


class TestDeclarations:
    def test_nothing(self) -> None:
        assert declare("") == ()

    def test_theLeast(self) -> None:
        """
        A declaration without C{to} and options is a hub that rejects every option.
        """
        assert declare(ENTRY) == (Declaration("controller", 0x80C3, (0x00C3,), HUB, {}),)

    def test_everything(self) -> None:
        """
        A declaration may have every key and every treatment of an option.
        """
        (declaration,) = declare(
            ENTRY.replace("data = 0x00c3", "data = [0x00c3, 0x02c3]")
            + """
            description = "Controllers"
            to = "unix:/run/controller"
            [generic.options]
            0 = "accept"
            1 = "reject"
            2 = { accept = [2, 4] }
            3 = { accept = "any", ask = "0001" }
            4 = { fixed = "0a 00 00 01" }
            5 = { fixed = "text:Büro" }
            6 = { assign = "00 ff00 01 - 00 ff00 fd" }
            7 = { ask = "", required = true }
            255 = {}
            """
        )
        assert declaration == Declaration(
            "controller",
            0x80C3,
            (0x00C3, 0x02C3),
            Destination("unix", "/run/controller"),
            {
                0: Rule(accept=()),
                1: Rule(),
                2: Rule(accept=(2, 4)),
                3: Rule(accept=(), ask=b"\x00\x01"),
                4: Rule(fixed=b"\x0a\x00\x00\x01"),
                5: Rule(fixed="Büro".encode()),
                6: Rule(assign=(b"\x00\xff\x00\x01", b"\x00\xff\x00\xfd")),
                7: Rule(ask=b"", required=True),
                255: Rule(),
            },
            "Controllers",
        )

    @pytest.mark.parametrize(
        ("to", "destination"),
        [
            ("hub", HUB),
            ("unix:/run/x", Destination("unix", "/run/x")),
            ("udp:192.0.2.1:5000", Destination("udp", "192.0.2.1", 5000)),
            ("udp:[2001:db8:0::1]:1", Destination("udp", "2001:db8::1", 1)),
            ("object:package.module.name", Destination("object", "package.module.name")),
        ],
    )
    def test_destinations(self, to: str, destination: Destination) -> None:
        """
        Each kind of destination is parsed, and its text is parsed to the same.
        """
        (declaration,) = declare(f'{ENTRY}to = "{to}"')
        assert declaration.to == destination
        (again,) = declare(f'{ENTRY}to = "{destination}"')
        assert again.to == destination

    def test_oneThatIsShippedIsChanged(self) -> None:
        """
        A table with the name of a shipped declaration changes only the keys that it has.
        """
        (declaration,) = declare('[[generic]]\nname = "appletalk"\nto = "unix:/run/atalk"')
        ours = shipped()["appletalk"]
        assert declaration.to == Destination("unix", "/run/atalk")
        assert (declaration.control, declaration.data) == (ours.control, ours.data)
        assert declaration.options == ours.options

    def test_oneThatIsShippedGivesUpItsNumbers(self) -> None:
        """
        A table can change a shipped declaration's options, but can't give its numbers to another
        protocol.
        """
        (declaration,) = declare('[[generic]]\nname = "xns"\ncontrol = 0x8025\noptions = {}')
        assert declaration == shipped()["xns"]
        text = fault('[[generic]]\nname = "xns"\ndata = 0x0029')
        assert text == 'entry 1, "xns": 0x0029 is a number of "appletalk" already'


class TestFaults:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("control = 0x0029", "control = 0x0029: must be a number from 0x8000 to 0xbfff, its"),
            ("control = 0x8028", "control = 0x8028: must be a number from 0x8000"),
            ("control = 0x8129", "control = 0x8129: must be a number from 0x8000"),
            ("control = 0xc021", "control = 0xc021: must be a number from 0x8000"),
            ("control = 0x80fd", "0x80fd (MPPE's): must be a number from"),
            ("control = 0x8021", "0x8021 (IPv4's): must be a number from"),
            ("control = 0x8057", "0x8057 (IPv6's): must be a number from"),
            ("control = 0x8031", "0x8031 (Ethernet's): must be a number from"),
            ("control = 0x8281", "0x8281 (MPLS's): must be a number from"),
            ("control = 0x802b", "0x802b (IPX's): must be a number from"),
            ("control = true", "control = true: must be a number"),
            ('control = "0x80c3"', 'control = "0x80c3": must be a number'),
            ("data = 0x80c3", "data = 0x80c3: must be a number from 0x0001 to 0x3fff, its"),
            ("data = 0x4021", "data = 0x4021: must be"),
            ("data = 0x00ff", "data = 0x00ff: must be"),
            ("data = 0x0001", "0x0001 (padding's): must be a number from"),
            ("data = 0x0201", "0x0201 (Ethernet's): must be a number from"),
            ("data = []", "data = []: must be"),
            ("data = [0x00c3, 0x0021]", "data = [0x00c3, 0x0021 (IPv4's)]: must be"),
            ("data = [0x00c3, 0x00c3]", "a list of up to eight distinct ones"),
            ('name = "Controller"', 'name = "Controller": must be 1 to 32 lower-case letters'),
            ("name = 7", "name = 7: must be"),
            ('to = "switch"', 'to = "switch": must be "hub", "unix:/PATH", "udp:ADDRESS:PORT"'),
            ('to = "hub:x"', 'to = "hub:x": must be'),
            ('to = "unix:run/x"', 'to = "unix:run/x": must be'),
            (f'to = "unix:/{"x" * 107}"', "must be"),
            ('to = "udp:example.org:5"', 'to = "udp:example.org:5": must be'),
            ('to = "udp:192.0.2.1"', "must be"),
            ('to = "udp:192.0.2.1:0"', "must be"),
            ('to = "udp:192.0.2.1:65536"', "must be"),
            ('to = "udp:224.0.0.1:5"', "must be"),
            ('to = "udp:0.0.0.0:5"', "must be"),
            ('to = "udp:[192.0.2.1]:5"', "must be"),
            ('to = "udp:2001:db8::1:5"', "must be"),
            ('to = "udp:[fe80::1%eth0]:5"', "must be"),
            ('to = "object:name"', "must be"),
            ('to = "object:a..b"', "must be"),
            ('colour = "red"', "unknown key colour: there are name, control, data, to, "),
            ("options = 3", "options = 3: must be a table of options by type, 0 to 255"),
            ('options = { 256 = "accept" }', "must be a table of options by type, 0 to 255"),
            ('options = { 01 = "accept" }', "must be a table of options by type, 0 to 255"),
            ('options = { 1 = "take" }', 'options.1 = "take": must be "accept", "reject" or a'),
            ("options = { 1 = { fixed = 1 } }", "options.1.fixed = 1: must be a value of at most"),
            ('options = { 1 = { fixed = "0g" } }', 'options.1.fixed = "0g": must be'),
            (f'options = {{ 1 = {{ fixed = "{"00" * 254}" }} }}', "of at most 253 octets"),
            ("options = { 1 = { accept = [254] } }", "lengths in octets of values, from 0 to 253"),
            ("options = { 1 = { accept = [] } }", "options.1.accept = []: must be"),
            ('options = { 1 = { assign = "01" } }', "two values of one length in hexadecimal"),
            ('options = { 1 = { assign = "01-0002" } }', "two values of one length"),
            ('options = { 1 = { assign = "02-01" } }', "two values of one length"),
            (
                'options = { 1 = { take = "01" } }',
                "unknown key take in options.1: there are accept",
            ),
            (
                'options = { 1 = { fixed = "01", accept = "any" } }',
                "must have one of accept, fixed",
            ),
            ("options = { 1 = { required = true } }", "must stand beside ask"),
        ],
    )
    def test_aBadValueIsNamedWithWhatIsAllowed(self, line: str, said: str) -> None:
        """
        The error about a bad value names the entry, the key, the value and what is allowed.
        """
        key = line.partition(" = ")[0]
        kept = [one for one in ENTRY.splitlines() if not one.startswith(f"{key} = ")]
        text = fault("\n".join([*kept, line]))
        assert text.startswith("entry 1")
        if key != "name":
            assert text.startswith('entry 1, "controller": ')
        assert said in text

    @pytest.mark.parametrize("name", ["name", "control", "data"])
    def test_whatIsMissing(self, name: str) -> None:
        """
        A new declaration must have a name and both numbers.
        """
        lines = [line for line in ENTRY.splitlines() if not line.startswith(name)]
        assert f"{name} is missing" in fault("\n".join(lines))

    def test_whatIsNoTable(self) -> None:
        """
        A value that isn't a table is an error.
        """
        with pytest.raises(Fault, match=r"entry 1: 7: must be a table"):
            GENERIC.convert([7])
        with pytest.raises(ValueError):
            GENERIC.convert("appletalk")

    def test_twoThatClash(self) -> None:
        """
        Two entries with the same name or a number in common are refused, and so is an entry of
        another name with a shipped one's number.
        """
        assert fault(ENTRY + ENTRY) == 'entry 2, "controller": name is another entry\'s'
        other = ENTRY.replace("controller", "other")
        for clash, number in (
            (other.replace("0x00c3", "0x00c5"), "0x80c3"),
            (other.replace("0x80c3", "0x80c5"), "0x00c3"),
        ):
            said = f'entry 2, "other": {number} is a number of "controller" already'
            assert fault(ENTRY + clash) == said
        text = fault(ENTRY.replace("0x80c3", "0x8029"))
        assert text == 'entry 1, "controller": 0x8029 is a number of "appletalk" already'

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-1, 70000) | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["name", "control", "data", "to", "options", "1", "fixed", "ask", "assign"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=8,
        )
    )
    def test_anythingElseIsAValueErrorOrTypeErrorAlone(self, value: object) -> None:
        """
        Any value that TOML can give is converted, or raises L{ValueError} or L{TypeError}.
        """
        try:
            GENERIC.convert([value])
            GENERIC.convert(value)
        except (ValueError, TypeError):
            pass


class TestShipped:
    @pytest.mark.parametrize(
        ("name", "control", "data", "rfc"),
        [
            ("appletalk", 0x8029, 0x0029, "ATCP, RFC 1378"),
            ("netbios", 0x803F, 0x003F, "NBFCP, RFC 2097"),
            ("osi", 0x8023, 0x0023, "OSINLCP, RFC 1377"),
            ("decnet", 0x8027, 0x0027, "DNCP, RFC 1762"),
            ("vines", 0x8035, 0x0035, "BVCP, RFC 1763"),
            ("xns", 0x8025, 0x0025, "XNSCP, RFC 1764"),
        ],
    )
    def test_numbers(self, name: str, control: int, data: int, rfc: str) -> None:
        """
        Each shipped protocol has IANA's numbers and sends its packets to a hub.
        """
        declaration = shipped()[name]
        assert (declaration.control, declaration.data) == (control, (data,))
        assert declaration.to == HUB
        assert rfc in declaration.description

    def test_all(self) -> None:
        """
        Six declarations are shipped.
        """
        assert sorted(shipped()) == ["appletalk", "decnet", "netbios", "osi", "vines", "xns"]
