"""The online branches that one process updates: that of the newest base, and those that a rollback may go back to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from contracts import rebases, served
from contracts.bases import BaseStore, OpenBase
from contracts.chain import Entry
from contracts.deltas import Delta
from contracts.errors import FreshetError, MissingInput
from contracts.layout import Layout
from trainer.online import NEVER, OnlineWorker
from trainer.settings import TrainerSettings


def live(layout: Layout, topic: str, branch_ms: int) -> list[OpenBase]:
    """Return the bases of a topic whose branches go on: the newest one that is ready, and those served lately.

    Lately: in the last `branch_ms` of served watermark. A base that a rebase is folding is that rebase's business.
    Raises `MissingInput` where there is no base yet.
    """
    store = BaseStore(layout)
    names = {*_served_lately(layout, branch_ms)} & {*store.ids()}
    found = {name: base for name in names if (base := store.open(name)).manifest.topic == topic}
    try:
        newest = rebases.newest(layout, topic)
        found[newest.manifest.base_id] = newest
    except MissingInput:
        if not found:
            raise
    return [found[name] for name in sorted(found)]


def _served_lately(layout: Layout, branch_ms: int) -> Iterator[str]:
    chain = served.chain(layout)
    head = chain.head()
    if head is None:
        return
    yield head.body.base_id
    for number in range(head.number - 1, 0, -1):
        body = chain.read(number).body
        if body.action != "rollback":  # which shows an older content, however lately
            if body.trend_time <= head.body.trend_time - branch_ms:
                return
            yield body.base_id


class Branches:
    """The workers of one process, by base; `partitions` empty: all of each base's.

    `hold` says which bases are to be updated from now on. A branch that is let go stays on disk as it is, and goes on
    from there when it is held again. One that cannot be updated ends no other: it is let go, `say` is told why, and it
    is not taken up again by these; only when none is left does its error come out.
    """

    def __init__(self, layout: Layout, topic: str, settings: TrainerSettings, partitions: tuple[int, ...] = ()) -> None:
        self._layout, self._topic, self._settings, self._partitions = layout, topic, settings, partitions
        self._held: dict[str, tuple[OpenBase, list[OnlineWorker]]] = {}
        self._given_up = set[str]()
        self.say: Callable[[str], None] = lambda text: None

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

    def hold(self, bases: Iterable[OpenBase]) -> None:
        """Update these bases' branches and no others. Raises what `OnlineWorker` does where none can be taken up."""
        wanted, later = {base.digest: base for base in bases if base.digest not in self._given_up}, bool(self._held)
        for base in self.bases:
            if base.digest not in wanted:
                self._let_go(base)
                self.say(f"The branch of base {base.manifest.base_id} rests: it is not needed now.")
        new = [base for base in wanted.values() if base.manifest.base_id not in self._held]
        for number, base in enumerate(new, start=1):
            try:
                self._take_up(base)
                if later:
                    self.say(f"The branch of base {base.manifest.base_id} is updated.")
            except FreshetError as error:
                self._give_up(base, error, is_last=number == len(new) and len(self._held) == 1)

    def advance(self, until: int = NEVER, committed: Callable[[Entry[Delta]], None] = lambda delta: None) -> int:
        """Advance every worker once; return how many samples were folded. Raises what the last branch raises."""
        folded = 0
        for base in self.bases:
            try:
                for worker in self._held[base.manifest.base_id][1]:
                    folded += worker.advance(until, committed)
            except FreshetError as error:
                self._give_up(base, error, is_last=len(self._held) == 1)
        return folded

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

    def _give_up(self, base: OpenBase, error: FreshetError, is_last: bool) -> None:
        if is_last:
            raise error
        self._let_go(base)
        self._given_up.add(base.digest)
        self.say(f"The branch of base {base.manifest.base_id} is given up: {error} {error.hint}")

    def _let_go(self, base: OpenBase) -> None:
        for worker in self._held.pop(base.manifest.base_id)[1]:
            worker.close()
