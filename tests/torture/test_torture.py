"""A round of every named fault against a real Kafka, and proof that a round can fail."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from contracts.layout import Layout
from infra.kafka.choose import Broker
from streams.records import Record, Topic
from streams.shard_writer import PartitionWriter
from tests.support.source_tree import ROOT
from tests.torture import round as rounds
from tests.torture.bench import Bench
from tests.torture.fault import Instant
from tests.torture.logs import planned_log
from tests.torture.plan import COMPANIONS, FAULTS, POINTS, plan
from tests.torture.process_faults import Kill
from tests.torture.round import WINDOWS, Round
from tests.torture.verdict import NO_END, UNCUT, Broken, Content, Judge, NotStruck

SEED = 20
PARTITIONS = 2
TOPIC = Topic("events", "id", PARTITIONS)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_round_with_a_fault_ends_as_undisturbed_or_refused_by_name(kafka: Broker, tmp_path: Path, fault: str) -> None:
    planned = plan(SEED, fault)
    outcome = Round(planned, Bench(kafka), tmp_path / "round").play()
    assert len(outcome.notes) >= len(planned.faults)  # each has come to its end, which proves that it struck
    assert outcome.ended.startswith("refused: ") == planned.faults[0].refuses


def test_a_round_whose_fault_never_struck_is_no_pass(
    kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "STRIKE_PATIENCE_S", 1.0)
    never = replace(plan(SEED, "kill"), faults=(Kill(Instant(records=10**9), 1),), workers=1)
    with pytest.raises(NotStruck, match="kill"):
        Round(never, Bench(kafka), tmp_path / "round").play()


def test_every_crash_point_of_shards_has_a_fault_of_its_own() -> None:
    documented = set(re.findall(r"`(shards\.[a-z]+\.\d)`", (ROOT / "docs" / "guarantees.md").read_text()))
    assert documented == set(POINTS)
    assert {f"crash-{point}" for point in POINTS} <= set(FAULTS)


def test_every_fault_stands_in_the_guarantees_and_no_other_does() -> None:
    table = (ROOT / "docs" / "guarantees.md").read_text().partition("\n## Torture\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    assert set(re.findall(r"`([a-z-]+)`", " ".join(cells))) == {plan(0, fault).faults[0].name for fault in FAULTS}


def test_the_same_seed_gives_the_same_plan_and_the_same_log() -> None:
    for number in range(2 * len(FAULTS)):
        assert plan(number) == plan(number)
    assert planned_log(Random(7), 4, 500) == planned_log(Random(7), 4, 500)
    assert planned_log(Random(7), 4, 500) != planned_log(Random(8), 4, 500)


def test_consecutive_seeds_take_turns_through_all_faults_and_companions_are_faults() -> None:
    assert {plan(number).fault for number in range(100, 100 + len(FAULTS))} == set(FAULTS)
    assert set(COMPANIONS) <= set(FAULTS)


# What a round would miss if its judge missed it: each of these runs is wrong in one way.


def contents() -> dict[int, list[Record]]:
    log: dict[int, list[Record]] = {partition: [] for partition in range(PARTITIONS)}
    for record in planned_log(Random(3), PARTITIONS, 400):
        log[record.partition].append(Record(len(log[record.partition]), record.value))
    return log


def folded(folder: Path, records: dict[int, list[Record]]) -> Layout:
    """A run folder that holds these records in shards."""
    for partition, found in records.items():
        writer = PartitionWriter(Layout(folder), TOPIC, partition, WINDOWS, UNCUT)
        writer.begin(0, NO_END)
        writer.feed(found)
        writer.close()
    return Layout(folder)


def judged(run: Layout, records: dict[int, list[Record]], folder: Path) -> None:
    ends = {partition: found[-1].offset + 1 for partition, found in records.items()}
    Judge(run, folder, WINDOWS, whole=True).check(Content(TOPIC, records, ends))


def test_a_run_that_holds_what_the_topic_holds_is_accepted(tmp_path: Path) -> None:
    judged(folded(tmp_path / "run", contents()), contents(), tmp_path / "reference")


def test_a_record_that_was_read_otherwise_is_noticed(tmp_path: Path) -> None:
    read = contents()
    at = next(at for at, record in enumerate(read[1]) if record.value and b'"click"' in record.value and at > 50)
    read[1][at] = Record(at, b"")
    with pytest.raises(Broken, match="samples are not those"):
        judged(folded(tmp_path / "run", read), contents(), tmp_path / "reference")


def test_a_chain_that_ends_before_its_log_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="the chain ends at"):
        judged(folded(tmp_path / "run", {**contents(), 1: contents()[1][:-1]}), contents(), tmp_path / "reference")


def test_an_orphan_up_to_the_head_is_gone_after_the_next_recovery(tmp_path: Path) -> None:
    run = folded(tmp_path / "run", contents())
    orphan = run.shards("events", 0) / f"{1:020d}-0123456789ab.tfrecord"
    orphan.write_bytes(b"torn")
    judged(run, contents(), tmp_path / "reference")  # the next owner deletes it
    assert not orphan.exists()


def test_a_file_that_looks_like_a_manifest_beyond_the_chain_is_noticed(tmp_path: Path) -> None:
    run = folded(tmp_path / "run", contents())
    (run.shards("events", 0) / f"{9_999:020d}.json").write_bytes(b"half")
    with pytest.raises(Broken, match="holds manifests that its chain does not reach"):
        judged(run, contents(), tmp_path / "reference")
