"""Writes the golden files of the newest vintage: `python -m tests.golden.make`, once and never again for a vintage.

A run folder as the stages leave it, beside it the values of the events topic. Deterministic: what is drawn at random in
earnest, the unique part of a data file's name, is fixed here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

from contracts import deltas, drift, events, nights, rebases, sample_encoding, served, shards, validation
from contracts.bases import BaseStore
from contracts.catalogue import FRESH, pack_fresh
from contracts.layout import Layout
from contracts.samples import columns_of
from tests.golden import specimens

# schema2: bases and deltas of version 2; schema3: served manifests of version 2, refusals, the reference of a base;
# schema4: the records of a rebase, of a night and of drift.
VINTAGES = ("schema1", "schema2", "schema3", "schema4")
FOLDER = Path(__file__).parent / VINTAGES[-1]


def write(root: Path) -> None:
    """Write one specimen of each boundary under `root`."""
    layout = Layout(root)
    with mock.patch("secrets.token_hex", return_value="0123456789ab"):
        _write_events(root / "events")
        _write_shards(layout)
        base = BaseStore(layout).write(specimens.BASE, specimens.BASE_FILES)
        _write_served(layout, base.digest, _write_deltas(layout, base.digest))
        _write_records(layout, base.digest)


def _write_events(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, event in specimens.EVENTS.items():
        (folder / f"{name}.json").write_bytes(events.encode(event))


def _write_shards(layout: Layout) -> None:
    chain = shards.chain(layout, specimens.TOPIC, 0)
    files = {
        shards.SAMPLES: sample_encoding.encode(columns_of(specimens.SAMPLES)),
        shards.DEAD_LETTERS: shards.encode_dead_letters(specimens.DEAD_LETTERS),
    }
    for body, data in zip(specimens.SHARDS, (files, {}), strict=True):
        chain.create(chain.prepare(chain.head(), body, data))


def _write_deltas(layout: Layout, base_digest: str) -> tuple[str, str]:
    chain = deltas.chain(layout, specimens.BASE_ID, 0)
    records = {
        deltas.VALIDATION: validation.encode(specimens.BLOCK_SCORES),
        deltas.DRIFT: drift.encode(specimens.DRIFT),
    }
    digests = []
    for body, changes, more in zip(specimens.deltas(base_digest), specimens.CHANGES, (records, {}), strict=True):
        entry = chain.prepare(chain.head(), body, {deltas.ROWS: deltas.encode(changes, specimens.WIDTH), **more})
        chain.create(entry)
        digests.append(entry.digest)
    return digests[0], digests[1]


def _write_served(layout: Layout, base_digest: str, digests: tuple[str, str]) -> None:
    chain = served.chain(layout)
    first, back = specimens.served(base_digest, digests)
    published = chain.prepare(None, first, {FRESH: pack_fresh(specimens.FRESH_ITEMS)})
    chain.create(published)
    chain.create(chain.prepare(published, back, {}, published.files))
    refused = served.refused(layout)
    refused.create(refused.prepare(None, specimens.refused(base_digest, digests), {}))


def _write_records(layout: Layout, base_digest: str) -> None:
    way, night = rebases.chain(layout, specimens.BASE_ID), nights.chain(layout, specimens.TOPIC)
    for record in specimens.rebases(base_digest):
        way.create(way.prepare(way.head(), record, {}))
    for body in specimens.nights():
        night.create(night.prepare(night.head(), body, {}))


if __name__ == "__main__":
    if FOLDER.exists():
        sys.exit(f"{FOLDER} exists: golden files are written once; a change of a format is a new schema.")
    write(FOLDER)
