from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import chain as chains
from contracts import sealed, shards
from contracts.events import Click, Request, Shown, encode
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.shards import Shard, ShardChain
from contracts.state_db import StateDB
from freshet import main
from streams.join import Windows
from streams.log import LogRecord, partitioned
from streams.pipeline import Rotation
from streams.records import Topic
from streams.shard_writer import PartitionWriter
from tests.support.workers import REPOSITORY

START = 1_736_000_000_000
PARTITIONS = 2
TOPIC = Topic("events", "an-id", PARTITIONS)


def log() -> list[LogRecord]:
    """Requests that wait for their clicks, clicks of other requests, and one record that is no event, ten minutes."""
    found: list[Request | Click] = []
    for number in range(300):
        at, user = START + number * 2_000, f"u{number % 17}"
        found.append(Request(f"r{number}", user, at, at, shown=(Shown("i1", 0),)))
        found.append(Click(user, "i\x1b[2J[red]", at, at, event_id=f"e{number}", request_id=f"r{number + number % 2}"))
    return [LogRecord(0, None, b"rub\x1b[31mbish", 0), *partitioned(found, PARTITIONS)]


def writer(layout: Layout, partition: int) -> PartitionWriter:
    return PartitionWriter(layout, TOPIC, partition, Windows(), Rotation())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with two partitions of ten shards and more, and their states."""
    root, records = tmp_path_factory.mktemp("made"), log()
    for partition in range(PARTITIONS):
        owner = writer(Layout(root), partition)
        own = [record for record in records if record.partition == partition]
        owner.begin(0, len(own))
        owner.feed([_Numbered(offset, record.value) for offset, record in enumerate(own)])
        owner.close()
    return root


class _Numbered(msgspec.Struct, frozen=True):
    offset: int
    value: bytes | None


@pytest.fixture
def layout(made: Path, tmp_path: Path) -> Layout:
    """A copy of it, to be damaged."""
    subprocess.run(["cp", "-r", f"{made}/.", str(tmp_path)], check=True)
    return Layout(tmp_path)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


class Asked:
    """What one call of the command gave."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def ask(capsys: pytest.CaptureFixture[str], layout: Layout, *words: str) -> Asked:
    try:
        code = main(["streams", "inspect", "--root", str(layout.root), "--topic", "events", *words])
    except SystemExit as ended:
        code = int(str(ended.code))
    return Asked(code, *capsys.readouterr())


def chain(layout: Layout, partition: int = 0) -> ShardChain:
    return shards.chain(layout, "events", partition)


def manifest(layout: Layout, number: int, partition: int = 0) -> Path:
    return chain(layout, partition).directory / f"{number:020d}.json"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def data_file(layout: Layout, number: int, partition: int = 0) -> Path:
    entry = chain(layout, partition).read(number)
    return chain(layout, partition).directory / next(f.name for f in entry.files if f.name.endswith(".tfrecord"))


def test_the_chains_of_a_topic_fit_80_columns_and_add_up(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ask(capsys, layout)
    assert asked.code == 0
    assert max(map(len, asked.out.splitlines())) <= 80
    assert "rejected:not_json 1" in asked.out
    assert f"samples emitted  {sum(heads(layout)):,}: " in asked.out


def heads(layout: Layout) -> Iterator[int]:
    for partition in range(PARTITIONS):
        head = chain(layout, partition).head()
        assert head is not None
        yield head.body.next_ordinal


def test_verify_proves_every_partition_and_shows_the_digest_of_its_samples(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = ask(capsys, layout, "--verify", "--json").objects
    assert [fact["digest"] for fact in facts] == [shards.samples_digest(chain(layout, p)) for p in range(PARTITIONS)]
    assert all(fact["verified"] and not fact["fault"] for fact in facts)
    assert "verified         contiguity, counters and every digest" in ask(capsys, layout, "--verify").out


def test_without_verify_no_data_file_is_read(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    flip(data_file(layout, 2))
    assert ask(capsys, layout).code == 0
    assert [fact["verified"] for fact in ask(capsys, layout, "--json").objects] == [False, False]


def test_damage_in_one_partition_hides_no_other_and_ends_with_1(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(data_file(layout, 3, partition=0))
    asked = ask(capsys, layout, "--verify", "--json")
    assert asked.code == 1
    assert [bool(fact["fault"]) for fact in asked.objects] == [True, False]
    assert asked.objects[1]["verified"]
    text = ask(capsys, layout, "--verify")
    assert (text.code, text.out.count("DAMAGED")) == (1, 2)
    assert "verified  " not in text.out


@pytest.mark.parametrize("partition", range(PARTITIONS))
def test_a_missing_manifest_is_named_also_without_verify(
    layout: Layout, capsys: pytest.CaptureFixture[str], partition: int
) -> None:
    manifest(layout, 4, partition).unlink()
    asked = ask(capsys, layout)
    assert asked.code == 1
    assert "manifest 4 of " in asked.out
    assert "is missing" in asked.out


def test_a_flipped_bit_in_a_manifest_is_named_and_the_shards_before_it_still_count(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(manifest(layout, 4))
    asked = ask(capsys, layout, "--json")
    assert asked.code == 1
    assert asked.objects[0]["shards"] == 3
    assert asked.objects[0]["fault"] == f"{manifest(layout, 4)} is damaged at its seal"
    assert asked.objects[1]["shards"] > 3


def test_a_manifest_of_another_schema_is_named(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    envelope = chains.Manifest("freshet.shard/9", 1, "", (), msgspec.Raw(b"{}"))
    manifest(layout, 1).write_bytes(sealed.seal(msgspec.json.encode(envelope)))
    asked = ask(capsys, layout, "--json")
    assert asked.code == 1
    assert "'freshet.shard/9'" in asked.objects[0]["fault"]


def test_what_else_lies_in_the_folder_is_passed_over(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    before = ask(capsys, layout, "--json").objects
    parent = layout.shards("events", 0).parent
    for name in ("notes.txt", "7", "-0001", "00002.tmp", "٠٠٠٠١", "0000x"):
        (parent / name).mkdir()
    (parent / "00008").write_text("a file")
    (layout.shards("events", 0) / "core").write_text("x")
    (layout.stream_state("events", 0).parent / "lost+found").mkdir()
    assert ask(capsys, layout, "--json").objects == before
    assert len(ask(capsys, layout, "--state", "--json").objects) == PARTITIONS


def test_a_topic_or_partition_without_shards_or_state_is_2_with_a_hint(
    layout: Layout, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nothing = Layout(tmp_path / "nothing")
    for where, words in ((nothing, ()), (layout, ("--partition", "9")), (nothing, ("--state",))):
        asked = ask(capsys, where, *words)
        assert (asked.code, asked.out, asked.err.count("\n")) == (2, "", 2)
    assert not nothing.root.exists()


@pytest.mark.parametrize(
    "words",
    [
        "--shard 1",
        "--samples 3",
        "--state --verify",
        "--state --partition 0 --shard 1",
        "--partition 0 --shard 1 --verify",
        "--partition 0 --shard 0",
        "--partition -1",
        "--partition x",
        "--dead-letters 2 --json",
    ],
)
def test_what_makes_no_sense_together_is_2(layout: Layout, capsys: pytest.CaptureFixture[str], words: str) -> None:
    assert ask(capsys, layout, *words.split()).code == 2


def test_one_shard_is_told_in_words_with_its_first_and_last_samples_and_dead_letters(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ask(capsys, layout, "--partition", "0", "--shard", "1", "--samples", "2")
    body = chain(layout).read(1).body
    assert asked.code == 0
    assert f"offsets          0 up to {body.next_offset:,}, not included" in asked.out
    assert (asked.out.count("first samples"), asked.out.count("last samples")) == (2, 2)
    assert "dead letter      events/0/0  not_json" in asked.out


def test_one_shard_as_json_holds_the_whole_manifest(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = ask(capsys, layout, "--partition", "0", "--shard", "1", "--json").objects
    entry = chain(layout).read(1)
    assert msgspec.convert(found["manifest"], Shard) == entry.body
    assert (found["digest"], found["fault"]) == (entry.digest, "")
    assert [letter["reason"] for letter in found["dead_letters"]] == ["not_json"]


def test_what_strangers_wrote_reaches_the_terminal_escaped(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    shard = ask(capsys, layout, "--partition", "0", "--shard", "1", "--samples", "99").out
    letters = ask(capsys, layout, "--dead-letters", "3").out
    assert "\x1b" not in shard + letters
    assert "i\\x1b[2J[red]" in shard
    assert "rub\\x1b[31mbish" in letters


def test_a_shard_whose_data_are_damaged_still_tells_its_manifest_and_ends_with_1(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(data_file(layout, 2))
    asked = ask(capsys, layout, "--partition", "0", "--shard", "2")
    assert asked.code == 1
    assert "DAMAGED" in asked.out
    assert "records read" in asked.out


def test_a_shard_that_is_not_there_is_2_and_one_in_a_gap_is_1(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ask(capsys, layout, "--partition", "0", "--shard", "999")
    assert (asked.code, "its newest is" in asked.err) == (2, True)
    manifest(layout, 1).unlink()
    assert ask(capsys, layout, "--partition", "0", "--shard", "1").code == 1


def test_records_that_were_given_up_are_shown_plainly(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    owner = writer(layout, 0)
    lost = owner.admit_lost(owner.expected + 50, "retention was a day")
    owner.close()
    assert lost is not None
    head = chain(layout).head_number()
    assert "lost             partition 0: 1 " in ask(capsys, layout).out
    assert ask(capsys, layout, "--json").objects[0]["lost"] == 1
    assert "LOST" in ask(capsys, layout, "--partition", "0", "--shard", str(head)).out
    assert "retention was a day" in ask(capsys, layout, "--partition", "0", "--shard", str(head)).out


def test_the_state_of_a_partition_agrees_with_its_chain_and_counts_what_it_holds(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = ask(capsys, layout, "--state", "--json").objects
    for partition, fact in enumerate(facts):
        head = chain(layout, partition).head()
        assert head is not None
        assert (fact["at"], fact["number"], fact["head"]) == (head.digest, head.number, head.number)
        assert fact["agrees"] == "yes: at the head of the chain"
        assert fact["watermark"] == head.body.watermark
        assert fact["entries"]["requests"]["count"] > 50
        assert fact["entries"]["event ids"]["count"] > 50
        assert sum(fact["entries"]["requests"]["generations"].values()) == fact["entries"]["requests"]["count"]
        assert fact["marks"] > 0
    assert [fact["entries"]["parked clicks"]["count"] for fact in facts] == [0, 0]
    assert "agrees           yes" in ask(capsys, layout, "--state", "--partition", "1").out


def test_the_state_that_another_process_holds_is_read_and_not_disturbed(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    path = layout.stream_state("events", 0)
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin and holder.stdout
    try:
        assert holder.stdout.readline() == b"held\n"
        held = ask(capsys, layout, "--state", "--partition", "0", "--json")
        assert (held.code, held.objects[0]["agrees"]) == (0, "yes: at the head of the chain")
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == b"wrote\n"
    finally:
        holder.stdin.close()
        assert holder.wait() == 0
        holder.stdout.close()


_HOLD = """
import sys
from pathlib import Path
from contracts.state_db import StateDB
state = StateDB(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
state.write({b"x": b"y"})
print("wrote", flush=True)
state.close()
"""


def test_clicks_that_are_parked_at_the_head_are_counted(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    owner = PartitionWriter(layout, TOPIC, 0, Windows(), Rotation(samples=1))
    at, user = chain_watermark(layout, 0), next(f"u{n}" for n in range(9) if partition_of(f"u{n}", PARTITIONS) == 0)
    waiting = [Click(user, "i", at, at, event_id=f"w{number}", request_id="later") for number in range(3)]
    taken = [encode(event) for event in (*waiting, Click(user, "i", at, at, event_id="direct"))]
    owner.feed([_Numbered(owner.expected + number, value) for number, value in enumerate(taken)])
    owner.close()
    (fact,) = ask(capsys, layout, "--state", "--partition", "0", "--json").objects
    assert fact["entries"]["parked clicks"]["count"] == 3


def chain_watermark(layout: Layout, partition: int) -> int:
    head = chain(layout, partition).head()
    assert head is not None
    return head.body.watermark


def test_a_state_ahead_behind_or_of_another_chain_is_told_apart(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    def agrees() -> str:
        return str(ask(capsys, layout, "--state", "--partition", "0", "--json").objects[0]["agrees"])

    newest = manifest(layout, chain(layout).head_number())
    kept = newest.read_bytes()
    newest.unlink()
    assert agrees().startswith("one shard ahead")
    newest.write_bytes(kept)
    owner = writer(layout, 0)
    owner.admit_lost(owner.expected + 5, "x")
    owner.close()
    ahead = manifest(layout, chain(layout).head_number())
    StateDB.drop(layout.stream_state("events", 0))
    state = StateDB(layout.stream_state("events", 0))
    entry = chain(layout).read(chain(layout).head_number() - 1)
    state.write({b"!at": entry.digest.encode(), b"!pending": entry.data})
    state.close()
    assert agrees().startswith("1 behind the head")
    ahead.unlink()
    newest.unlink()
    newest.with_name(f"{int(newest.stem) - 1:020d}.json").unlink()
    assert agrees().startswith("no: at a shard that is not in the chain")


def test_a_state_without_a_position_and_spare_folders_are_shown(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    path = layout.stream_state("events", 1)
    StateDB.drop(path)
    StateDB(path).close()
    StateDB(path.with_name("00001-1")).close()
    asked = ask(capsys, layout, "--state", "--partition", "1")
    assert asked.code == 0
    assert "agrees           no position" in asked.out
    assert "spare folder     " + str(path) + "-1" in asked.out


def test_a_damaged_state_is_named_and_ends_with_1(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    for path in layout.stream_state("events", 0).iterdir():
        if path.name.startswith("MANIFEST"):
            path.write_bytes(b"rubbish")
    asked = ask(capsys, layout, "--state", "--json")
    assert asked.code == 1
    assert [bool(fact["fault"]) for fact in asked.objects] == [True, False]


def test_looking_changes_nothing_on_disk_of_the_chains(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in layout.root.rglob("*") if path.is_file()}

    before = files()
    for words in ("--verify", "--state", "--partition 0 --shard 1", "--dead-letters 5"):
        assert ask(capsys, layout, *words.split()).code == 0
    assert files() == before
