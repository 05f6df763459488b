"""Law 1, first half: decode after encode is the identity, for any value of every boundary."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import deltas, drift, events, samples, served, shards, validation
from contracts.arrays import Arrays, pack
from contracts.bases import Base, BaseStore
from contracts.chain import Chain
from contracts.deltas import Changes
from contracts.drift import Drift
from contracts.events import Event
from contracts.framing import frame, unframe
from contracts.layout import Layout
from contracts.samples import Sample
from contracts.shards import DeadLetter, Shard
from contracts.validation import BlockScore
from tests.support import strategies

BODIES: dict[str, tuple[type[Any], st.SearchStrategy[Any]]] = {
    shards.SCHEMA: (Shard, strategies.shards),
    deltas.SCHEMA: (deltas.Delta, strategies.deltas),
    served.SCHEMA: (served.Served, strategies.served),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chain")


def facts(changes: Changes) -> tuple[object, ...]:
    """What a delta says, floats as their bits."""
    rows = {u: (r.own.tobytes(), r.clicks, r.last_event_time, r.ring) for u, r in changes.rows.items()}
    counts = {item: float(count).hex() for item, count in changes.trend.items()}
    return changes.common.tobytes(), changes.common_samples, rows, changes.tombstones, counts, changes.admission


@given(strategies.events)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert events.decode(events.encode(event)) == event


@given(strategies.samples)
def test_a_sample_is_read_as_it_was_written(sample: Sample) -> None:
    assert samples.decode(samples.encode(sample)) == sample


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_the_records_of_a_tfrecord_file_are_read_as_they_were_written(records: list[bytes]) -> None:
    assert unframe(frame(records)) == records


@pytest.mark.parametrize("schema", BODIES)
@given(data=st.data(), files=st.dictionaries(st.sampled_from(["tfrecord", "dead.jsonl"]), st.binary(max_size=20)))
@settings(max_examples=40)
def test_a_manifest_and_its_data_files_are_read_as_they_were_written(
    schema: str, folder: Path, data: st.DataObject, files: dict[str, bytes]
) -> None:
    body_type, bodies = BODIES[schema]
    chain: Chain[Any] = Chain(folder, schema, body_type)
    body = data.draw(bodies)
    written = chain.prepare(None, body, files)
    read = chain.parse(written.data)
    assert read == written
    assert read.body == body
    assert {suffix: chain.data(read, suffix) for suffix in files} == files


@given(strategies.shards, st.lists(strategies.dead_letters, min_size=1, max_size=4))
@settings(max_examples=20)
def test_dead_letters_are_read_as_they_were_written(body: Shard, letters: list[DeadLetter]) -> None:
    with tempfile.TemporaryDirectory() as root:
        chain = shards.chain(Layout(Path(root)), "events", 0)
        entry = chain.prepare(None, body, {shards.DEAD_LETTERS: shards.encode_dead_letters(letters)})
        assert shards.read_dead_letters(chain, entry) == letters


@given(strategies.bases, st.dictionaries(st.sampled_from(["a.onnx", "b.safetensors"]), st.binary(max_size=20)))
@settings(max_examples=20)
def test_a_base_is_read_as_it_was_written(base: Base, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as root:
        store = BaseStore(Layout(Path(root)))
        written = store.write(base, files)
        read = store.open(base.base_id)
        assert (read.manifest, read.digest) == (written.manifest, written.digest)
        assert msgspec.structs.replace(read.manifest, files=()) == base
        assert {file.name: read.file(file.name) for file in read.manifest.files} == files


@given(strategies.changes(4))
def test_a_delta_is_read_as_it_was_written_to_the_last_bit(changes: Changes) -> None:
    data = deltas.encode(changes, 4)
    read = deltas.decode(data, 4).changes()
    assert facts(read) == facts(changes)
    assert deltas.encode(read, 4) == data


@given(strategies.changes(3))
def test_the_order_of_insertion_leaves_no_trace_in_a_delta(changes: Changes) -> None:
    turned = dataclasses.replace(
        changes,
        rows=dict(reversed(changes.rows.items())),
        trend=dict(reversed(changes.trend.items())),
        admission=dict(reversed(changes.admission.items())),
    )
    assert deltas.encode(turned, 3) == deltas.encode(changes, 3)


@given(st.lists(strategies.block_scores, max_size=4))
def test_validation_records_are_read_as_they_were_written(records: list[BlockScore]) -> None:
    assert validation.decode(validation.encode(records)) == records


@given(strategies.drifts)
def test_a_drift_record_is_read_as_it_was_written(record: Drift) -> None:
    assert drift.decode(drift.encode(record)) == record


@given(st.lists(strategies.texts))
def test_a_column_of_text_is_read_as_it_was_written(column: list[str]) -> None:
    assert Arrays(pack({"column": column}), "a file").texts("column") == column


@given(st.lists(strategies.samples, min_size=1, max_size=4))
def test_the_digest_of_samples_sees_everything_but_their_source(found: list[Sample]) -> None:
    moved = [msgspec.structs.replace(s, source=samples.Source("elsewhere", 7, 7)) for s in found]
    assert samples.digest(moved) == samples.digest(found)
    for field in ("user_id", "arm"):
        changed = [*found[:-1], msgspec.structs.replace(found[-1], **{field: getattr(found[-1], field) + "x"})]
        assert samples.digest(changed) != samples.digest(found)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1023, 1024, 1025, 2100])
def test_the_digest_of_samples_is_the_same_by_one_sample_after_the_other(count: int) -> None:
    context = events.Context({"os": "x", "app": "y"}, {"age": 1.5})
    found, by_one, plain = list[Sample](), samples.Digest(), hashlib.sha256()
    for number in range(count):
        source = samples.Source("events", 1, number)
        found.append(Sample("u", f"i{number}", number, context, (), "orphan", "", 0, number, number, source))
        by_one.add([found[-1]])
        anonymous = msgspec.structs.replace(found[-1], source=samples.Source("", 0, 0))
        plain.update(msgspec.msgpack.encode(anonymous, order="deterministic"))
    assert samples.digest(found) == by_one.hexdigest() == plain.hexdigest()
