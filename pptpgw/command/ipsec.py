"""
The commands on IPsec beneath L2TP: C{pptpgw ipsec print} and C{ipsec check}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pptpgw.clock import steady
from pptpgw.command.findings import told
from pptpgw.command.ipsecchecks import examine
from pptpgw.command.options import CONFIG, FORCE, said
from pptpgw.command.output import Output
from pptpgw.command.parsing import Group, command
from pptpgw.config.configuration import Configuration, load
from pptpgw.config.secrecy import privately
from pptpgw.error import ConfigurationError
from pptpgw.ipsec.swanctl import written

_HERE = "pptpgw.command.ipsec"

group = Group(
    "ipsec",
    "IPsec beneath L2TP, which is strongSwan's: print, check.",
    {
        "print": (f"{_HERE}:show", "Print the configuration for strongSwan."),
        "check": (f"{_HERE}:check", "Ask strongSwan whether it has what clients need."),
    },
)
"""
C{pptpgw ipsec}: the group of commands on IPsec.
"""


@command(
    "print",
    "Print the configuration for strongSwan.",
    "It is made of [ipsec] and [listen] addresses, in the form of swanctl.conf, and contains the "
    "pre-shared key. Put it into /etc/swanctl/conf.d, have it loaded by 'swanctl --load-all', and "
    "look at it with 'pptpgw ipsec check'.",
)
@CONFIG
@click.option("--to", metavar="FILE", help="Write it to this file, which only its owner may read.")
@FORCE
async def show(reactor: Any, config: str | None, to: str | None, force: bool) -> None:
    """
    C{pptpgw ipsec print}: print the configuration, or write it to a file.

    @raise ConfigurationError: clients can't authenticate, or a file can't be used.
    """
    configuration = Configuration() if config is None else load(config)
    text = written(configuration.ipsec, configuration.listen.addresses)
    if to is None:
        print(text, end="")
        return
    try:
        with privately(Path(to), replace=force) as growing:
            growing.write_text(text)
    except OSError as error:
        raise ConfigurationError(f"{to}: {error.strerror}") from error


@command(
    "check",
    "Ask strongSwan whether it has what clients need.",
    "Its daemon, charon, is asked by [ipsec] socket whether it runs, has the connections that "
    "'pptpgw ipsec print' prints, and the pre-shared key, the private key and the certificates of "
    "[ipsec]; and the gateway's certificate is examined for what clients demand. A line for each "
    "says ok, warning or fault, and what to do. Whether the pre-shared key is the right one charon "
    "doesn't tell. The exit status is 1 if there is a fault.",
)
@CONFIG
@said
async def check(reactor: Any, output: Output, config: str | None) -> int:
    """
    C{pptpgw ipsec check}: examine strongSwan.

    @return: the exit status, 1 if there are faults; warnings alone are 0.
    """
    configuration = Configuration() if config is None else load(config)
    return told(output, await examine(steady(reactor), configuration.ipsec))
