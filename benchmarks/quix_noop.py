"""A peer: Quix Streams with the least step that has state, a counter for each user.

    python -m benchmarks.quix_noop BOOTSTRAP TOPIC RECORDS RESULT

As its documentation writes it: `Application`, `topic` with its default JSON deserializer (orjson), `dataframe`, and
`update(..., stateful=True)` that reads and writes one number under the record's key. State is its default, RocksDB
with a changelog topic, committed every 5 s. Ticks have no key, which its state needs: they are filtered out. It ends
after record number RECORDS; what it had not committed by then is not part of its time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from quixstreams import Application

from benchmarks.taken import Stopwatch


def counting_app(bootstrap: str, topic: str, watch: Stopwatch, folder: Path) -> Any:
    """Return the app; everything that is no setting of this machine is left at its default."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"quix-{os.getpid()}",
        auto_offset_reset="earliest",
        state_dir=folder / f"quix-{os.getpid()}",
        loglevel="WARNING",
    )

    def count(_: Any, state: Any) -> None:
        state.set("events", state.get("events", 0) + 1)
        watch.saw_one()

    events = app.dataframe(app.topic(topic))
    events.filter(lambda event: event["kind"] != "tick").update(count, stateful=True)
    return app


if __name__ == "__main__":
    result = Path(sys.argv[4])
    counting_app(sys.argv[1], sys.argv[2], Stopwatch(int(sys.argv[3]), result), result.parent).run()
