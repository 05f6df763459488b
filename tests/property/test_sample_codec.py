"""Samples by column: what is written is read, and the fast way of reading gives what the slow one gives, or nothing."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tfrecord import example_pb2

from contracts import sample_decoding, sample_encoding, samples
from contracts.errors import Corrupt, UnknownSchema
from contracts.events import Context, Rejected
from contracts.example import NUMBER, TEXT, VALUE_TAG, features_of_example, field, varint
from contracts.framing import frame
from contracts.sample_features import Row, row
from contracts.samples import Sample, columns_of, samples_of
from tests.golden import specimens
from tests.support import strategies
from tests.support.damage import flips, truncations

int64s = st.integers(-(1 << 63), (1 << 63) - 1) | st.sampled_from([0, 127, 128, -1, (1 << 62), 1 << 56, (1 << 63) - 1])
long_ids = st.text(min_size=1, max_size=256)
negatives = st.lists(st.builds(Rejected, strategies.ids | long_ids, strategies.stages), max_size=4).map(tuple)
wide_samples = st.builds(
    lambda sample, **changes: msgspec.structs.replace(sample, **changes),
    strategies.samples,
    user_id=strategies.ids | long_ids,
    event_time=int64s | strategies.times,
    watermark=int64s,
    ordinal=int64s,
    hard_negatives=negatives,
)
batches = st.lists(strategies.samples | wide_samples, max_size=8)
seeds = st.randoms(use_true_random=False)


def slowly(record: bytes) -> str:
    """What the parser for any Example makes of a record: the sample, or which error."""
    try:
        return repr(samples.decode(record))
    except (Corrupt, UnknownSchema) as error:
        return type(error).__name__


def in_a_batch(before: list[bytes], record: bytes) -> str:
    """What the decoder of whole files makes of a record that stands behind others."""
    try:
        return repr(samples_of(sample_decoding.decode(frame([*before, record])))[-1])
    except (Corrupt, UnknownSchema) as error:
        assert str(error).startswith(f"record {len(before)} of a TFRecord file")
        return type(error).__name__


def shuffled(record: bytes, rng: random.Random) -> bytes:
    """The same features as protobuf allows them too: in another order, twice, not packed, with unknown ones between."""
    entries = [_entry(name, feature, rng) for name, feature in features_of_example(record).items()]
    entries += rng.choices(entries, k=rng.choice([0, 2]))
    entries += [b"\x12\x03abc", _opened(b"\n\x07unknown" + VALUE_TAG + b"\x00")][: rng.randrange(3)]
    rng.shuffle(entries)
    cut = rng.randrange(len(entries) + 1)  # a message field that comes twice is merged
    return b"".join(_opened(b"".join(part)) for part in (entries[:cut], entries[cut:]) if part) + b"\x18\x05"


def _opened(data: bytes) -> bytes:
    return field(len(data)) + data


def _entry(name: str, feature: object, rng: random.Random) -> bytes:
    whole = _unpacked(feature) if rng.random() < 0.5 else feature.SerializeToString()  # type: ignore[attr-defined]
    key, value = _opened(name.encode()), VALUE_TAG + varint(len(whole)) + whole
    return _opened(rng.choice([key + value, value + key, key + key + value]))


def _unpacked(feature: object) -> bytes:
    numbers = list(feature.int64_list.value)  # type: ignore[attr-defined]
    if not numbers:
        return feature.SerializeToString()  # type: ignore[attr-defined,no-any-return]
    listed = b"".join(b"\x08" + varint(number % (1 << 64)) for number in numbers)
    other = bytes([TEXT << 3 | 2, 0])  # of a oneof the last one counts
    return other + bytes([NUMBER << 3 | 2]) + varint(len(listed)) + listed


@given(batches)
def test_samples_are_read_as_they_were_written(found: list[Sample]) -> None:
    columns = columns_of(found)
    assert samples_of(columns) == found
    data = sample_encoding.encode(columns)
    assert sample_decoding.decode(data) == columns
    assert data == frame(map(samples.encode, found))


@given(wide_samples)
def test_a_sample_has_the_bytes_of_protobufs_deterministic_serialization(sample: Sample) -> None:
    record = samples.encode(sample)
    message = example_pb2.Example.FromString(record)
    assert message.SerializeToString(deterministic=True) == record
    assert samples.decode(record) == sample


@given(wide_samples, st.data())
def test_a_record_with_any_bytes_replaced_is_read_alike_by_both_ways(sample: Sample, data: st.DataObject) -> None:
    whole = samples.encode(sample)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 8)))
    bad = whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:]
    assert in_a_batch([whole], bad) == slowly(bad)


@given(wide_samples, st.data())
def test_a_record_with_any_single_bit_flipped_is_read_alike_by_both_ways(sample: Sample, data: st.DataObject) -> None:
    bad = bytearray(samples.encode(sample))
    at = data.draw(st.integers(0, 8 * len(bad) - 1))
    bad[at // 8] ^= 1 << at % 8
    assert in_a_batch([], bytes(bad)) == slowly(bytes(bad))


def test_a_flipped_bit_at_any_byte_and_a_cut_at_any_byte_are_read_alike_by_both_ways() -> None:
    whole = samples.encode(specimens.SAMPLES[0])
    for bad in (*(bad for _, bad in flips(whole)), *truncations(whole)):
        assert in_a_batch([], bad) == slowly(bad)


@given(wide_samples, seeds)
def test_an_example_in_any_other_form_is_the_same_sample(sample: Sample, rng: random.Random) -> None:
    whole = samples.encode(sample)
    other = shuffled(whole, rng)
    assert in_a_batch([whole], other) == slowly(other)
    assert samples.decode(other) == sample


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_any_records_are_read_alike_by_both_ways(records: list[bytes]) -> None:
    for record in records:
        assert in_a_batch([], record) == slowly(record)


@given(batches.filter(bool), st.data())
def test_a_file_that_is_cut_holds_its_first_samples_or_is_corrupt(found: list[Sample], data: st.DataObject) -> None:
    whole = sample_encoding.encode(columns_of(found))
    torn = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        read = samples_of(sample_decoding.decode(torn))
    except Corrupt as error:
        assert error.where.startswith("byte ")
    else:
        assert read == found[: len(read)]
        assert sample_encoding.encode(columns_of(read)) == torn


@given(batches.filter(bool), st.data())
def test_a_flipped_bit_of_a_file_is_corrupt(found: list[Sample], data: st.DataObject) -> None:
    whole = bytearray(sample_encoding.encode(columns_of(found)))
    at = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[at // 8] ^= 1 << at % 8
    with pytest.raises(Corrupt, match="byte"):
        sample_decoding.decode(bytes(whole))


def test_what_is_usual_is_read_without_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context({"device": "téléphone", "country": ""}, {"hour": -0.5})
    rejected = tuple(Rejected(f"item-é-{number}", ("rank", "pre_rank")[number % 2]) for number in range(100))
    found = [
        msgspec.structs.replace(sample, context=context, hard_negatives=rejected[:count], watermark=-1, ordinal=count)
        for count in range(101)
        for sample in specimens.SAMPLES
    ]
    data = sample_encoding.encode(columns_of(found))
    monkeypatch.delattr(sample_decoding, "row")
    assert samples_of(sample_decoding.decode(data)) == found


def test_a_long_id_does_not_send_the_others_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    long = msgspec.structs.replace(specimens.SAMPLES[0], user_id="u" * 200)
    taken = list[tuple[bytes, str]]()

    def noted(data: bytes, what: str) -> Row:
        taken.append((data, what))
        return row(data, what)

    monkeypatch.setattr(sample_decoding, "row", noted)
    found = [specimens.SAMPLES[0], long, specimens.SAMPLES[1]]
    assert samples_of(sample_decoding.decode(sample_encoding.encode(columns_of(found)))) == found
    assert taken == [(samples.encode(long), "record 1 of a TFRecord file")]


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1])
def test_a_number_beyond_64_bits_is_not_written(number: int) -> None:
    with pytest.raises(OverflowError):
        samples.encode(msgspec.structs.replace(specimens.SAMPLES[0], ordinal=number))


def test_columns_of_different_lengths_are_not_written() -> None:
    columns = columns_of(specimens.SAMPLES)
    columns.arm.pop()
    with pytest.raises(ValueError, match="different lengths"):
        sample_encoding.encode(columns)
