"""The result files, and the table that the README shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.figures import Figure, Machine, amount
from contracts import durable
from contracts.errors import Corrupt

REPOSITORY = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
README = REPOSITORY / "README.md"
BEGIN, END = "<!-- figures: made by make bench -->", "<!-- /figures -->"

_HEAD = "| figure | ours | peer | ratio | must | aim |\n|---|---:|---:|---:|---:|---:|"


def write(folder: Path, name: str, figures: Sequence[Figure]) -> Path:
    """Write `<name>.json`, a list of figures, in one step over an earlier one; return its path."""
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    durable.replace_file(path, msgspec.json.format(msgspec.json.encode(list(figures)), indent=2) + b"\n")
    return path


def read_all(folder: Path) -> list[Figure]:
    """Return the figures of all result files, by file name. Raises `Corrupt` where a file is no list of figures."""
    found: list[Figure] = []
    for path in sorted(folder.glob("*.json")):
        try:
            found += msgspec.json.decode(path.read_bytes(), type=list[Figure])
        except msgspec.MsgspecError as error:
            hint = "Delete the file and run `make bench` again."
            raise Corrupt(str(path), f"a figure ({error})", hint=hint) from None
    return found


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table, and under it where they were measured."""
    machines = list(dict.fromkeys(figure.machine for figure in figures))
    where = "; ".join(map(_machine, machines)) or "nowhere yet"
    footer = (
        f"Measured on {where}. Ours and the peer ran in turn in one run: absolute figures move with the machine, the\n"
        "ratio is what counts, and a higher one is better. How each was measured: `benchmarks/README.md`."
    )
    return "\n".join([_HEAD, *map(_row, figures), "", footer])


def put_between_markers(text: str, made: str) -> str | None:
    """Return `text` with `made` between the two markers and all else as it was; None where it lacks the markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{made}\n{end}{after}" if begin and end else None


def put_into_readme(readme: Path, folder: Path) -> str:
    """Generate the README's table from all result files; return a sentence on what was done."""
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    changed = put_between_markers(text, table(read_all(folder)))
    if changed is None:
        return f"No table was written: {readme} has no lines `{BEGIN}` and `{END}`."
    durable.replace_file(readme, changed.encode())
    return f"The table in {readme} is made anew from all result files."


def _row(figure: Figure) -> str:
    cells = (
        figure.figure,
        f"{amount(figure.ours)} {figure.unit}",
        f"{figure.peer_name}: {amount(figure.peer)}",
        f"**{figure.ratio:.2f}x**",
        figure.verdict(figure.must),
        figure.verdict(figure.aim),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _machine(machine: Machine) -> str:
    return f"{machine.cores} cores of {machine.cpu}, {machine.memory} GiB, Python {machine.python}, {machine.kernel}"
