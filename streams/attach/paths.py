"""Where a value stands in a decoded record: `visitor.id`, `items[0].sku`, `impressions[].sku`, `"user.id"`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

Step = str | int | None  # a key, an index of a list, or every element of one

_STEP = re.compile(r'(?P<dot>\.)?(?:(?P<name>[^.\[\]"]+)|"(?P<quoted>[^"]+)")|\[(?P<index>-?\d{0,6})\]')
_SHOWN = 60
_DEEPEST = 8


@dataclass(frozen=True)
class Path:
    """A way into a record; `text` is how a person wrote it."""

    text: str
    steps: tuple[Step, ...]

    @property
    def is_list(self) -> bool:
        """Whether it leads to a list of values, one for each element on its way."""
        return None in self.steps

    def find(self, record: object) -> object:
        """Return what stands there: None where nothing does, a list (with None for holes) if `is_list`."""
        return _found(record, self.steps)

    def lost(self, record: object) -> str:
        """Return where in `record` the way ends, and which keys are there instead."""
        at = record
        for number, step in enumerate(self.steps):
            onward = at[0] if step is None and isinstance(at, list) and at else _next(at, step)
            if onward is None:
                before = "".join(map(_shown_step, self.steps[:number])).removeprefix(".") or "the record"
                return f"{before} {_holds(at)}, and no {_shown_step(step).removeprefix('.')}"
            at = onward
        return "it holds nothing in some of its elements"


def parsed(text: str) -> Path:
    """Read a path. Raises ValueError that says what is wrong with it."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or (match["index"] is None and bool(match["dot"]) != bool(steps)):
            raise ValueError(f"{text!r} is no path like visitor.id or impressions[].sku")
        if match["index"] is not None:
            steps.append(int(match["index"]) if match["index"].strip("-") else None)
        else:
            steps.append(match["name"] or match["quoted"])
        at = match.end()
    if not steps:
        raise ValueError("a path is empty: leave the key out instead")
    return Path(text, tuple(steps))


def paths_in(record: object, before: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the paths of all single values in `record`, as one would write them; lists by their first element."""
    if isinstance(record, dict) and depth < _DEEPEST:
        for key, value in record.items():
            name = f'"{key}"' if re.search(r"[.\[\]]", str(key)) else str(key)
            yield from paths_in(value, f"{before}.{name}" if before else name, depth + 1)
    elif isinstance(record, list) and depth < _DEEPEST:
        if record:
            yield from paths_in(record[0], f"{before}[]", depth + 1)
    elif before:
        yield before


def excerpt(value: object) -> str:
    """Return a value as short text."""
    text = repr(value) if not isinstance(value, str) else value
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _found(at: object, steps: tuple[Step, ...]) -> object:
    for number, step in enumerate(steps):
        if step is None:
            if not isinstance(at, list):
                return None
            rest = steps[number + 1 :]
            if None in rest:
                return [value for one in at for value in _as_list(_found(one, rest))]
            return [_found(one, rest) for one in at]
        at = _next(at, step)
        if at is None:
            return None
    return at


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [None]


def _next(at: object, step: Step) -> object:
    if isinstance(step, str):
        return at.get(step) if isinstance(at, dict) else None
    if isinstance(step, int) and isinstance(at, list) and -len(at) <= step < len(at):
        return at[step]
    return None


def _shown_step(step: Step) -> str:
    return f".{step}" if isinstance(step, str) else "[]" if step is None else f"[{step}]"


def _holds(value: object) -> str:
    if isinstance(value, dict):
        return f"has {', '.join(excerpt(key) for key in list(value)[:12]) or 'no keys'}"
    if isinstance(value, list):
        return f"is a list of {len(value)}"
    return f"is {excerpt(value)}"
