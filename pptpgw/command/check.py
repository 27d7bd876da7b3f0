"""
The command C{pptpgw check}, which judges a configuration without opening anything.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from pptpgw.command.gateway import NOBODY, GatewayOptions, gatewayed
from pptpgw.command.options import said
from pptpgw.command.output import Output, counted
from pptpgw.command.parsing import command
from pptpgw.command.status import DONE, FAILED
from pptpgw.config import discovery
from pptpgw.datapath.choice import foreseen
from pptpgw.error import PPTPGWError
from pptpgw.service import GatewayService


@command(
    "check",
    "Judge a configuration without opening anything.",
    "Every plugin reads its section. Errors are what the gateway couldn't start with: wrong keys "
    "and values, plugins, files and addresses that this machine doesn't have. Warnings are what "
    "has no effect, and plugins that can't be loaded. The exit status is 1 if there are errors, "
    "and 0 if there are only warnings.",
)
@gatewayed
@said
async def check(reactor: Any, words: Sequence[str], output: Output) -> int:
    """
    C{pptpgw check}: judge a configuration.

    @return: the exit status, 1 if there are errors; warnings alone are 0.
    """
    options = GatewayOptions()
    options.parseOptions(words)
    source = options["config"] or "the default configuration"
    errors, warnings, path = _judged(reactor, options)
    errors = [line.removeprefix(f"{source}: ") for line in errors]
    warnings += [fault for fault in discovery.faults if fault not in warnings]
    for kind, lines in (("error", errors), ("warning", warnings)):
        for line in lines:
            print(f"{kind}: {line}", file=sys.stderr)
    verdict = (
        f"{counted(len(errors), 'error', 'errors')}, "
        f"{counted(len(warnings), 'warning', 'warnings')}"
        if errors or warnings
        else "fine"
    )
    output.say(
        f"{source}: {verdict}" + (f"\npackets would pass by {path}" if path else ""),
        file=options["config"],
        errors=errors,
        warnings=warnings,
        path=path,
    )
    return FAILED if errors else DONE


def _judged(reactor: Any, options: GatewayOptions) -> tuple[list[str], list[str], str]:
    """
    Return the errors and the warnings, a line each, and what would carry packets. If the gateway
    can't be made, there are no warnings, nothing carries packets, and the errors are those of the
    first part that can't.
    """
    try:
        configuration = options.load()
        options.addConfigured(configuration)
        service = GatewayService(reactor, configuration, options.checkers)
    except PPTPGWError as error:
        return str(error).splitlines(), [], ""
    nobody = [] if options.checkers else [NOBODY]
    return [*service.lacking(), *nobody], service.unused(), foreseen(configuration)
