"""The plots of an evaluation as SVG, to stand inside a page; the same evaluation gives the same bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from trainer.evaluation.arms import ALL_PARAMETERS, BOTH, FRESH, LAST_HOUR
from trainer.evaluation.results import Comparison, Evaluation

GREY, RED, BLUE, GREEN, VIOLET = "#8a9099", "#d1495b", "#4f86c6", "#3a9d7a", "#8e6bbf"
MOST_POINTS, POINTS = 72, 48
LINES = {FRESH: (RED, 2.6), LAST_HOUR: (BLUE, 1.4), ALL_PARAMETERS: (GREEN, 1.4), BOTH: (VIOLET, 1.4)}


def over_the_day(evaluation: Evaluation) -> str:
    """Return recall@20 by hour of the day: the frozen base, what is served, and the strongest peers."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    spans = "/" in evaluation.judged_day
    lines = {evaluation.best_frozen: (GREY, 2.6), **LINES}
    for name, (colour, width) in lines.items():
        if name in evaluation.arms:
            at, found = _thinned(evaluation.arms[name].by_hour)
            axes.plot(at, found, color=colour, linewidth=width, label=name.replace("_", " "))
    axes.set_ylim(0, 1)
    axes.set_xlabel("hours since the beginning" if spans else f"hour of the day ({evaluation.day_zone})")
    axes.set_ylabel("recall@20, known items")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, frameon=False, fontsize=9)
    return svg(figure)


def _thinned(by_hour: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """Return hours and recalls; of what is longer than three days the means of so many hours that 48 points are left.

    Hours without clicks are left out of a mean; where all were, there is a gap.
    """
    step = 1 if len(by_hour) <= MOST_POINTS else -(-len(by_hour) // POINTS)
    groups = [[each for each in by_hour[at : at + step] if each is not None] for at in range(0, len(by_hour), step)]
    at = [number * step + (step - 1) / 2 for number in range(len(groups))]
    return at, [sum(each) / len(each) if each else float("nan") for each in groups]


def lifts(comparisons: Sequence[Comparison]) -> str:
    """Return differences of recall@20 with their 95 % intervals, one below the other."""
    figure = Figure(figsize=(9, 0.6 + 0.34 * len(comparisons)), layout="constrained")
    axes = figure.subplots()
    for row, each in enumerate(reversed(comparisons)):
        colour = GREEN if each.low > 0 else RED if each.high < 0 else GREY
        axes.plot([each.low, each.high], [row, row], color=colour, linewidth=2)
        axes.plot([each.difference], [row], "o", color=colour, markersize=6)
    names = [f"{each.arm} − {each.than}, {each.slice}".replace("_", " ") for each in reversed(comparisons)]
    axes.set_yticks(range(len(names)), names)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_xlabel("difference of recall@20, with 95 % interval by users")
    return svg(figure)


def svg(figure: Figure) -> str:
    """Return a figure as SVG to stand inside a page, readable on light and dark; the same figure, the same bytes."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.patch.set_alpha(0)
        axes.tick_params(colors=GREY)
        for label in (axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set_color(GREY)
        legend = axes.get_legend()
        for text in legend.get_texts() if legend else ():
            text.set_color(GREY)
    figure.patch.set_alpha(0)
    held = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "freshet", "svg.fonttype": "none"}):
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    whole = held.getvalue()
    return whole[whole.index("<svg") :]
