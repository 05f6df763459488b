"""The page of results: a table for the terminal, a plot as PNG, and both as one self-contained HTML file."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from contracts import durable
from examples.ledger import Ledger
from examples.measure import FRESH, FROZEN, TREND, Window

FAINT, GREY = "#dfe3e8", "#7a7f87"
COLOURS = {FROZEN: GREY, TREND: "#4f86c6", FRESH: "#d1495b"}


@dataclass(frozen=True)
class Recall:
    """Recall of one arm over all clicks, and over those of users who had clicked earlier that day."""

    arm: str
    all_clicks: float
    active: float


@dataclass(frozen=True)
class Results:
    """All that the page shows. `facts`: label and value, in the order in which they are printed."""

    title: str
    zone: str
    windows: Sequence[Window]
    book: Ledger
    facts: Sequence[tuple[str, str]]
    query: str

    @property
    def clicks(self) -> int:
        """How many clicks were scored."""
        return sum(window.clicks for window in self.windows)

    @property
    def active(self) -> int:
        """How many of them came from users who had clicked earlier that day."""
        return sum(window.active for window in self.windows)

    def recalls(self) -> list[Recall]:
        """Return recall over the day, arm by arm."""
        arms = self.windows[0].hits if self.windows else {}
        return [
            Recall(
                arm,
                _share(sum(window.hits[arm] for window in self.windows), self.clicks),
                _share(sum(window.active_hits[arm] for window in self.windows), self.active),
            )
            for arm in arms
        ]

    @property
    def headings(self) -> tuple[str, str, str]:
        """The columns of the table of recalls."""
        return "arm", f"{self.clicks:,} clicks", f"{self.active:,} of active users"


def print_results(console: Console, results: Results) -> None:
    """Print the page of results."""
    console.rule(f"[bold]{results.title}")
    k = results.windows[0].k if results.windows else 0
    table = Table(title=f"recall@{k} over the day; active: clicked earlier that day", title_justify="left")
    for column in results.headings:
        table.add_column(column, justify="left" if column == "arm" else "right")
    for recall in results.recalls():
        table.add_row(recall.arm, f"{recall.all_clicks:.3f}", f"{recall.active:.3f}")
    console.print(table)
    counts = Table(title="a click's whole way: counts at every hop", title_justify="left")
    for column in ("hop", "count", "must equal"):
        counts.add_column(column, justify="right" if column == "count" else "left")
    for line in results.book.lines:
        verdict = f"{line.of} {'✓' if line.adds_up else f'✗ {line.expected:,}'}" if line.expected is not None else ""
        counts.add_row(line.hop, f"{line.count:,}", verdict)
    console.print(counts)
    for label, value in results.facts:
        console.print(f"{label:<16} {value}", highlight=False, soft_wrap=True)
    console.print(f"{'ask it':<16} {results.query}", highlight=False, soft_wrap=True)


def write_page(folder: Path, results: Results) -> tuple[Path, Path]:
    """Write `plot.png` and `index.html` into `folder`; return both paths."""
    durable.make_directory(folder)
    image, page = folder / "plot.png", folder / "index.html"
    _plot(results).savefig(image, dpi=140)
    durable.replace_file(page, _page(results, image.read_bytes()).encode())
    return image, page


def _plot(results: Results) -> Figure:
    mpl.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    axes = figure.subplots()
    k = results.windows[0].k if results.windows else 0
    figure.suptitle(f"{results.title} (recall@{k} per half hour, scored before it is learned)", fontsize=12)
    clicks, at = [window.clicks for window in results.windows], range(len(results.windows))
    behind = axes.twinx()
    behind.bar(at, clicks, color=FAINT, width=0.9)
    behind.set_ylabel("clicks", color=GREY)
    behind.tick_params(axis="y", colors=GREY)
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)
    for arm, colour in COLOURS.items():
        hits = [window.hits[arm] for window in results.windows]
        shares = [_share(hit, count) if count else float("nan") for hit, count in zip(hits, clicks, strict=True)]
        axes.plot(at, shares, color=colour, linewidth=2.2, label=arm, marker="o", markersize=3)
    axes.plot([], [], color=FAINT, linewidth=6, label="clicks in the half hour")
    axes.set_ylim(0, None)
    axes.set_ylabel("recall, all clicks")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False, fontsize=9)
    labels = [window.label(results.zone) for window in results.windows]
    every = max(1, len(labels) // 12)
    axes.set_xticks(at[::every], labels[::every])
    axes.set_xlabel(f"end of the half hour ({results.zone})")
    return figure


def _page(results: Results, image: bytes) -> str:
    picture = base64.b64encode(image).decode()
    recalls = "".join(
        f"<tr><td>{html.escape(recall.arm)}<td>{recall.all_clicks:.3f}<td>{recall.active:.3f}"
        for recall in results.recalls()
    )
    headings = "".join(f"<th>{heading}" for heading in results.headings)
    hops = "".join(
        f"<tr><td>{html.escape(line.hop).replace('  ', '&emsp;')}<td>{line.count:,}<td>{html.escape(line.of)}"
        f"{'' if line.expected is None else ' ✓' if line.adds_up else f' ✗ {line.expected:,}'}"
        for line in results.book.lines
    )
    facts = "".join(f"<dt>{html.escape(label)}<dd>{html.escape(value)}" for label, value in results.facts)
    summary = ", ".join(f"{recall.arm}: {recall.all_clicks:.3f}" for recall in results.recalls())
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(results.title)}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1d2228; }}
img {{ max-width: 100%; }} table {{ border-collapse: collapse; margin: 1rem 0; }}
td, th {{ padding: .2rem .8rem; border-bottom: 1px solid #dfe3e8; text-align: right; }}
td:first-child, th:first-child, .left td:last-child {{ text-align: left; }}
dt {{ font-weight: 600; }} dd {{ margin: 0 0 .4rem 0; overflow-wrap: anywhere; }} code {{ overflow-wrap: anywhere; }}
</style>
<h1>{html.escape(results.title)}</h1>
<img alt="Recall per half hour. {html.escape(summary)}" src="data:image/png;base64,{picture}">
<h2>Recall over the day</h2>
<table><tr>{headings}{recalls}</table>
<p>Active: users who had clicked earlier that day. The trend table alone gives everybody the same list, so what the last
line has beyond it is what the vectors and the rows add. The frozen base is scored without the trend table.</p>
<h2>A click's whole way: counts at every hop</h2>
<table class="left"><tr><th>hop<th>count<th>must equal{hops}</table>
<h2>This run</h2>
<dl>{facts}</dl>
<p>Ask what is served: <code>{html.escape(results.query)}</code></p>
</html>
"""


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
