"""What runs beside a worker: the health page, the watchdog, and who asks the broker where the log ends.

Threads of their own: a loop that hangs must neither silence the page nor the watchdog, and a broker that does not
answer must not keep the watchdog from looking at its watch.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from kafka.errors import KafkaError

from contracts.errors import FreshetError
from contracts.pages import serving
from streams.health import Pages
from streams.metrics import registry
from streams.settings import StreamsSettings
from streams.topics import Log
from streams.vitals import View, Vitals
from streams.watchdog import Watchdog

CHECK_S = 1.0
ASK_S = 5.0
PORT = "http_port (FRESHET_STREAMS_HTTP_PORT)"
RESTART = "The process ends here and recovers from the chain when it is started again."
End = Callable[[str, str], None]
logger = logging.getLogger("freshet.streams")


@contextmanager
def operating(settings: StreamsSettings, vitals: Vitals, log: Log, end: End) -> Iterator[None]:
    """Run what belongs beside a worker for as long as the block lasts.

    `end` gets a sentence and a hint and has to end the process at once; it is called from another thread. Raises
    `UsageError` when the health page cannot listen: before the worker joins its group.
    """
    watch, stop = _Watch(Watchdog(settings.watchdog_seconds), vitals), threading.Event()
    with ExitStack() as stack:
        if settings.http_port:
            pages = Pages(registry(settings.topic, vitals), watch.look)
            stack.enter_context(serving((settings.http_host, settings.http_port), pages.answer, PORT))
        stack.callback(stop.set)
        _repeat(CHECK_S, lambda: watch.act(end), stop, end)
        _repeat(ASK_S, _Asker(log, vitals).ask, stop, end)
        yield


class _Watch:
    """The watchdog as its own thread and the health page call it."""

    def __init__(self, watchdog: Watchdog, vitals: Vitals) -> None:
        self._watchdog, self._vitals, self._turn = watchdog, vitals, threading.Lock()

    def look(self) -> tuple[View, str]:
        with self._turn:
            view = self._vitals.view()
            return view, self._watchdog.check(view)

    def act(self, end: End) -> None:
        reason = self.look()[1]
        if reason:
            end(f"watchdog: {reason}", RESTART)


class _Asker:
    """Asks the broker for the ends of the assigned partitions; says once that it does not answer, once that it does."""

    def __init__(self, log: Log, vitals: Vitals) -> None:
        self._log, self._vitals = log, vitals
        self._answers = True

    def ask(self) -> None:
        partitions = [p.partition for p in self._vitals.view().partitions]
        if not partitions:
            return
        try:
            ends = self._log.ends(partitions)
        except (FreshetError, KafkaError) as error:
            self._note(False, f"the broker does not say where the log ends: {error}")
            return
        for partition, offset in ends.items():
            self._vitals.log_end(partition, offset)
        self._note(True, "the broker says again where the log ends")

    def _note(self, answers: bool, message: str) -> None:
        if answers != self._answers:
            logger.warning(message, extra={"facts": {"topic": self._log.topic}})
        self._answers = answers


def _repeat(seconds: float, work: Callable[[], None], stop: threading.Event, end: End) -> None:
    """Do `work` every so many seconds until `stop`, in a thread; an error that nobody foresaw ends the process."""

    def run() -> None:
        try:
            while not stop.wait(seconds):
                work()
        except Exception:
            end(traceback.format_exc(), RESTART)

    threading.Thread(target=run, name="operations", daemon=True).start()
