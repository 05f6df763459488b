"""The page of an experiment: one HTML file without anything outside it."""

from __future__ import annotations

import html
from collections.abc import Iterator

from contracts import days
from trainer.evaluation.arms import FRESH, FROZEN_SHRUNK
from trainer.evaluation.arms import MEANING as ARMS
from trainer.evaluation.report import STYLE
from trainer.evaluation.results import Comparison, Spread
from trainer.experiments.interval import MONOLITH
from trainer.experiments.plots import IN_WORDS, by_interval, by_run, gain
from trainer.experiments.results import ArmFigures, Experiment, RunResult

HEAD = ("recall@20, all", "±", "active", "±", "of all clicks", "recall@100, all", "AUC, all")


def page(found: Experiment) -> str:
    """Return the whole page."""
    title = f"{found.name}: {found.asks}"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title><style>{STYLE}</style>",
            f"<h1>{html.escape(found.asks[0].upper() + found.asks[1:])}</h1>",
            f"<p>{html.escape(verdict(found))}</p>",
            f"<p class=faint>{html.escape(_about(found))}</p><p><code>{html.escape(found.command)}</code></p>",
            _not_made(found),
            *_figures(found),
            _table(found),
            *_monolith(found),
            _comparisons(found),
            _runs(found),
            _how(found),
            "</html>\n",
        ]
    )


def verdict(found: Experiment) -> str:
    """Return in one line which run is the best for each arm, and how the first run does, over all clicks."""
    told = list[str]()
    for arm in dict.fromkeys(arm for _, arm, _ in rows(found)):
        there = [(run, _measured(figures, found.measure)) for run, name, figures in rows(found) if name == arm]
        (first, at_first), (best, most) = there[0], max(there, key=lambda each: each[1])
        rest = f" ({first.name}: {at_first:.3f})" if best is not first else ""
        told.append(f"{arm.replace('_', ' ')}: {best.name}, {most:.3f}{rest}")
    return f"Best by {IN_WORDS[found.measure]}, one arm after the other. " + "; ".join(told) + "."


def intervals(found: Experiment) -> bool:
    """Whether publishing intervals are what is compared."""
    return any(run.minutes for run in found.runs)


def rows(found: Experiment) -> Iterator[tuple[RunResult, str, ArmFigures]]:
    """Yield every arm of every run."""
    for run in found.runs:
        for arm, figures in run.arms.items():
            yield run, arm, figures


def monolith_rows(found: Experiment) -> Iterator[tuple[str, str, str, str]]:
    """Yield by interval, longest first: its name, our gain of AUC and of recall@20, Monolith's of AUC, in points."""
    for run in sorted(found.runs, key=lambda each: -each.minutes):
        theirs = MONOLITH.get(int(run.minutes))
        auc, recall = (f"{gain(run, FRESH, name):+.2f}" for name in ("auc", "recall20"))
        yield run.name, auc, recall, f"{theirs:+.2f}" if theirs else "–"


def _measured(figures: ArmFigures, name: str) -> float:
    spread: Spread = getattr(figures.slices["all"], name)
    return spread.mean


def _about(found: Experiment) -> str:
    spans = f"{found.base_days[0]} to {found.base_days[-1]}"
    return (
        f"Log {found.log}: {found.clicks:,} clicks judged {days.in_words(found.judged_day, found.day_zone)}, on bases "
        f"over {len(found.base_days)} nights, {spans}; published every {found.interval_ms / 60_000:g} minutes where "
        "nothing else is said."
    )


def _not_made(found: Experiment) -> str:
    if not found.not_made:
        return ""
    return f"<p><strong>Not made:</strong> {html.escape('; '.join(found.not_made))}.</p>"


def _figures(found: Experiment) -> Iterator[str]:
    if intervals(found):
        yield f'<figure role="img" aria-label="Gain by publishing interval">{by_interval(found)}</figure>'
    yield f'<figure role="img" aria-label="Recall of every run, with its spread">{by_run(found)}</figure>'


def _table(found: Experiment) -> str:
    truth = any(figures.truth for _, _, figures in rows(found))
    head = "".join(f"<th scope=col>{each}" for each in ("run", "arm", *HEAD, *(["truth", "±"] if truth else [])))
    body = "".join(
        f"<tr><td>{html.escape(run.name)}<td>{html.escape(arm.replace('_', ' '))}{_cells(figures, truth)}"
        for run, arm, figures in rows(found)
    )
    return f"<h2>All runs</h2><div class=wide><table><tr>{head}{body}</table></div>"


def _cells(figures: ArmFigures, truth: bool) -> str:
    whole, active = figures.slices["all"], figures.slices["active"]
    spreads: list[Spread] = [whole.recall20, active.recall20]
    numbers = [number for each in spreads for number in (each.mean, each.deviation)]
    numbers += [whole.recall20_all.mean, whole.recall100.mean, whole.auc.mean]
    if truth and figures.truth:
        numbers += [figures.truth.mean, figures.truth.deviation]
    return "".join(f"<td>{number:.4f}" for number in numbers)


def _monolith(found: Experiment) -> Iterator[str]:
    if intervals(found) and all({FRESH, FROZEN_SHRUNK} <= run.arms.keys() for run in found.runs):
        body = "".join("<tr>" + "".join(f"<td>{each}" for each in row) for row in monolith_rows(found))
        yield (
            "<h2>Beside Monolith</h2><div class=wide><table><caption>Points gained over the model that is not updated: "
            "fresh over the frozen base; online over batch training (Liu et al. 2022, arXiv 2209.07663, table 2: "
            "another log, another model, another task)</caption><tr><th>published every<th>our AUC<th>our recall@20"
            f"<th>Monolith's AUC{body}</table></div>"
        )


def _comparisons(found: Experiment) -> str:
    body = "".join(map(_comparison, found.comparisons))
    return (
        "<h2>Differences, and how sure they are</h2><div class=wide><table><caption>Of recall@20, over the same clicks "
        "and seeds, with the 95 % interval from resampling users</caption><tr><th>arm<th>less<th>clicks<th>difference"
        f"<th>from<th>to<th>relative{body}</table></div>"
    )


def _comparison(each: Comparison) -> str:
    names = "".join(f"<td>{html.escape(name.replace('_', ' '))}" for name in (each.arm, each.than, each.slice))
    numbers = "".join(f"<td>{number:+.4f}" for number in (each.difference, each.low, each.high))
    return f"<tr>{names}{numbers}<td>{each.relative * 100:+.1f} %"


def _runs(found: Experiment) -> str:
    body = "".join(
        f"<tr><td>{html.escape(run.name)}<td>{html.escape(run.meaning)}<td>{', '.join(map(str, run.seeds))}"
        f"<td>{', '.join(f'{each:g}' for each in run.seconds)}"
        for run in found.runs
    )
    return (
        "<h2>The runs</h2><div class=wide><table class=words><tr><th>run<th>what it is<th>seeds<th>seconds"
        f"{body}</table></div>"
    )


def _how(found: Experiment) -> str:
    names = dict.fromkeys(arm for _, arm, _ in rows(found))
    meanings = "".join(
        f"<dt>{html.escape(name.replace('_', ' '))}<dd>{html.escape(ARMS[name])}" for name in names if name in ARMS
    )
    return (
        "<h2>How this was judged</h2><p>By the protocol of <code>freshet evaluate</code>: a window's clicks are scored "
        "with what was published when it began, then learned; what a user clicked last is not shown again; equal "
        "scores count against the arm. Nothing was chosen on the judged day. Means over the seeds of a run; ± is the "
        "standard deviation over them. “Of all clicks” counts those on items that a base does not know as misses.</p>"
        f"<dl>{meanings}</dl>"
    )
