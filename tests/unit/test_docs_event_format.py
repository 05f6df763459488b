"""The human form of the event schema says what the decoder does."""

from __future__ import annotations

import re
from pathlib import Path

from contracts.events import REASONS, Click, Item, Request, Tick, decode

EVENT_SECTION = (Path(__file__).parents[2] / "docs" / "formats.md").read_text().split("\n## ")[1]


def test_every_example_of_the_page_is_an_event_and_every_kind_has_one() -> None:
    examples = re.findall(r"```json\n(.*?)```", EVENT_SECTION, re.DOTALL)
    assert [type(decode(example.encode())) for example in examples] == [Request, Click, Tick, Item]


def test_every_reason_of_the_decoder_is_in_the_table() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", EVENT_SECTION, re.MULTILINE)) == REASONS
