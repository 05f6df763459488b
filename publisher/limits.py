"""Limits: gates over how the new rows look and how they did. A person may overrule them, with a reason on record."""

from __future__ import annotations

from statistics import median

import numpy as np

from contracts.deltas import Delta
from contracts.recall import Recall, is_worse
from contracts.served import Gate
from contracts.trend import MAX_EXPONENT
from publisher.candidate import Candidate
from publisher.measured import Measured, histogram
from publisher.settings import Limits

HOUR_MS = 3_600_000
FORMER = 48  # deltas of each partition that a forecast rests on
NAMES = ("norms", "angles", "touched", "recall", "age", "size")


def check(candidate: Candidate, measured: Measured, limits: Limits, now: int) -> tuple[Gate, ...]:
    """Return the verdict of every limit; `now`: ms, the wall clock."""
    return (
        norms(candidate, measured, limits),
        angles(measured, limits),
        touched(candidate, measured, limits),
        recall(measured.recall, limits),
        age(candidate, limits, now),
        size(measured, limits),
    )


def norms(candidate: Candidate, measured: Measured, limits: Limits) -> Gate:
    """Rows that run away: against the base's own rows, and against the cap of the online update."""
    found = np.concatenate([np.zeros(0), *measured.norms])
    if not len(found):
        return Gate("norms", True, "no row was touched")
    cap = candidate.base.manifest.online.norm_cap
    high, capped = float(np.quantile(found, 0.99)), float(np.mean(found >= 0.99 * cap))
    common = max(measured.commons, default=0.0)
    known = measured.reference.norms if measured.reference else np.zeros(0)
    base = float(np.quantile(known, 0.99)) if len(known) else 0.0
    most = limits.norm_factor * base if base else cap
    said = f"own rows are up to {high:.2f} long (99 %), limit {most:.2f}"
    said += f" ({limits.norm_factor:g} times the base's {base:.2f})" if base else " (the cap)"
    said += f"; common rows up to {common:.2f}, limit {limits.most_common_norm:g}; {capped:.0%} of rows are at the cap"
    passed = high <= most and capped <= limits.most_at_cap and common <= limits.most_common_norm
    return Gate("norms", passed, f"{said} |{histogram(found, most)}|")


def angles(measured: Measured, limits: Limits) -> Gate:
    """Rows that have turned away from what the base knew of the same users."""
    found = np.array(measured.angles)
    if not len(found):
        return Gate("angles", True, "no touched user is in the base's sample" if measured.reference else "not measured")
    middle, high = np.quantile(found, [0.5, 0.99]).tolist()
    said = f"{len(found)} users turned by {middle:.1f} degrees (median; 99 %: {high:.1f}) against the base"
    said += f", limit {limits.most_degrees:g} |{histogram(found, 180.0)}|"
    return Gate("angles", middle <= limits.most_degrees, said)


def touched(candidate: Candidate, measured: Measured, limits: Limits) -> Gate:
    """Users touched, against what the samples and the former deltas let expect."""
    found = sum(body.touched_rows for body in measured.bodies)
    samples = sum(body.samples for body in measured.bodies)
    shares = [body.touched_rows / body.samples for body in _former(candidate) if body.samples]
    if len(shares) < limits.forecast_from:
        return Gate("touched", True, f"{found} rows by {samples} samples; no forecast yet")
    forecast = median(shares) * samples
    said = f"{found} rows by {samples} samples, forecast {forecast:.0f}"
    ratio = max(found, 1) / max(forecast, 1.0)
    few = max(found, forecast) < limits.forecast_rows
    passed = few or 1 / limits.touched_factor <= ratio <= limits.touched_factor
    return Gate("touched", passed, f"{said} (limit: {limits.touched_factor:g} times more or fewer)")


def recall(found: Recall, limits: Limits) -> Gate:
    """Hits on the new clicks, before they were learned, against the frozen base's."""
    if found.clicks < limits.recall_clicks:
        return Gate("recall", True, f"{found.clicks} clicks were scored, {limits.recall_clicks} are needed to judge")
    said = f"recall@{found.k} {found.served / found.clicks:.4f}, frozen base {found.frozen / found.clicks:.4f}"
    said += f", over {found.clicks} clicks"
    return Gate("recall", not is_worse(found.served, found.frozen), said)


def age(candidate: Candidate, limits: Limits, now: int) -> Gate:
    """A base that is older than what is served, or too old for its trend counts, and clocks that are ahead."""
    base, newest = candidate.base.manifest, _newest(candidate)
    hours = (newest - base.cut_watermark) / HOUR_MS
    most = MAX_EXPONENT * base.online.half_life_ms / HOUR_MS
    if newest > now + limits.most_ahead_seconds * 1000:
        return Gate("age", False, f"the newest click is {(newest - now) / HOUR_MS:.1f} h ahead of this machine's clock")
    if hours > most:
        return Gate("age", False, f"the base is {hours:.0f} h old, its trend counts are good for {most:.0f} h")
    if candidate.is_cut_over and candidate.served_cut is not None and base.cut_watermark < candidate.served_cut:
        back = (candidate.served_cut - base.cut_watermark) / HOUR_MS
        return Gate("age", False, f"the base is {back:.1f} h older than the one that is served")
    return Gate("age", True, f"the base is {hours:.1f} h old, limit {most:.0f} h")


def size(measured: Measured, limits: Limits) -> Gate:
    """How much readers have to load."""
    said = f"{measured.size / 1e6:.1f} MB to load, limit {limits.most_bytes / 1e6:.0f} MB"
    return Gate("size", measured.size <= limits.most_bytes, said)


def _newest(candidate: Candidate) -> int:
    return max(advance.position.watermark for advance in candidate.advances)


def _former(candidate: Candidate) -> list[Delta]:
    """Return the bodies of the deltas before the new ones, a few of each partition."""
    return [
        advance.chain.read(number).body
        for advance in candidate.advances
        for number in range(max(advance.before.delta - FORMER, 0) + 1, advance.before.delta + 1)
    ]
