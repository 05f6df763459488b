"""The page of an evaluation: one HTML file without anything outside it, the answer first, the proof below."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from contracts import days
from trainer.evaluation.arms import FRESH, FROZEN, LAST_HOUR, SWAPS
from trainer.evaluation.plots import lifts, over_the_day
from trainer.evaluation.results import Comparison, Evaluation, SliceResult
from trainer.evaluation.slices import MEANING

STYLE = """
:root { color-scheme: light dark; --line: #dfe3e8; --faint: #6a7079; }
@media (prefers-color-scheme: dark) { :root { --line: #3a4048; --faint: #a0a7b0; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { line-height: 1.2; } .faint { color: var(--faint); } svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
td, th { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
td:first-child, th:first-child, .words td { text-align: left; } .words td { white-space: normal; }
tr.us td { font-weight: 600; } caption { text-align: left; color: var(--faint); }
code { overflow-wrap: anywhere; }
"""


def headline(evaluation: Evaluation) -> str:
    """Return in one sentence what the evaluation found."""
    fresh, frozen = (evaluation.arms[name].slices["all"].recall20.mean for name in (FRESH, evaluation.best_frozen))
    verdict = "for only" if fresh < frozen else "for"
    when = days.in_words(evaluation.judged_day, evaluation.day_zone)
    return (
        f"{when[0].upper()}{when[1:]} the fresh model put the clicked item among the first 20 {verdict} "
        f"{fresh * 100:.0f} of 100 clicks, the frozen one for {frozen * 100:.0f}."
    )


def page(evaluation: Evaluation) -> str:
    """Return the whole page."""
    base, zone = evaluation.base_days, evaluation.day_zone
    since, until = (days.shown(at, zone) for at in (days.bounds(base[0], zone)[0], days.bounds(base[-1], zone)[1]))
    title = f"{evaluation.log}: judged {days.in_words(evaluation.judged_day, zone)}; base from {since} to {until}"
    shown = [each for each in evaluation.comparisons if each.slice in {"all", "active"}]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title><style>{STYLE}</style>",
            f"<h1>{html.escape(headline(evaluation))}</h1><p class=faint>{html.escape(title)}</p>",
            f"<p>{html.escape(_in_words(evaluation))}</p>",
            _figure("Recall over the day", "Recall at 20 by hour, arm by arm", over_the_day(evaluation)),
            _figure(
                "What helps, and how sure that is",
                "Differences from the frozen base, with intervals",
                lifts([each for each in shown if each.than in FROZEN]),
            ),
            _figure(
                "And beside the strongest others",
                "Differences from controls and peers, with intervals",
                lifts([each for each in shown if each.than not in FROZEN]),
            ),
            _swap_words(evaluation.comparisons),
            "<h2>All arms</h2>",
            *(_table(evaluation, name) for name in ("all", "active", "active_new", "active_known", "tail")),
            _neighbours(evaluation),
            _settings(evaluation),
            _how(evaluation),
            "</html>\n",
        ]
    )


def _in_words(evaluation: Evaluation) -> str:
    arms = evaluation.arms
    fresh, hour = arms[FRESH].slices["active"].recall20.mean, arms[LAST_HOUR].slices["active"].recall20.mean
    captured = evaluation.capture_ratio
    rows = (
        f" Rows and trend capture {captured * 100:.0f} % of what training every parameter online gains."
        if captured is not None
        else ""
    )
    return (
        f"Of users who had clicked earlier that day it was {fresh * 100:.0f} of 100, against {hour * 100:.0f} for a "
        f"plain list of what was clicked most in the last hour.{rows} {evaluation.coverage * 100:.0f} % of the "
        f"{evaluation.clicks:,} clicks were on the {evaluation.candidates:,} items that the base knows; the figures "
        f"are over those, and “of all” counts the others as misses, for every arm alike."
    )


def _figure(title: str, label: str, svg: str) -> str:
    return f'<h2>{html.escape(title)}</h2><figure role="img" aria-label="{html.escape(label)}">{svg}</figure>'


def _swap_words(comparisons: Sequence[Comparison]) -> str:
    swaps = [each for each in comparisons if SWAPS.get(each.arm) == each.than and each.slice == "active"]
    found = "; ".join(
        f"{each.arm.replace('_', ' ')} {each.relative * 100:+.1f} % ({each.low:+.4f} to {each.high:+.4f})"
        for each in swaps
    )
    return (
        "<p>SWAP is a control: the same run with the clicks of each block dealt out anew among its users. What it "
        f"gains too belongs to everybody; the rest is personal. Of active users: {html.escape(found)}.</p>"
    )


def _table(evaluation: Evaluation, name: str) -> str:
    rows = sorted(evaluation.arms.items(), key=lambda each: (-each[1].slices[name].recall20.mean, each[0]))
    of = evaluation.arms[FRESH].slices[name]
    head = "".join(
        f"<th scope=col>{each}"
        for each in ("arm", "recall@20", "±", "recall@100", "of all @20", "MRR", "AUC", "tail", "samples/s")
    )
    body = "".join(
        f'<tr{" class=us" if arm == FRESH else ""}><td title="{html.escape(found.meaning)}">'
        f"{html.escape(arm.replace('_', ' '))}{_cells(found.slices[name])}"
        f"<td>{f'{found.samples_per_s:,.0f}' if found.samples_per_s else '–'}"
        for arm, found in rows
    )
    caption = f"{name.replace('_', ' ')}: {MEANING[name]}; {of.clicks:,} clicks, {of.known:,} on known items"
    return f"<div class=wide><table><caption>{html.escape(caption)}</caption><tr>{head}{body}</table></div>"


def _cells(found: SliceResult) -> str:
    numbers = (found.recall20.mean, found.recall20.deviation, found.recall100.mean, found.recall20_all.mean)
    rest = (found.mrr.mean, found.auc.mean, found.tail.mean)
    return "".join(f"<td>{number:.4f}" for number in numbers) + "".join(f"<td>{number:.3f}" for number in rest)


def _neighbours(evaluation: Evaluation) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(each.item)}<td>{each.clicks:,}<td>"
        + ", ".join(f"{html.escape(item)} ({cosine:.2f})" for item, cosine in each.nearest)
        for each in evaluation.neighbours
    )
    return (
        "<h2>Items that lie close together</h2><div class=wide><table class=words><caption>The most clicked items of "
        "the base's days and their nearest vectors, with the cosine</caption>"
        f"<tr><th>item<th>clicks<th>nearest{rows}</table></div>"
    )


def _settings(evaluation: Evaluation) -> str:
    return "<h2>Settings</h2>" + "".join(
        f"<p>Seed {each.seed}, base <code>{html.escape(each.base_id)}</code>, "
        f"{_calibrated(each.calibrated_on, evaluation.day_zone)}: "
        f"<code>{html.escape(_pairs({**each.online, 'own_scale': each.own_scale}.items()))}</code></p>"
        for each in evaluation.seeds
    )


def _calibrated(day: str, zone: str) -> str:
    return f"calibrated {days.in_words(day, zone)}" if day else "not calibrated"


def _pairs(settings: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in sorted(settings))


def _how(evaluation: Evaluation) -> str:
    minutes, count = evaluation.interval_ms / 60_000, len(evaluation.seeds)
    seeds = f"{count} seeds" if count > 1 else "1 seed"
    meanings = "".join(
        f"<dt>{html.escape(name.replace('_', ' '))}<dd>{html.escape(found.meaning)}"
        for name, found in sorted(evaluation.arms.items())
    )
    return (
        f"<h2>How this was judged</h2><p>Windows of {minutes:g} minutes: a window's clicks are scored with what was "
        "published when it began, then learned. Candidates are the base's items. What a user clicked last (64 items) "
        "is not shown again, by any arm. Every setting was chosen on days before the one that is judged. Equal scores "
        f"count against the arm. Means over {seeds}; "
        "± is the standard deviation over them. Intervals come from resampling users.</p>"
        f"<h2>The arms</h2><dl>{meanings}</dl>"
    )
