"""Law 1, second half: bytes on disk that are torn or flipped, at any byte, are noticed by a named error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts import deltas, sample_decoding, samples, sealed, served, shards, validation
from contracts.bases import MANIFEST, BaseStore
from contracts.chain import Chain
from contracts.errors import ChainBroken, Corrupt, UnknownSchema
from contracts.example import NUMBER, opening
from contracts.framing import frame, unframe
from contracts.layout import Layout
from tests.golden import make, specimens
from tests.support.damage import all_flips, damage_in_place, flips, truncations


@pytest.fixture(scope="module")
def specimen(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root = tmp_path_factory.mktemp("specimen")
    make.write(root)
    return Layout(root)


def damaged(data: bytes) -> Iterator[bytes]:
    """Every truncation, and every flipped bit."""
    yield from truncations(data)
    yield from all_flips(data)


def chains(layout: Layout) -> list[Chain[specimens.AnyBody]]:
    return [
        shards.chain(layout, specimens.TOPIC, 0),
        deltas.chain(layout, specimens.BASE_ID, 0),
        served.chain(layout),
    ]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["shard", "delta", "served"])
def test_a_manifest_damaged_at_any_byte_is_corrupt(specimen: Layout, which: int) -> None:
    chain = chains(specimen)[which]
    for bad in damaged(chain.read(1).data):
        with pytest.raises(Corrupt, match="damaged at its seal"):
            chain.parse(bad)


@pytest.mark.parametrize(
    ("which", "suffix"),
    [(0, shards.SAMPLES), (0, shards.DEAD_LETTERS), (1, deltas.ROWS), (1, deltas.VALIDATION)],
    ids=["samples", "dead letters", "delta rows", "validation records"],
)
def test_a_data_file_damaged_at_any_byte_is_noticed_by_its_manifest(specimen: Layout, which: int, suffix: str) -> None:
    chain = chains(specimen)[which]
    entry = chain.read(1)
    path = next(chain.directory / file.name for file in entry.files if file.name.endswith(suffix))
    whole = path.read_bytes()
    for _ in damage_in_place(path):
        with pytest.raises(Corrupt, match="its digest"):
            chain.data(entry, suffix)
    assert chain.data(entry, suffix) == whole


def test_every_file_of_a_base_damaged_at_any_byte_is_noticed(specimen: Layout) -> None:
    folder = specimen.base(specimens.BASE_ID)
    base = BaseStore(specimen).open(specimens.BASE_ID)
    for file in base.manifest.files:
        path = folder / file.name
        for _ in damage_in_place(path):
            with pytest.raises(Corrupt, match="its digest"):
                base.file(file.name)
    base.verify()


def test_the_manifest_of_a_base_damaged_at_any_byte_is_corrupt(specimen: Layout) -> None:
    path = specimen.base(specimens.BASE_ID) / MANIFEST
    for _ in damage_in_place(path):
        with pytest.raises(Corrupt, match="its seal"):
            BaseStore(specimen).open(specimens.BASE_ID)
    BaseStore(specimen).open(specimens.BASE_ID).verify()


def test_a_file_that_is_gone_from_a_base_is_named(specimen: Layout) -> None:
    path = specimen.base(specimens.BASE_ID) / "trend.safetensors"
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(Corrupt, match=r"trend\.safetensors.*missing"):
        BaseStore(specimen).open(specimens.BASE_ID).verify()
    path.write_bytes(whole)


def test_a_flipped_bit_in_a_tfrecord_file_is_named_with_the_offset_of_its_record() -> None:
    records = [samples.encode(sample) for sample in specimens.SAMPLES]
    starts = [16 * number + sum(map(len, records[:number])) for number in range(len(records))]
    for at, bad in flips(frame(records)):
        start = max(start for start in starts if start <= at)
        with pytest.raises(Corrupt) as error:
            unframe(bad)
        assert error.value.where == f"byte {start}"


def test_every_single_bit_of_a_sample_is_guarded_by_its_record() -> None:
    for bad in all_flips(frame([samples.encode(specimens.SAMPLES[0])])):
        with pytest.raises(Corrupt):
            unframe(bad)


def test_a_torn_tail_is_named_with_its_offset() -> None:
    records = [samples.encode(sample) for sample in specimens.SAMPLES]
    ends = [16 * number + sum(map(len, records[:number])) for number in range(len(records) + 1)]
    for length, torn in enumerate(truncations(frame(records))):
        whole = max(number for number, end in enumerate(ends) if end <= length)
        if length in ends:  # cut between two records: a file that the digest in its manifest tells from the whole one
            assert unframe(torn) == records[:whole]
        else:
            with pytest.raises(Corrupt) as error:
                unframe(torn)
            assert error.value.where == f"byte {ends[whole]}"


def test_a_length_beyond_any_file_is_a_torn_record() -> None:
    length = (1 << 63).to_bytes(8, "little")
    with pytest.raises(Corrupt, match="byte 0"):
        unframe(length + frame([b""])[8:])


def test_a_validation_record_damaged_at_any_byte_names_its_line() -> None:
    whole = validation.encode(specimens.BLOCK_SCORES)
    second = len(validation.encode(specimens.BLOCK_SCORES[:1]))
    for at, bad in flips(whole):
        line = 1 if at < second else 2
        with pytest.raises(Corrupt, match=f"line {line} "):
            validation.decode(bad)


def test_validation_records_cut_off_within_a_line_are_corrupt() -> None:
    whole = validation.encode(specimens.BLOCK_SCORES)
    ends = {0, len(validation.encode(specimens.BLOCK_SCORES[:1]))}
    for torn in truncations(whole):
        if len(torn) not in ends:  # between two lines the digest in the delta's manifest tells
            with pytest.raises(Corrupt, match="line"):
                validation.decode(torn)


def test_a_sealed_document_is_exactly_what_was_sealed() -> None:
    whole = sealed.seal(b'{"a":1}')
    assert sealed.unseal(whole, "it") == (b'{"a":1}', sealed.digest(b'{"a":1}'))
    for bad in (*damaged(whole), whole + b"\n", whole * 2, b"", b" " + whole, whole.replace(b'"a":1', b'"a": 1')):
        with pytest.raises(Corrupt):
            sealed.unseal(bad, "it")


@pytest.mark.parametrize("which", [0, 1, 2], ids=["shard", "delta", "served"])
def test_a_manifest_of_another_schema_is_refused_by_name(specimen: Layout, which: int) -> None:
    chain = chains(specimen)[which]
    document, _ = sealed.unseal(chain.read(1).data, "it")
    newer = sealed.seal(re.sub(rb'/\d","number"', b'/9","number"', document))
    with pytest.raises(UnknownSchema, match="/9"):
        chain.parse(newer)


def test_a_base_of_another_schema_is_refused_by_name(specimen: Layout) -> None:
    path = specimen.base(specimens.BASE_ID) / MANIFEST
    whole = path.read_bytes()
    document, _ = sealed.unseal(whole, "it")
    path.write_bytes(sealed.seal(document.replace(b"freshet.base/2", b"freshet.base/9")))
    with pytest.raises(UnknownSchema, match=r"freshet\.base/9"):
        BaseStore(specimen).open(specimens.BASE_ID)
    path.write_bytes(whole)


def test_a_validation_record_of_another_schema_is_refused_by_name() -> None:
    with pytest.raises(UnknownSchema, match=r"freshet\.validation/2"):
        validation.decode(sealed.seal(b'{"schema":"freshet.validation/2","new":1}'))


def test_a_sample_of_another_schema_is_refused_by_name() -> None:
    record = samples.encode(specimens.SAMPLES[0])
    schema = opening("schema", NUMBER, 1)
    newer = record.replace(schema + b"\1", schema + b"\2")
    with pytest.raises(UnknownSchema, match=r"^a sample has sample schema 2, this version reads 1$"):
        samples.decode(newer)
    with pytest.raises(UnknownSchema, match=r"^record 1 of the file has sample schema 2, this version reads 1$"):
        sample_decoding.decode(frame([record, newer]), "the file")


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b"null", b'{"schema":1}', b"\xff", b'{"schema":"\xff"}'])
def test_a_sealed_document_of_nonsense_is_refused_by_name(specimen: Layout, document: bytes) -> None:
    path = specimen.base(specimens.BASE_ID) / MANIFEST
    whole = path.read_bytes()
    path.write_bytes(sealed.seal(document))
    with pytest.raises((Corrupt, UnknownSchema)):
        BaseStore(specimen).open(specimens.BASE_ID)
    path.write_bytes(whole)
    with pytest.raises((Corrupt, UnknownSchema)):
        served.chain(specimen).parse(sealed.seal(document))
    with pytest.raises((Corrupt, UnknownSchema)):
        validation.decode(sealed.seal(document))


def test_a_shard_whose_data_file_is_gone_is_a_broken_chain(specimen: Layout) -> None:
    chain = shards.chain(specimen, specimens.TOPIC, 0)
    entry = chain.read(1)
    path = chain.directory / entry.files[0].name
    path.rename(path.with_suffix(".away"))
    with pytest.raises(ChainBroken, match="missing"):
        shards.read_samples(chain, entry)
    path.with_suffix(".away").rename(path)


def test_a_shard_is_cut_off_from_what_its_manifest_does_not_name(specimen: Layout, tmp_path: Path) -> None:
    chain = shards.chain(specimen, specimens.TOPIC, 0)
    with pytest.raises(ChainBroken, match=r"names no \.safetensors"):
        chain.data(chain.read(1), "safetensors")
