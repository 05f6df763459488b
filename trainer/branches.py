"""The online branches that one process updates: that of the newest base, and those that a rollback may go back to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from contracts import rebases, served
from contracts.bases import BaseStore, OpenBase
from contracts.chain import Entry
from contracts.deltas import Delta
from contracts.layout import Layout
from trainer.online import NEVER, OnlineWorker
from trainer.settings import TrainerSettings


def live(layout: Layout, topic: str, branch_ms: int) -> list[OpenBase]:
    """Return the bases of a topic whose branches go on: the newest one that is ready, and those served lately.

    Lately: in the last `branch_ms` of served watermark. A base that a rebase is folding is that rebase's business.
    Raises `MissingInput` where there is no base yet.
    """
    newest = rebases.newest(layout, topic)
    wanted = {newest.manifest.base_id, *_served_lately(layout, branch_ms)}
    store = BaseStore(layout)
    found = [newest if name == newest.manifest.base_id else store.open(name) for name in wanted & {*store.ids()}]
    return sorted((base for base in found if base.manifest.topic == topic), key=lambda base: base.manifest.base_id)


def _served_lately(layout: Layout, branch_ms: int) -> Iterator[str]:
    chain = served.chain(layout)
    head = chain.head()
    if head is None:
        return
    yield head.body.base_id
    for number in range(head.number - 1, 0, -1):
        body = chain.read(number).body
        if body.trend_time <= head.body.trend_time - branch_ms:
            return
        yield body.base_id


class Branches:
    """The workers of one process, by base; `partitions` empty: all of each base's.

    `hold` says which bases are to be updated from now on. A branch that is let go stays on disk as it is, and goes on
    from there when it is held again.
    """

    def __init__(self, layout: Layout, topic: str, settings: TrainerSettings, partitions: tuple[int, ...] = ()) -> None:
        self._layout, self._topic, self._settings, self._partitions = layout, topic, settings, partitions
        self._held: dict[str, tuple[OpenBase, list[OnlineWorker]]] = {}

    @property
    def bases(self) -> list[OpenBase]:
        """The bases whose branches are updated, in the order of their ids."""
        return [self._held[base_id][0] for base_id in sorted(self._held)]

    def owned(self, base: OpenBase) -> tuple[int, ...]:
        """Return the partitions of a base that this process updates."""
        return self._partitions or tuple(range(base.manifest.partitions))

    @property
    def heads(self) -> list[Entry[Delta]]:
        """The newest delta of every branch and partition that has one."""
        return [worker.head for worker in self._workers() if worker.head]

    def hold(self, bases: Iterable[OpenBase], say: Callable[[str], None] = lambda text: None) -> None:
        """Update these bases' branches and no others. Raises what `OnlineWorker` does."""
        wanted = {base.digest: base for base in bases}
        for base in self.bases:
            if base.digest not in wanted:
                self._let_go(base)
                say(f"The branch of base {base.manifest.base_id} rests: no rollback goes back to it.")
        for base in wanted.values():
            if base.manifest.base_id not in self._held:
                self._take_up(base)
                say(f"The branch of base {base.manifest.base_id} is updated.")

    def advance(self, until: int = NEVER, committed: Callable[[Entry[Delta]], None] = lambda delta: None) -> int:
        """Advance every worker once; return how many samples were folded."""
        return sum(worker.advance(until, committed) for worker in self._workers())

    def stop(self) -> None:
        """Make `advance` return soon. Only `close` may be called after that."""
        for worker in self._workers():
            worker.stop()

    def close(self) -> None:
        """Release every worker's state."""
        for base in self.bases:
            self._let_go(base)

    def _workers(self) -> list[OnlineWorker]:
        return [worker for base_id in sorted(self._held) for worker in self._held[base_id][1]]

    def _take_up(self, base: OpenBase) -> None:
        workers: list[OnlineWorker] = []
        self._held[base.manifest.base_id] = (base, workers)
        makings = (OnlineWorker(self._layout, base, self._topic, each, self._settings) for each in self.owned(base))
        workers.extend(makings)  # one by one: what was opened is closed even when a later one fails

    def _let_go(self, base: OpenBase) -> None:
        for worker in self._held.pop(base.manifest.base_id)[1]:
            worker.close()
