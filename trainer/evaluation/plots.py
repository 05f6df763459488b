"""The plots of an evaluation as SVG, to stand inside a page; the same evaluation gives the same bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from trainer.evaluation.arms import ALL_PARAMETERS, BOTH, FRESH, LAST_HOUR
from trainer.evaluation.results import Comparison, Evaluation

GREY, RED, BLUE, GREEN, VIOLET = "#8a9099", "#d1495b", "#4f86c6", "#3a9d7a", "#8e6bbf"
LINES = {FRESH: (RED, 2.6), LAST_HOUR: (BLUE, 1.4), ALL_PARAMETERS: (GREEN, 1.4), BOTH: (VIOLET, 1.4)}


def over_the_day(evaluation: Evaluation) -> str:
    """Return recall@20 by hour of the day: the frozen base, what is served, and the strongest peers."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    lines = {evaluation.best_frozen: (GREY, 2.6), **LINES}
    for name, (colour, width) in lines.items():
        if name in evaluation.arms:
            found = [float("nan") if each is None else each for each in evaluation.arms[name].by_hour]
            axes.plot(range(len(found)), found, color=colour, linewidth=width, label=name.replace("_", " "))
    axes.set_ylim(0, 1)
    axes.set_xlabel(f"hour of the day ({evaluation.day_zone})")
    axes.set_ylabel("recall@20, known items")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, frameon=False, fontsize=9)
    return _svg(figure)


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
    return _svg(figure)


def _svg(figure: Figure) -> str:
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
        figure.savefig(held, format="svg", metadata={"Date": None})
    whole = held.getvalue()
    return whole[whole.index("<svg") :]
