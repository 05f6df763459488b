"""Boundary 9: the night record: what a night trained on what, step by step, and how it ended. A chain per topic.

A night is the records from one `planned` on; the newest one is over when its head says `announced` or `refused`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from contracts.chain import Chain
from contracts.layout import Layout
from contracts.served import Gate

SCHEMA = "freshet.night/1"
Step = Literal["planned", "retrained", "evaluated", "passed", "announced", "refused"]
OVER = ("announced", "refused")


class Night(msgspec.Struct, frozen=True):
    """What a night has come to. `days` are trained on top of the base `parent` (empty: from scratch) and give `base_id`
    (empty before `retrained`). `review`: figures by name, of the day on the parent. `gates`: the push gate's verdicts.
    `why`: the reason of a refusal. `created_at`: processing time (ms), for people only.
    """

    step: Step
    days: tuple[str, ...]
    parent: str
    base_id: str
    review: dict[str, float]
    gates: tuple[Gate, ...]
    who: str
    why: str
    created_at: int


NightChain = Chain[Night]


def chain(layout: Layout, topic: str) -> NightChain:
    """Return the chain of the nights of one topic."""
    return Chain(layout.nights(topic), SCHEMA, Night)


def refused(layout: Layout, topic: str) -> Night | None:
    """Return the last night of a topic, if it was refused."""
    last = chain(layout, topic).head()
    return last.body if last and last.body.step == "refused" else None
