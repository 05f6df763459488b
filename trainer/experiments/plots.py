"""The plots of an experiment as SVG, to stand inside a page or alone; the same experiment gives the same bytes."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.evaluation.arms import ALL_PARAMETERS, BOTH, FRESH, FROZEN_RAW, FROZEN_SHRUNK, TREND_FROZEN
from trainer.evaluation.plots import BLUE, GREEN, GREY, RED, VIOLET, svg
from trainer.evaluation.results import SliceResult, Spread
from trainer.experiments.interval import MONOLITH
from trainer.experiments.nightly import MOVING
from trainer.experiments.results import Experiment, RunResult

COLOURS = {FROZEN_SHRUNK: GREY, BOTH: VIOLET, TREND_FROZEN: BLUE, FRESH: RED, ALL_PARAMETERS: GREEN, FROZEN_RAW: GREEN}
IN_WORDS = {"recall20": "recall@20, known items", "recall20_all": "recall@20, all items"}
POINTS = 100.0


def alone(found: Experiment) -> str:
    """Return the plot that answers what the experiment asks, as a file."""
    plot = by_interval(found) if any(run.minutes for run in found.runs) else by_run(found)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{plot}\n'


def by_run(found: Experiment) -> str:
    """Return every arm of every run: all clicks beside active users, with the spread over seeds."""
    figure = Figure(figsize=(9, 1.2 + 0.42 * len(found.runs)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, part in zip(panels, ("all", "active"), strict=True):
        _dots(axes, found, part)
        axes.set_xlabel(f"{IN_WORDS[found.measure]}, {part}")
    panels[0].set_yticks(range(len(found.runs)), [run.name for run in reversed(found.runs)])
    handles, labels = panels[0].get_legend_handles_labels()
    panels[0].legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, frameon=False, fontsize=9)
    return svg(figure)


def _dots(axes: Axes, found: Experiment, part: str) -> None:
    arms = list(dict.fromkeys(arm for run in found.runs for arm in run.arms))
    for number, arm in enumerate(arms):
        there = [(at, run.arms[arm]) for at, run in enumerate(reversed(found.runs)) if arm in run.arms]
        figures: list[Spread] = [getattr(each.slices[part], found.measure) for _, each in there]
        axes.errorbar(
            [each.mean for each in figures],
            [at + 0.12 * ((len(arms) - 1) / 2 - number) for at, _ in there],
            xerr=[each.deviation for each in figures],
            fmt="o",
            color=COLOURS[MOVING.get(arm, arm)],
            markersize=5,
            capsize=3,
            label=arm.replace("_", " "),
        )
    axes.grid(axis="y", color=GREY, alpha=0.2)


def by_interval(found: Experiment) -> str:
    """Return the gain over the frozen base by publishing interval: AUC beside Monolith's, and recall@20."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("auc", "recall20"), strict=True):
        runs = sorted((run for run in found.runs if run.minutes), key=lambda run: run.minutes)
        for arm in runs[0].arms:
            if arm != FROZEN_SHRUNK:
                at, gains = [run.minutes for run in runs], [gain(run, arm, name) for run in runs]
                axes.plot(at, gains, "o-", color=COLOURS[arm], label=arm.replace("_", " "))
        if name == "auc":
            axes.plot(list(MONOLITH), list(MONOLITH.values()), "s--", color="#b58900", label="Monolith, table 2")
        axes.set_xscale("log")
        axes.set_xticks([run.minutes for run in runs], [run.name for run in runs], rotation=30, ha="right")
        axes.minorticks_off()
        axes.set_ylabel(f"gain over the frozen base, points of {'AUC' if name == 'auc' else 'recall@20'}")
        axes.axhline(0, color=GREY, linewidth=1)
        axes.legend(frameon=False, fontsize=9)
    return svg(figure)


def gain(run: RunResult, arm: str, name: str) -> float:
    """Return by how many points (hundredths) an arm's figure over all clicks is above that of the frozen base."""
    better, worse = (run.arms[each].slices["all"] for each in (arm, FROZEN_SHRUNK))
    return POINTS * (_mean(better, name) - _mean(worse, name))


def _mean(figures: SliceResult, name: str) -> float:
    spread: Spread = getattr(figures, name)
    return spread.mean
