"""Rounds: ours and the peers take turns in one run, so that a machine that slows down slows all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Say = Callable[[str], None]


def interleaved(sides: Mapping[str, Callable[[], float]], rounds: int, say: Say) -> dict[str, list[float]]:
    """Measure every side once a round, in the order given (A B A B ...); return what each measured, by name."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(1, rounds + 1):
        for name, measure in sides.items():
            value = measure()
            found[name].append(value)
            say(f"round {number} of {rounds}: {name} {value:,.0f}")
    return found
