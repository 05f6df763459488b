"""How a worker's log looks: one event a line, as text for eyes or as JSON for machines, with the same facts in both.

Faust, mode, aiokafka and kafka-python log through the same handler. Facts come as `extra={"facts": {...}}`; records of
the log and settings never do.
"""

from __future__ import annotations

import datetime as dt
import logging
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import msgspec

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
OURS = "freshet"
# What a terminal obeys, or takes for the beginning of another line.
_CONTROLS = str.maketrans({c: repr(c)[1:-1] for c in map(chr, (*range(10), *range(11, 32), *range(127, 160), 0x2028))})


class TextFormatter(logging.Formatter):
    """`time level what key=value …`, UTC; further lines of a message, a hint and a traceback are indented.

    So no text can pass for an event of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of one event."""
        facts = "".join(f" {key}={value}" for key, value in _facts(record).items())
        where = "" if record.name.startswith(OURS) else f"{record.name}: "
        time = dt.datetime.fromtimestamp(record.created, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
        first, *more = record.getMessage().split("\n")
        below = [*more, *getattr(record, "hint", "").split("\n")]
        if record.exc_info:
            below += self.formatException(record.exc_info).split("\n")
        event = f"{time} {record.levelname.lower():<7} {where}{first}{facts}".replace("\n", "\\n")
        return "\n".join(line.translate(_CONTROLS) for line in (event, *(f"  {line}" for line in below if line)))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, the worker's facts, `hint`, `exception`."""

    def __init__(self, worker: Mapping[str, Any]) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        time = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        event: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "logger": record.name}
        event |= {"message": record.getMessage(), **self._worker, **_facts(record)}
        if hint := getattr(record, "hint", ""):
            event["hint"] = hint
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode({key: _whole(value) for key, value in event.items()}, enc_hook=str).decode()


def set_up(log_format: LogFormat, level: LogLevel, worker: Mapping[str, Any], stream: TextIO | None = None) -> None:
    """Send all events of the process to `stream` (default: standard error). Libraries speak from warnings on only.

    `worker`: facts that every JSON line repeats (worker, topic, group); text lines leave them out.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(worker) if log_format == "json" else TextFormatter())
    handler.addFilter(_is_heard)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
    logging.getLogger(OURS).setLevel(level.upper())
    logging.getLogger("kafka.admin._groups").setLevel(logging.ERROR)  # it cannot read Faust's metadata, and need not
    logging.captureWarnings(True)


def _is_heard(record: logging.LogRecord) -> bool:
    """A filter: libraries that were given a level of their own are not louder for that."""
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] == OURS


def _whole(value: Any) -> Any:
    """Return text without the lone surrogates that undecodable bytes become, and that no JSON may hold."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts = getattr(record, "facts", None)
    return dict(facts) if isinstance(facts, Mapping) else {}
