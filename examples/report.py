"""The page of results: a table for the terminal, a plot as PNG, and both as one self-contained HTML file."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from contracts import durable
from examples.ledger import Ledger
from examples.measure import Window

FROZEN, FRESH, FAINT = "#7a7f87", "#d1495b", "#dfe3e8"


@dataclass(frozen=True)
class Recall:
    """Recall of both arms over some clicks; None where there were none."""

    name: str
    clicks: int
    frozen: float
    fresh: float

    @property
    def gain(self) -> str:
        """The change in per cent, in words where the frozen base found nothing."""
        if not self.frozen:
            return "from nothing" if self.fresh else "none"
        return f"{self.fresh / self.frozen - 1:+.1%}"


@dataclass(frozen=True)
class Results:
    """All that the page shows. `facts`: label and value, in the order in which they are printed."""

    title: str
    zone: str
    windows: Sequence[Window]
    book: Ledger
    facts: Sequence[tuple[str, str]]
    query: str

    def recalls(self) -> list[Recall]:
        """Return recall over the day, for all clicks and for users who had clicked earlier that day."""
        clicks, active = (sum(getattr(w, name) for w in self.windows) for name in ("clicks", "active"))
        sums = {
            name: sum(getattr(w, name) for w in self.windows)
            for name in ("frozen_hits", "fresh_hits", "frozen_active_hits", "fresh_active_hits")
        }
        return [
            Recall("all clicks", clicks, _share(sums["frozen_hits"], clicks), _share(sums["fresh_hits"], clicks)),
            Recall(
                "users active earlier that day",
                active,
                _share(sums["frozen_active_hits"], active),
                _share(sums["fresh_active_hits"], active),
            ),
        ]


def print_results(console: Console, results: Results) -> None:
    """Print the page of results."""
    console.rule(f"[bold]{results.title}")
    k = results.windows[0].k if results.windows else 0
    table = Table(title=f"recall@{k} over the day", title_justify="left")
    for column, justify in (("clicks of", "left"), ("clicks", "right"), ("frozen base", "right"), ("fresh", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left")
    table.add_column("gain", justify="right")
    for recall in results.recalls():
        table.add_row(recall.name, f"{recall.clicks:,}", f"{recall.frozen:.3f}", f"{recall.fresh:.3f}", recall.gain)
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
    figure = Figure(figsize=(10, 6.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    k = results.windows[0].k if results.windows else 0
    figure.suptitle(f"{results.title}: recall@{k} per half hour, scored before it is learned", fontsize=12)
    _draw(above, results, ("clicks", "frozen_hits", "fresh_hits"), "all clicks")
    _draw(below, results, ("active", "frozen_active_hits", "fresh_active_hits"), "users active earlier that day")
    above.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=3, frameon=False)
    labels = [window.label(results.zone) for window in results.windows]
    every = max(1, len(labels) // 12)
    below.set_xticks(range(0, len(labels), every), labels[::every])
    below.set_xlabel(f"end of the half hour ({results.zone})")
    return figure


def _draw(axes: Axes, results: Results, names: tuple[str, str, str], title: str) -> None:
    clicks, frozen, fresh = ([getattr(window, name) for window in results.windows] for name in names)
    at = range(len(clicks))
    behind = axes.twinx()
    behind.bar(at, clicks, color=FAINT, width=0.9)
    behind.set_ylabel("clicks", color=FROZEN)
    behind.tick_params(axis="y", colors=FROZEN)
    behind.spines["right"].set_visible(False)
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)
    for hits, colour, label in ((frozen, FROZEN, "frozen base"), (fresh, FRESH, "fresh: published every 30 min")):
        shares = [_share(hit, count) if count else float("nan") for hit, count in zip(hits, clicks, strict=True)]
        axes.plot(at, shares, color=colour, linewidth=2.2, label=label, marker="o", markersize=3)
    axes.plot([], [], color=FAINT, linewidth=6, label="clicks in the half hour")
    axes.set_ylim(0, None)
    axes.set_ylabel("recall")
    axes.set_title(title, loc="left", fontsize=10)


def _page(results: Results, image: bytes) -> str:
    picture = base64.b64encode(image).decode()
    recalls = "".join(
        f"<tr><td>{html.escape(r.name)}<td>{r.clicks:,}<td>{r.frozen:.3f}<td>{r.fresh:.3f}<td>{html.escape(r.gain)}"
        for r in results.recalls()
    )
    hops = "".join(
        f"<tr><td>{html.escape(line.hop).replace('  ', '&emsp;')}<td>{line.count:,}<td>{html.escape(line.of)}"
        f"{'' if line.expected is None else ' ✓' if line.adds_up else f' ✗ {line.expected:,}'}"
        for line in results.book.lines
    )
    facts = "".join(f"<dt>{html.escape(label)}<dd>{html.escape(value)}" for label, value in results.facts)
    summary = ", ".join(f"{r.name}: {r.frozen:.3f} frozen, {r.fresh:.3f} fresh" for r in results.recalls())
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
<table><tr><th>clicks of<th>clicks<th>frozen base<th>fresh<th>gain{recalls}</table>
<h2>A click's whole way: counts at every hop</h2>
<table class="left"><tr><th>hop<th>count<th>must equal{hops}</table>
<h2>This run</h2>
<dl>{facts}</dl>
<p>Ask what is served: <code>{html.escape(results.query)}</code></p>
</html>
"""


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
