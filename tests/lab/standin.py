"""
A program that takes the place of a pppd in pppd's own integration suite, the folder C{testsuite} of
ppp-project/ppp. It takes pppd's options, has C{pptpgw ppp} run PPP on standard input and output,
and says in pppd's words, in pppd's log file and by pppd's exit status what came of it.

The suite runs it for the far side of each link::

    printf '#!/bin/sh\\nexec "%s" "%s" "$@"\\n' \\
        $PWD/.venv/bin/python $PWD/tests/lab/standin.py >/tmp/standin
    chmod +x /tmp/standin
    ./runtests.py --pppd-bin /usr/sbin/pppd --pppd-bin2 /tmp/standin --exclude 00-version

C{tests/lab/test_suite.py} has the cases of that suite, and more, with this program.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

_PPTPGW = Path(sys.executable).parent / "pptpgw"

# Options that have a meaning here, with the number of their arguments.
_OPTIONS = {
    **dict.fromkeys(("logfile", "name", "user", "password", "mru", "asyncmap"), 1),
    **dict.fromkeys(("lcp-echo-interval", "lcp-echo-failure", "ms-dns"), 1),
    **dict.fromkeys(("auth", "require-mppe-128", "require-mppe-40"), 0),
    **dict.fromkeys(("+ipv6", "novj", "nodeflate"), 0),
}
# Those that mean nothing here: the line is always standard input and output, name servers are
# always asked for, and C{maxconnect} is the suite's guard against a pppd that stays.
_IGNORED = {
    **dict.fromkeys(("notty", "nodetach", "local", "debug", "noauth", "usepeerdns"), 0),
    **dict.fromkeys(("maxconnect", "remotename"), 1),
}
# pppd's names of authentication protocols, and ours.
_METHODS = {
    "pap": "pap",
    "chap": "chap",
    "mschap": "mschap",
    "mschap-v2": "mschapv2",
    "eap": "eap",
}

# pppd's exit statuses.
OPTION_ERROR = 2
USER_REQUEST = 5
NEGOTIATION_FAILED = 10
PEER_AUTH_FAILED = 11
HANGUP = 16
AUTH_TOPEER_FAILED = 19

_DEVICE = "ppp0"
_UP = f"Using interface {_DEVICE}\nlocal  IP address %s\nremote IP address %s"
_FAILED = {
    "pap": "PAP peer authentication failed for %s",
    "eap": "EAP peer authentication failed for %s",
}


class WrongOptions(Exception):
    """
    The options can't be understood, or ask for what we don't have.
    """


class Options:
    """
    The options of a pppd.

    @ivar values: the arguments of each option that was given, by its name; empty for one without.
    @ivar own: the local address, empty to be given one.
    @ivar other: the remote address, empty for any.
    """

    def __init__(self, words: Sequence[str]) -> None:
        """
        @raise WrongOptions: there is one that we don't know.
        """
        self.values: dict[str, list[str]] = {}
        self.own = self.other = ""
        self._required: list[str] = []
        self._refused: list[str] = []
        left = iter(words)
        for word in left:
            verb, _, method = word.partition("-")
            if verb in ("require", "refuse") and method in _METHODS:
                chosen = self._required if verb == "require" else self._refused
                chosen.append(_METHODS[method])
            elif word in _OPTIONS or word in _IGNORED:
                count = _OPTIONS.get(word, 0) or _IGNORED.get(word, 0)
                given = [one for _, one in zip(range(count), left, strict=False)]
                if len(given) != count:
                    raise WrongOptions(f"{word} lacks its argument")
                self.values.setdefault(word, []).extend(given)
            elif re.fullmatch(r"[\d.]*:[\d.]*", word):
                self.own, self.other = word.split(":")
            else:
                raise WrongOptions(f"unrecognized option '{word}'")

    def one(self, name: str, default: str = "") -> str:
        """
        Return the argument of an option.
        """
        return self.values.get(name, [default])[-1]

    @property
    def answers(self) -> bool:
        """
        Whether the peer has to authenticate itself: then ours is the end that answers.
        """
        return "auth" in self.values or bool(self._required)

    def command(self, folder: Path) -> list[str]:
        """
        Return the arguments of C{pptpgw} that do what the options say, with files in C{folder}.
        """
        configuration = folder / "ppp.toml"
        configuration.write_text("\n".join(_toml(self._sections())))
        words = ["ppp", "--config", str(configuration)]
        if self.answers:
            name = "pap-secrets" if self._required == ["pap"] else "chap-secrets"
            return [*words, "--auth", f"chap-secrets:/etc/ppp/{name}"]
        words.append("--dial")
        if self.own:
            words += ["--address", f"{self.own}:{self.other}" if self.other else self.own]
        if user := self.one("user"):
            password = folder / "password"
            password.touch(0o600)
            password.write_text(f"{self.one('password')}\n")
            words += ["--user", user, "--password-file", str(password)]
        return words

    def _sections(self) -> dict[str, Mapping[str, object]]:
        """
        Return the configuration, by its sections.
        """
        values = self.values
        keys = [bits for bits in (128, 40) if f"require-mppe-{bits}" in values]
        permitted = self._required or [
            method for method in _METHODS.values() if method not in self._refused
        ]
        link: dict[str, object] = {
            "name": self.one("name", "pptpgw"),
            "authentication": permitted,
            "encryption": "require" if keys else "off",
            "encryption-bits": keys or [128],
            "mru": int(self.one("mru", "1500")),
            "compression": [] if keys or "nodeflate" in values else ["deflate"],
        }
        if "lcp-echo-interval" in values:
            link["echo-interval"] = int(self.one("lcp-echo-interval"))
            link["echo-failures"] = int(self.one("lcp-echo-failure", "0"))
        ipv4: dict[str, object] = {"header-compression": "no" if "novj" in values else "vj"}
        sections: dict[str, Mapping[str, object]] = {
            "link": link,
            "ipv4": ipv4,
            "hdlc": {"accm": int(self.one("asyncmap", "ffffffff"), 16)},
            "network": {"interface": _DEVICE},
        }
        if self.answers:
            dns = values.get("ms-dns", [])
            ipv4 |= {"local": self.own, "pool": [self.other], "dns": dns}
            if "+ipv6" in values:
                sections["network"] = {"interface": _DEVICE, "protocols": ["ipv4", "ipv6"]}
        return sections


def _toml(sections: Mapping[str, Mapping[str, object]]) -> Iterable[str]:
    """
    Yield the lines of a configuration.
    """
    for name, keys in sections.items():
        yield f"[{name}]"
        for key, value in keys.items():
            yield f"{key} = {json.dumps(value)}"


class Translator:
    """
    Says in pppd's words what the log of C{pptpgw ppp} tells.

    @ivar status: pppd's exit status, as far as the log tells it.
    """

    def __init__(self, options: Options) -> None:
        self.status = NEGOTIATION_FAILED
        self._options = options

    def translated(self, line: str) -> str:
        """
        Return pppd's lines for one of ours; empty if it has none.
        """
        if found := re.search(r"connected: .*, local address (\S+), remote (\S+),", line):
            self.status = HANGUP
            return _UP % found.groups()
        if found := re.search(r"(\S+) from \S+: ipv4 (\S+)/32 open .* the call, ([^,]+),", line):
            self.status = HANGUP
            user, address, method = found.groups()
            up = _UP % (self._options.own, address)
            return f"Peer {user} authenticated with {method.split()[0].upper()}\n{up}"
        if found := re.search(r"'(\S+)' is refused, by (\w+)", line):
            self.status = PEER_AUTH_FAILED
            name, method = found.groups()
            return _FAILED.get(method, "Peer %s failed CHAP authentication") % name
        if re.search(r"^pptpgw: .*(authenticat|691|password)", line, re.I):
            self.status = AUTH_TOPEER_FAILED
        if re.search("ended after|the call is over", line):
            return "Connection terminated."
        return ""


def _become(command: Sequence[str]) -> NoReturn:
    """
    Be C{pptpgw} with the arguments C{command}, in this process.
    """
    status: object = 1
    try:
        sys.argv = [str(_PPTPGW), *command]
        runpy.run_path(str(_PPTPGW), run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status if isinstance(status, int) else 1)


def main(words: Sequence[str]) -> int:
    """
    Be a pppd.

    @return: the exit status.
    """
    try:
        options = Options(words)
    except WrongOptions as error:
        print(f"standin: {error}", file=sys.stderr)
        return OPTION_ERROR
    with tempfile.TemporaryDirectory() as folder:
        command = options.command(Path(folder))
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(writing, 2)
            _become(command)
        os.close(writing)
        # The line is the child's: its other end is to notice when the child closes it.
        for stream in (0, 1):
            os.close(stream)
        stopped = []

        def stop(number: int, frame: object) -> None:
            stopped.append(number)
            os.kill(child, signal.SIGTERM)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        translator = Translator(options)
        logfile = options.one("logfile", "/dev/null")
        with os.fdopen(reading, errors="replace") as output, open(logfile, "a") as log:
            for line in output:
                log.write(line)
                if told := translator.translated(line):
                    log.write(f"{told}\n")
                log.flush()
        os.waitpid(child, 0)
        if not stopped:
            return translator.status
        # pppd's status if it is told to end while it has a connection.
        with open(logfile, "a") as log:
            log.write("Connection terminated.\n")
        return USER_REQUEST


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
