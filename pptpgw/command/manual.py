"""
The manual pages of C{pptpgw}, one for each command, made of the words of its C{--help}.

C{python -m pptpgw.command.manual FOLDER} writes them. Those in C{docs/man} are installed: a wheel
is built without what the commands import.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from pptpgw import __version__
from pptpgw.command.main import commands
from pptpgw.command.status import WORDS

SECTION = 1


def pages() -> Iterator[tuple[str, str]]:
    """
    Iterate over the pages: the name of the file, such as C{pptpgw-user.1}, and its text in roff.
    """
    context = click.Context(commands, info_name="pptpgw", **commands.context_settings)
    yield from _pages(commands, context)


def _pages(one: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    members = []
    if isinstance(one, click.Group):
        for name in one.list_commands(context):
            member = one.get_command(context, name)
            assert member is not None
            members.append((member, click.Context(member, context, info_name=name)))
    yield f"{_title(context)}.{SECTION}", "\n".join(_page(one, context, members)) + "\n"
    for member, inner in members:
        yield from _pages(member, inner)


def _title(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _page(
    one: click.Command,
    context: click.Context,
    members: Sequence[tuple[click.Command, click.Context]],
) -> Iterator[str]:
    title, version = _title(context), f"pptpgw {__version__}"
    yield f'.TH {title.upper()} {SECTION} "" "{version}" "{version}"'
    yield ".SH NAME"
    yield f"{_text(title)} \\- {_text((one.short_help or '').rstrip('.'))}"
    yield ".SH SYNOPSIS"
    yield f".B {_text(context.command_path)}"
    yield _text(" ".join(one.collect_usage_pieces(context)))
    yield ".SH DESCRIPTION"
    yield from _paragraphs(one.help or "")
    if members:
        yield ".SH COMMANDS"
        for member, inner in members:
            yield from _item(inner.command_path, member.short_help or "")
    yield ".SH OPTIONS"
    for parameter in one.get_params(context):
        record = parameter.get_help_record(context)
        # Some versions of click have records of arguments, without a text: the synopsis has those.
        if record is not None and record[1]:
            yield from _item(*record)
    yield ".SH EXIT STATUS"
    for status, words in WORDS.items():
        yield from _item(status, words)
    others = [_title(inner) for _, inner in members]
    if context.parent is not None:
        others = [_title(context.parent), *others]
    if others:
        yield ".SH SEE ALSO"
        for other in others:
            comma = "" if other == others[-1] else " ,"
            yield f".BR {_text(other)} ({SECTION}){comma}"


def _item(head: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield f".B {_text(head)}"
    yield _text(text)


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        # As in click's texts, lines behind this sign are left as they are.
        if paragraph.startswith("\b\n"):
            yield ".nf"
            yield from (_text(line) for line in paragraph.split("\n")[1:])
            yield ".fi"
        else:
            yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """
    Return C{text} in the notation of roff, in which a dot or quote at the beginning of a line would
    be a request.
    """
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def main(folder: str) -> None:
    """
    Write all pages to a folder, which is made if it is missing. Pages of commands that are gone are
    removed.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for old in path.glob(f"*.{SECTION}"):
        old.unlink()
    for name, text in pages():
        (path / name).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
