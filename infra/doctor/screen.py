"""How findings look: a line each under the heading of their group, for a tired reader; or JSON for a program.

Names of topics and files were written by strangers: what is not printable is shown escaped, nothing is markup.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from shlex import quote

import msgspec
from rich.console import Console
from rich.text import Text

from contracts.command_line import ROOT_VARIABLE
from contracts.findings import Finding, Verdict
from contracts.layout import Layout
from contracts.printable import printable

WORDS: dict[Verdict, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warning": ("WARNING", "bold yellow"),
    "fault": ("FAULT", "bold red"),
    "unused": ("not used", "dim"),
}
_MARGIN, _NARROWEST, _WIDEST = 11, 50, 120


class Line(msgspec.Struct, frozen=True):
    """A finding as `--json` prints it, an object a line: docs/operations.md has the keys."""

    group: str
    what: str
    verdict: Verdict
    found: str
    remedy: str
    exit_code: int


class Screen:
    """Prints findings as they come."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, markup=False, emoji=False)
        self._width = min(max(self._console.width, _NARROWEST), _WIDEST)
        self._group = ""
        self._said: dict[tuple[str, str], str] = {}

    def introduce(self, layout: Layout) -> None:
        """Print what is looked at, and how the commands that are named below come to know it."""
        root = layout.root.absolute()
        self._console.print(f"run folder {printable(str(root))}; for the commands named below:", soft_wrap=True)
        self._console.print(f"  export {ROOT_VARIABLE}={printable(quote(str(root)))}", soft_wrap=True)

    def begin(self, group: str) -> None:
        """Print the heading of a group, unless its findings go on: what is looked at now may take some seconds."""
        if group != self._group:
            self._console.print(group, style="bold")
            self._group = group

    def show(self, finding: Finding) -> None:
        """Print a finding of the group that has begun."""
        word, style = WORDS[finding.verdict]
        said_before = self._said.setdefault((finding.found, finding.remedy), self._group)
        again = finding.verdict == "fault" and said_before != self._group
        first, *others = self._wrapped(f"{finding.what}: {f'as under {said_before}' if again else finding.found}")
        self._console.print(Text.assemble((f"  {word:<{_MARGIN - 2}}", style), first), soft_wrap=True)
        for line in others:
            self._console.print(Text(" " * _MARGIN + line), soft_wrap=True)
        if finding.remedy and not again:  # in one line however long, so that a command in it can be pasted
            style = "dim" if finding.verdict == "unused" else "bold"
            self._console.print(Text(f"{' ' * _MARGIN}-> {printable(finding.remedy)}", style), soft_wrap=True)

    def sum_up(self, findings: Sequence[tuple[str, Finding]]) -> None:
        """Print how many of each there are, and again where the faults are."""
        counts = Counter(finding.verdict for _, finding in findings)
        bad = [f"{n} {word}{'s' * (n != 1)}" for word in ("fault", "warning") for n in [counts[word]]]
        said = f"{', '.join(bad)}, {counts['ok']} ok, {counts['unused']} not used"
        self._console.print(f"\n{said}", style="bold")
        for group, finding in findings:
            if finding.verdict == "fault":
                word, style = WORDS[finding.verdict]
                self._console.print(Text.assemble((f"  {word}  ", style), f"{group}: {printable(finding.what)}"))

    def _wrapped(self, text: str) -> list[str]:
        return textwrap.wrap(printable(text), self._width - _MARGIN, break_long_words=False, break_on_hyphens=False)


def json_line(group: str, finding: Finding) -> str:
    """Return a finding as one line of JSON."""
    what, found, remedy = (  # a file's name may be no UTF-8
        text.encode("utf-8", "backslashreplace").decode() for text in (finding.what, finding.found, finding.remedy)
    )
    line = Line(group, what, finding.verdict, found, remedy, finding.exit_code)
    return msgspec.json.encode(line).decode()
