"""Records that retention deleted: admitted by a manifest, and the chain goes on as one that never had them would."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from contracts import shards
from contracts.errors import LogChanged, LogLost, StateDamaged, UsageError
from contracts.events import Click, Event, Request, Tick
from contracts.layout import Layout
from contracts.state_db import StateDB
from streams.clock import Leaps
from streams.join import Windows
from streams.pipeline import Rotation
from streams.records import Record
from streams.replay import Owner, Rules
from streams.shard_writer import PartitionWriter
from tests.support.logs import MINUTE, ONE_PARTITION, START, mixed_log, records

SHORT = Windows(join_ms=120_000, late_ms=600_000, park_ms=60_000, dedupe_ms=600_000, leaps=Leaps(900_000, 3))
ROTATION = Rotation(10, 30_000)


def writer_at(root: Path, windows: Windows = SHORT) -> PartitionWriter:
    return PartitionWriter(Layout(root), ONE_PARTITION, 0, windows, ROTATION)


def fed(root: Path, log: list[Record], until: int) -> None:
    writer = writer_at(root)
    writer.begin(0, len(log))
    writer.feed(log[writer.expected : until])
    writer.close()


def admitted(root: Path, log_start: int) -> shards.Shard | None:
    writer = writer_at(root)
    found = writer.admit_lost(log_start, "the disk was small")
    writer.close()
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False), (True, True)])
@pytest.mark.parametrize("gone", [(120, 150), (200, 201)])
def test_behind_admitted_losses_a_chain_goes_on_whether_its_state_survives_or_not(
    tmp_path_factory: pytest.TempPathFactory, gone: tuple[int, int], seed: int, before: bool, after: bool
) -> None:
    log, root = records(mixed_log(seed)), tmp_path_factory.mktemp("run")
    fed(root, log, gone[0])
    if before:
        StateDB.drop(Layout(root).stream_state("events", 0))
    lost = admitted(root, gone[1])
    assert lost is not None
    assert (lost.kind, lost.next_offset, lost.records, lost.read) == ("lost", gone[1], 0, {})
    if after:
        StateDB.drop(Layout(root).stream_state("events", 0))
    fed(root, log, len(log))
    undisturbed = tmp_path_factory.mktemp("undisturbed")
    fed(undisturbed, log, gone[0])
    if before:
        StateDB.drop(Layout(undisturbed).stream_state("events", 0))
    admitted(undisturbed, gone[1])
    fed(undisturbed, log, len(log))
    chains = [shards.chain(Layout(folder), "events", 0) for folder in (root, undisturbed)]
    assert [shards.verify(chain) for chain in chains] == [chain.head_number() for chain in chains]
    assert shards.samples_digest(chains[0]) == shards.samples_digest(chains[1])


def test_clicks_that_waited_leave_as_orphans_with_the_manifest_that_admits_the_loss(tmp_path: Path) -> None:
    log = records([Click("u", "i", START, START, "e", "r-lost"), Tick(START + 30_000)])
    fed(tmp_path, log, 2)
    lost = admitted(tmp_path, 7)
    assert lost is not None
    assert (lost.emitted, lost.next_ordinal - lost.first_ordinal) == ({"orphan": 1}, 1)
    chain = shards.chain(Layout(tmp_path), "events", 0)
    assert shards.verify(chain) == 2
    assert [sample.joined for sample in shards.read_from(chain)] == ["orphan"]


def test_what_was_remembered_before_a_loss_is_forgotten(tmp_path: Path) -> None:
    before: list[Event | bytes] = [
        Request("r", "u", START, START),
        Click("u", "i", START, START, "e"),
        Tick(START + 30_000),
    ]
    fed(tmp_path, records(before), 3)
    admitted(tmp_path, 10)
    now = START + 30_001
    again: list[Event | bytes] = [
        Click("u", "i", now, now, "e"),
        Click("u", "i", now, now, "f", "r"),
        Tick(now + 2 * MINUTE),
    ]
    writer = writer_at(tmp_path)
    writer.begin(10, 13)
    writer.feed(records(again, first=10))
    writer.close()
    found = list(shards.read_from(shards.chain(Layout(tmp_path), "events", 0)))
    assert [sample.joined for sample in found] == ["direct", "direct", "orphan"]


def test_a_loss_is_refused_until_it_is_admitted_and_nothing_is_written_where_none_is(tmp_path: Path) -> None:
    log = records(mixed_log(1))
    fed(tmp_path, log, 100)
    writer = writer_at(tmp_path)
    with pytest.raises(LogLost, match="starts at offset 290") as refused:
        writer.begin(290, 300)
    assert "admit-lost" in refused.value.hint
    writer.close()
    assert admitted(tmp_path, 20) is None
    assert admitted(tmp_path, 290) is not None
    assert admitted(tmp_path, 290) is None


def test_a_chain_that_has_not_begun_cannot_have_lost_anything(tmp_path: Path) -> None:
    writer = writer_at(tmp_path)
    with pytest.raises(UsageError, match="no shards"):
        writer.admit_lost(5, "why")
    writer.close()


def test_other_windows_are_refused_until_an_operator_means_them(tmp_path: Path) -> None:
    log = records([Click("u", "i", START, START, "e", "r-lost"), Tick(START + 30_000)])
    fed(tmp_path, log, 2)
    longer = msgspec.structs.replace(SHORT, park_ms=600_000)
    with pytest.raises(LogChanged, match="park_ms 60000 and not 600000"):
        writer_at(tmp_path, longer)
    writer = writer_at(tmp_path)
    admitted = writer.admit_lost(0, "clicks come later now", longer)
    writer.close()
    assert admitted is not None
    assert (admitted.kind, admitted.emitted) == ("lost", {"orphan": 1})
    with pytest.raises(LogChanged):
        writer_at(tmp_path)
    writer_at(tmp_path, longer).close()


def test_other_windows_wait_until_a_state_that_is_gone_has_been_rebuilt(tmp_path: Path) -> None:
    log = records([Click("u", "i", START, START, "e", "r-lost"), *[Tick(START + at * 30_000) for at in range(1, 9)]])
    fed(tmp_path, log, 2)
    StateDB.drop(Layout(tmp_path).stream_state("events", 0))
    longer = msgspec.structs.replace(SHORT, park_ms=600_000)
    writer = writer_at(tmp_path)
    with pytest.raises(UsageError, match="the clicks that wait") as refused:
        writer.admit_lost(0, "clicks come later now", longer)
    assert "worker" in refused.value.hint
    writer.close()
    fed(tmp_path, log, 9)
    writer = writer_at(tmp_path)
    assert writer.admit_lost(0, "clicks come later now", longer) is not None
    writer.close()
    found = shards.read_from(shards.chain(Layout(tmp_path), "events", 0))
    assert [sample.joined for sample in found] == ["orphan"]


def test_a_source_that_goes_back_within_a_chunk_is_read_once(tmp_path: Path) -> None:
    log = records([Click("u", f"i{number}", START, START) for number in range(3)] + [Tick(START + 30_000)])
    writer = writer_at(tmp_path)
    writer.begin(0, 4)
    writer.feed([log[0], log[1], log[0], log[1], log[2], log[3]])
    writer.close()
    chain = shards.chain(Layout(tmp_path), "events", 0)
    assert shards.verify(chain) == 1
    assert [sample.source.offset for sample in shards.read_from(chain)] == [0, 1, 2]


def damaged(*keys_or_changes: object) -> NoReturn:
    raise StateDamaged("the state", "a block")


def test_a_state_that_proves_damaged_is_rebuilt_from_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = records(mixed_log(4))
    writer = writer_at(tmp_path)
    writer.begin(0, len(log))
    writer.feed(log[:150])
    monkeypatch.setattr(writer.state, "get_many", damaged)
    writer.feed(log[writer.expected : 200])
    assert isinstance(writer.fell_back, StateDamaged)
    assert writer.expected < 150
    writer.feed(log[writer.expected :])
    writer.close()
    undisturbed = tmp_path / "undisturbed"
    fed(undisturbed, log, len(log))
    digests = [shards.samples_digest(shards.chain(Layout(folder), "events", 0)) for folder in (tmp_path, undisturbed)]
    assert digests[0] == digests[1]


def test_a_new_chain_whose_state_proves_damaged_begins_again_where_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = records(mixed_log(4), first=1000)
    writer = writer_at(tmp_path)
    writer.begin(1000, 1000 + len(log), first=1010)
    monkeypatch.setattr(writer.state, "write", damaged)
    writer.feed(log)
    assert (writer.committed is None, writer.expected) == (True, 1000)
    writer.check_log(1000, 1000 + len(log))
    writer.feed(log)
    writer.close()
    undisturbed = writer_at(tmp_path / "undisturbed")
    undisturbed.begin(1000, 1000 + len(log), first=1010)
    undisturbed.feed(log)
    undisturbed.close()
    chains = [shards.chain(Layout(folder), "events", 0) for folder in (tmp_path, tmp_path / "undisturbed")]
    assert shards.samples_digest(chains[0]) == shards.samples_digest(chains[1])
    assert next(entry.body.first_offset for entry in chains[0].entries()) == 1010


def test_a_replay_whose_state_proves_damaged_says_so_and_goes_on_when_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [record.value or b"" for record in records(mixed_log(4))]
    rules = Rules(SHORT, ROTATION)
    owner = Owner(Layout(tmp_path), ONE_PARTITION, rules, [0])
    owner.feed(0, 0, values[:150])
    monkeypatch.setattr(StateDB, "get_many", damaged)
    with pytest.raises(StateDamaged):
        owner.feed(0, 150, values[150:])
    monkeypatch.undo()
    owner.close()
    again, whole = (Owner(Layout(folder), ONE_PARTITION, rules, [0]) for folder in (tmp_path, tmp_path / "undisturbed"))
    for run in (again, whole):
        run.feed(0, run.expected[0], values[run.expected[0] :])
        run.close()
    assert again.digests == whole.digests
