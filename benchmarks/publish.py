"""What a publish costs, and when a reader shows it.

Publish: the same touched rows on a base of 5 million users and of 1 million. Visible: from a committed delta of 100,000
touched rows to a reader that answers with it, publisher and reader one after the other in one process, against a bare
sequential write (with fsync) of as many bytes. Rollback: until every one of several readers that follow the chain
answers from the old content. Memory: what a reader of 1 million users grows by, against rows x width x 4 bytes.

    python -m benchmarks.publish --users 1_000_000 --folder scratch

is one such base by itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

import msgspec

from benchmarks.by_users import ByUsers
from benchmarks.figures import Comparison, Figure, compared, this_machine
from benchmarks.memory import resident_mib
from benchmarks.online_input import WIDTH
from benchmarks.rounds import Say
from benchmarks.served_base import append_delta, write_base
from contracts import durable, served
from contracts.bases import BaseStore, OpenBase
from contracts.collector import collect_seldom
from contracts.layout import Layout
from contracts.rollback import rollback
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from serving.retriever import Retriever
from serving.service import Service
from serving.settings import ServingSettings

FEW, MANY, QUICK = 1_000_000, 5_000_000, 20_000
TOUCHED, ROUNDS, ITEMS, READERS = 100_000, 7, 4096, 4
MIB = 1 << 20
ORDER = Order("a benchmark", "")
EXACT = ServingSettings(search="exact")
MANY_USERS = Comparison(
    "publish of 100,000 touched rows, 5 M users", "ms", "the same, 1 M users", 1 / 1.2, 1.0, less_is_better=True
)
VISIBLE = Comparison(
    "100,000 touched rows visible to a reader, published and read",
    "ms",
    "bare write and fsync of as many bytes",
    1 / 5,
    1 / 2,
    less_is_better=True,
)
ROLLBACK = Comparison(
    "rollback until four readers answer from the old content", "ms", "a second", 1.0, less_is_better=True
)
MEMORY = Comparison(
    "memory of a reader, 1 M users", "MiB", "rows x width x 4 bytes", 1 / 2, 1 / 1.2, less_is_better=True
)


class Reading(msgspec.Struct, frozen=True):
    """Of a base of so many `users`: MiB `resident` of a reader, and in ms `publish`, `visible`, `bare`, `rollback`."""

    users: int
    resident: float
    publish: list[float]
    visible: list[float]
    bare: list[float]
    rollback: list[float]


def measure(quick: bool, say: Say) -> list[Figure]:
    """Measure few and many users in processes of their own."""
    few, many = (READINGS.in_a_process(users, say) for users in ((QUICK, 2 * QUICK) if quick else (FEW, MANY)))
    machine = this_machine()
    what = "Gates included; manifest with fsync."
    lag = f"Readers look every {EXACT.refresh_seconds * 1000:.0f} ms."
    return [
        compared(MANY_USERS, many.publish, few.publish, machine, what),
        compared(VISIBLE, few.visible, few.bare, machine, "1 M users. Both verify the digest of what they read."),
        compared(ROLLBACK, few.rollback, [1000.0] * len(few.rollback), machine, lag),
        compared(MEMORY, [few.resident], [few.users * WIDTH * 4 / MIB], machine, "Ids, evidence and rings included."),
    ]


def reading(layout: Layout, users: int) -> Reading:
    """Publish, read and roll back on the base in a folder; in a process that has done nothing else."""
    settings = PublisherSettings()
    publish_once(layout, settings, ORDER)
    before = resident_mib()
    reader = Retriever(layout, EXACT)
    reader.retrieve("u000000000", 20)
    resident = resident_mib() - before
    collect_seldom()
    base, publish, visible, bare = BaseStore(layout).open("served"), list[float](), list[float](), list[float]()
    touched = min(TOUCHED, users // 2)
    for seed in range(1, ROUNDS + 1):
        size = sum(file.size for file in append_delta(layout, base, touched, seed).files)
        started = time.perf_counter()
        publish_once(layout, settings, ORDER)
        publish.append((time.perf_counter() - started) * 1000)
        reader.refresh()
        visible.append((time.perf_counter() - started) * 1000)
        data = os.urandom(size)
        started = time.perf_counter()
        durable.write_file(layout.root / f"bare-{seed}", data)
        bare.append((time.perf_counter() - started) * 1000)
    rollbacks = _rollbacks(layout, base, touched) if users <= FEW else []
    return Reading(users, resident, publish, visible, bare, rollbacks)


def _rollbacks(layout: Layout, base: OpenBase, touched: int) -> list[float]:
    """Return how long each rollback took, from the order until every reader answers with it; all of them keep asking.

    The readers have followed the last versions, as readers do.
    """
    readers = [Service(layout, EXACT) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    for seed in range(ROUNDS + 1, ROUNDS + 3):
        append_delta(layout, base, touched, seed)
        publish_once(layout, PublisherSettings(), ORDER)
        _followed(readers, served.chain(layout).head_number())
    found, newest = list[float](), readers[0].status().version
    for turn in range(ROUNDS):
        started = time.perf_counter()
        _followed(readers, rollback(layout, newest - 1 - turn % 2, "a benchmark", "measured").number)
        found.append((time.perf_counter() - started) * 1000)
    for reader in readers:
        reader.close()
    return found


def _followed(readers: Sequence[Service], version: int) -> None:
    while any(reader.status().version != version for reader in readers):
        time.sleep(0.002)


def _write(layout: Layout, users: int) -> None:
    write_base(layout, users, ITEMS)


READINGS = ByUsers("benchmarks.publish", "served", Reading, _write, reading)

if __name__ == "__main__":
    sys.exit(READINGS.main())
