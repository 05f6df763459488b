"""Proof that a topic is still the one that a worker began with: a topic of the same name may take its place.

Offsets say nothing then: those of the new topic follow those of the old one as if nothing had happened. So the broker
is asked for the topic's id after the records of a shard were fetched, and before the shard is committed. One answer
does for all shards whose records were there when it was asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from contracts.errors import LogChanged, MissingInput, MissingServer
from streams.records import Topic

PATIENCE_S = 45.0
PAUSE_S = 0.5


class SameTopic:
    """Asks `identity` (a question to the broker) on behalf of any number of threads, which share its answers."""

    def __init__(self, topic: Topic, identity: Callable[[], Topic]) -> None:
        self._topic, self._identity = topic, identity
        self._turn = threading.Lock()
        self._asked_at = float("-inf")

    def prove(self, since: float) -> None:
        """Return when the broker has been asked after `since` (of `time.monotonic`), and the topic is the same.

        Raises `LogChanged` when it is not, or gone; `MissingServer` when the broker does not answer for 45 s.
        """
        with self._turn:
            if self._asked_at >= since:
                return
            began = time.monotonic()
            found = self._ask(began + PATIENCE_S)
            if found != self._topic:
                was, now = (f"{topic.topic_id} with {topic.partitions} partitions" for topic in (self._topic, found))
                raise LogChanged(
                    f"topic {self._topic.name} had id {was}, and has id {now}: it was created anew",
                    hint="Nothing of the new topic was committed. Give it a new --root.",
                )
            self._asked_at = began

    def _ask(self, deadline: float) -> Topic:
        while True:
            try:
                return self._identity()
            except MissingInput:
                raise LogChanged(
                    f"topic {self._topic.name} is gone",
                    hint="What was committed is whole. A new topic of this name needs a new --root.",
                ) from None
            except MissingServer:
                if time.monotonic() > deadline:
                    raise
            time.sleep(PAUSE_S)
