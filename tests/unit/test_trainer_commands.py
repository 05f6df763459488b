"""`freshet trainer retrain` and `online` as a person calls them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contracts import deltas
from contracts.bases import BaseStore
from contracts.layout import Layout
from freshet import COMMANDS, Command
from tests.support.shards import Log, ShardWriter
from tests.support.tastes import DAY_MS, DAYS, MIDNIGHT, Tastes, write_tastes
from tests.support.trained import small_settings, train
from trainer.commands import parse_retrain
from trainer.commands_online import parse_online
from trainer.digest import online_digest
from trainer.retrain import RetrainPlan, retrain

OF_THE_TRAINER = [command for command in COMMANDS if command.module.startswith("trainer")]
FRESHET = Path(__file__).parents[2] / "freshet.py"


def freshet(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FRESHET), *words]
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120, check=False
    )


def test_retrain_and_online_from_shards_to_digests(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes(clicks_per_day=200))
    trained = freshet(
        "trainer", "retrain", "--root", str(tmp_path), "--day", DAYS[0], FRESHET_TRAINER_RETRAIN__MIN_ITEM_CLICKS="2"
    )
    assert trained.returncode == 0, trained.stderr
    base_id = trained.stdout.split()[1]
    assert BaseStore(layout).ids() == [base_id]
    assert f"train {DAYS[0]}" in trained.stderr
    online = freshet("trainer", "online", "--root", str(tmp_path), "--base", base_id)
    assert online.returncode == 0, online.stderr
    lines = online.stdout.splitlines()
    assert sum("partition 0" in line and "rows touched" in line for line in lines) == 48
    assert lines[-1] == f"digest {base_id} 0 {online_digest(layout, BaseStore(layout).open(base_id), 0)}"
    again = freshet("trainer", "online", "--root", str(tmp_path))
    assert again.stdout.splitlines() == lines[-1:]


def test_a_base_that_is_named_is_updated_from_its_own_topic_and_none_from_that_of_the_settings(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes(clicks_per_day=50), Log(topic="clicks"))
    base = retrain(layout, RetrainPlan("clicks", DAYS[:1], "", small_settings()))
    words = ["trainer", "online", "--root", str(tmp_path), "--until", str(MIDNIGHT + 2 * DAY_MS)]
    named = freshet(*words, "--base", base.manifest.base_id)
    assert (named.returncode, "rows touched" in named.stdout) == (0, True), named.stderr
    for other in ([], ["--base", base.manifest.base_id, "--topic", "events"]):
        refused = freshet(*words, *other)
        assert refused.returncode == 2
        assert "events" in refused.stderr


def test_a_day_that_is_not_there_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    write_tastes(Layout(tmp_path), Tastes(clicks_per_day=50, days=1))
    refused = freshet("trainer", "retrain", "--root", str(tmp_path), "--day", DAYS[1])
    assert refused.returncode == 2
    assert "is not complete" in refused.stderr.splitlines()[0]
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_following_worker_cleanly_with_its_digests(tmp_path: Path, number: signal.Signals) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes(clicks_per_day=200))
    base = train(layout)
    command = [sys.executable, str(FRESHET), "trainer", "online", "--root", str(tmp_path), "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(48):
            assert "rows touched" in process.stdout.readline()
        ShardWriter(layout).append([], MIDNIGHT + 2 * DAY_MS + 1_800_000)
        assert "delta 49" in process.stdout.readline()
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert rest.split() == ["digest", base.manifest.base_id, "0", online_digest(layout, base, 0)]
    head = deltas.chain(layout, base.manifest.base_id, 0).head()
    assert head is not None
    assert head.number == 49


def test_no_base_yet_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    refused = freshet("trainer", "online", "--root", str(tmp_path))
    assert refused.returncode == 2
    assert "no base of topic 'events'" in refused.stderr


def test_from_scratch_and_a_parent_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        parse_retrain(["--day", DAYS[0], "--parent", "x", "--from-scratch"])
    assert refused.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_arguments_become_values_before_any_input_is_read() -> None:
    retrain = parse_retrain(["--root", "/nowhere", "--day", DAYS[0], "--day", DAYS[1], "--from-scratch"])
    assert (retrain.days, retrain.parent, retrain.layout.root) == (DAYS[:2], "", Path("/nowhere"))
    assert parse_retrain(["--day", DAYS[0]]).parent == "newest"
    online = parse_online(["--partitions", "1,0", "--until", "5"])
    assert (online.partitions, online.until, online.follow) == ((0, 1), 5, False)


def test_a_list_of_partitions_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_online(["--partitions", "one"])
    assert "is not a list of partitions" in capsys.readouterr().err


@pytest.mark.parametrize("command", OF_THE_TRAINER, ids=lambda command: command.words)
def test_help_imports_no_torch(command: Command) -> None:
    code = (
        f"import sys, {command.module} as c\n"
        f"try:\n    c.{command.function}(['--help'])\nexcept SystemExit:\n    assert 'torch' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=FRESHET.parent, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f"freshet {command.words}" in ran.stdout
