"""From a decoded record to an event of ours. Total: an event, or `Unmapped` with key, path and reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from contracts.events import Click, Context, Event, Item, Rejected, Request, Shown, Stage
from streams.attach.paths import Path, parsed
from streams.attach.settings import AnySource, ClickSource, ItemSource, RequestSource
from streams.sources.columns import ABSENT, MILLISECONDS, number_of, text_of

Value = TypeVar("Value")

_FURTHEST = 1 << 62
_EVENT_ID_CHARACTERS = 256


class Origin(NamedTuple):
    """Where a record stands, and Kafka's time of it in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Unmapped(ValueError):
    """A record gives no event: `key` of the `[[source]]` table, the `path` that it names, and what is wrong there."""

    def __init__(self, key: str, path: str, reason: str) -> None:
        super().__init__(f'{key} = "{path}": {reason}' if path else reason)
        self.key, self.path, self.reason = key, path, reason


ReadEvent = Callable[[object, Origin], Event]


def event_reader(source: AnySource) -> ReadEvent:
    """Return the function from a decoded record to its event; it raises `Unmapped`, and nothing else."""
    match source:
        case ClickSource():
            return _click_reader(source)
        case RequestSource():
            return _request_reader(source)
        case ItemSource():
            return _item_reader(source)


def meant(source: AnySource) -> Callable[[object], bool]:
    """Return the function that tells whether a record holds the values of `where`."""
    wanted = [(parsed(path), value) for path, value in source.where.items()]
    return lambda record: all(_same(path.find(record), value) for path, value in wanted)


def _same(found: object, wanted: str) -> bool:
    return wanted == (str(found).lower() if isinstance(found, bool) else str(found))


def _click_reader(source: ClickSource) -> ReadEvent:
    fields = _Fields(source)
    user, item, time = fields.needed("user", text_of), fields.needed("item", text_of), fields.time("time")
    ingest, context = fields.ingest(), fields.context(source.discrete, source.continuous)
    event_id, request = fields.text("event_id"), fields.text("request")

    def read(record: object, origin: Origin) -> Event:
        return Click(
            user(record),
            item(record),
            time(record),
            ingest(record, origin),
            event_id(record) or str(origin)[-_EVENT_ID_CHARACTERS:],
            request(record),
            context(record),
        )

    return read


def _request_reader(source: RequestSource) -> ReadEvent:
    fields = _Fields(source)
    request, user = fields.needed("request", text_of), fields.needed("user", text_of)
    time, ingest = fields.time("time"), fields.ingest()
    context, arm = fields.context(source.discrete, source.continuous), fields.text("arm")
    shown, rejected = fields.texts("shown"), fields.texts("rejected")
    stage, version = fields.stages(source), fields.optional("served_version", _whole, 0)

    def read(record: object, origin: Origin) -> Event:
        items = rejected(record)
        return Request(
            request(record),
            user(record),
            time(record),
            ingest(record, origin),
            context(record),
            tuple(Shown(item, position) for position, item in enumerate(shown(record))),
            tuple(Rejected(item, at) for item, at in zip(items, stage(record, len(items)), strict=True)),
            arm(record),
            version(record),
        )

    return read


def _item_reader(source: ItemSource) -> ReadEvent:
    fields = _Fields(source)
    item, ingest = fields.needed("item", text_of), fields.ingest()
    content = fields.context(source.discrete, source.continuous)
    milliseconds = MILLISECONDS[source.time_unit]
    since = fields.optional("available_from", milliseconds, 0)
    until = fields.optional("available_until", milliseconds, 0)
    return lambda record, origin: Item(
        item(record), ingest(record, origin), content(record), since(record), until(record)
    )


class _Fields:
    """The paths of a `[[source]]` table as functions from a record to a value; all raise `Unmapped`."""

    def __init__(self, source: AnySource) -> None:
        self._source = source
        self._milliseconds = MILLISECONDS[source.time_unit]

    def needed(self, key: str, convert: Callable[[object], Value]) -> Callable[[object], Value]:
        path = parsed(getattr(self._source, key))

        def read(record: object) -> Value:
            found = path.find(record)
            if found in ABSENT:
                raise Unmapped(key, path.text, "it is empty" if found == "" else path.lost(record))
            return _converted(key, path, convert, found)

        return read

    def optional(self, key: str, convert: Callable[[object], Value], default: Value) -> Callable[[object], Value]:
        text = getattr(self._source, key)
        if not text:
            return lambda _: default
        path = parsed(text)

        def read(record: object) -> Value:
            found = path.find(record)
            return default if found in ABSENT else _converted(key, path, convert, found)

        return read

    def text(self, key: str) -> Callable[[object], str]:
        return self.optional(key, text_of, "")

    def time(self, key: str) -> Callable[[object], int]:
        return self.needed(key, self._milliseconds)

    def ingest(self) -> Callable[[object, Origin], int]:
        if not self._source.ingest:
            return lambda _, origin: origin.timestamp
        read = self.time("ingest")
        return lambda record, _: read(record)

    def texts(self, key: str) -> Callable[[object], list[str]]:
        """A list of ids: none where nothing is there, one where the path leads to a single value."""
        return self.optional(key, _texts, [])

    def stages(self, source: RequestSource) -> Callable[[object, int], list[Stage]]:
        names: dict[str, Stage] = {"pre_rank": "pre_rank", "rank": "rank", **source.stages}

        def known(found: object) -> list[Stage]:
            words = _texts(found)
            if unknown := [word for word in words if word not in names]:
                raise ValueError(f"{unknown[0]!r} is no stage: say in `stages` whether it is pre_rank or rank")
            return [names[word] for word in words]

        default: list[Stage] = ["rank"]
        read = self.optional("stage", known, default)

        def stages(record: object, count: int) -> list[Stage]:
            found = read(record)
            if len(found) not in (1, count):
                raise Unmapped("stage", source.stage, f"{len(found)} values for {count} rejected items")
            return found * count if len(found) == 1 else found

        return stages

    def context(self, discrete: Mapping[str, str], continuous: Mapping[str, str]) -> Callable[[object], Context]:
        texts = [(name, parsed(path)) for name, path in discrete.items()]
        numbers = [(name, parsed(path)) for name, path in continuous.items()]

        def read(record: object) -> Context:
            return Context(
                {
                    name: _converted(f"discrete.{name}", path, text_of, found)
                    for name, path in texts
                    if (found := path.find(record)) not in ABSENT
                },
                {
                    name: _converted(f"continuous.{name}", path, number_of, found)
                    for name, path in numbers
                    if (found := path.find(record)) not in ABSENT
                },
            )

        return read


def _converted(key: str, path: Path, convert: Callable[[object], Value], found: object) -> Value:
    try:
        return convert(found)
    except (ValueError, OverflowError, RecursionError) as error:
        raise Unmapped(key, path.text, str(error)) from None


def _texts(found: object) -> list[str]:
    if not isinstance(found, list):
        return [text_of(found)]
    if holes := sum(one in ABSENT for one in found):
        raise ValueError(f"{holes} of {len(found)} elements hold nothing there")
    return [text_of(one) for one in found]


def _whole(found: object) -> int:
    number = int(text_of(found))
    if not 0 <= number < _FURTHEST:
        raise ValueError(f"{number} is no version number")
    return number
