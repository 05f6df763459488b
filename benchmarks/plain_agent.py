"""The peer of `stream_events`: a Faust agent as its documentation writes it, decoding each value and keeping nothing.

    python -m benchmarks.plain_agent BOOTSTRAP TOPIC RECORDS RESULT

It writes how long it took from its first record to record number RECORDS into the file RESULT, and ends.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import faust
import msgspec

from contracts import durable
from contracts.events import decode


class Taken(msgspec.Struct, frozen=True):
    """What the agent did: `records` after the first one, in `seconds`."""

    records: int
    seconds: float


def plain_app(bootstrap: str, topic: str, records: int, result: Path) -> Any:
    """Return the app; everything that is no setting of this machine is left at Faust's default."""
    app = faust.App(
        f"plain-{os.getpid()}",
        broker=f"kafka://{bootstrap}",
        datadir=str(result.parent / "plain"),
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
    )

    async def decoding(stream: Any) -> None:
        started, seen = 0.0, 0
        async for value in stream:
            decode(value)
            started = started or time.perf_counter()
            seen += 1
            if seen == records:
                _end(result, Taken(seen - 1, time.perf_counter() - started))

    app.agent(app.topic(topic, value_type=bytes, value_serializer="raw"))(decoding)
    return app


def _end(result: Path, taken: Taken) -> None:
    durable.replace_file(result, msgspec.json.encode(taken))
    os._exit(0)  # Faust's orderly stop takes seconds and is not measured


if __name__ == "__main__":
    agent = plain_app(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    faust.Worker(agent, loglevel="WARNING", quiet=True).execute_from_commandline()
