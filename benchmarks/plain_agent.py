"""A peer: a Faust agent as its documentation writes it, decoding each value and keeping nothing.

    python -m benchmarks.plain_agent BOOTSTRAP TOPIC RECORDS RESULT

Values are decoded by our own decoder, which is faster than Faust's. It ends after record number RECORDS.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import faust

from benchmarks.taken import Stopwatch
from contracts.events import decode


def plain_app(bootstrap: str, topic: str, watch: Stopwatch, folder: Path) -> Any:
    """Return the app; everything that is no setting of this machine is left at Faust's default."""
    app = faust.App(
        f"plain-{os.getpid()}",
        broker=f"kafka://{bootstrap}",
        datadir=str(folder / "plain"),
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
    )

    async def decoding(stream: Any) -> None:
        async for value in stream:
            decode(value)
            watch.saw_one()

    app.agent(app.topic(topic, value_type=bytes, value_serializer="raw"))(decoding)
    return app


if __name__ == "__main__":
    result = Path(sys.argv[4])
    agent = plain_app(sys.argv[1], sys.argv[2], Stopwatch(int(sys.argv[3]), result), result.parent)
    faust.Worker(agent, loglevel="WARNING", quiet=True).execute_from_commandline()
