"""Which online branches a process updates: the newest that is ready, and those that a rollback may go back to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from contracts import deltas, nights
from contracts.bases import BaseStore, OpenBase
from contracts.errors import Corrupt
from contracts.layout import Layout
from contracts.nights import Night
from contracts.rebases import State
from contracts.rollback import rollback
from publisher.promotion import Order, publish_once
from publisher.settings import Limits, PublisherSettings
from tests.support.bases import stand
from tests.support.shards import Log
from tests.support.tastes import DAYS, Tastes, write_tastes
from tests.support.trained import delta_contents, fold, small_settings, train
from trainer import online
from trainer.branches import Branches, live

FRESHET = Path(__file__).parents[2] / "freshet.py"
DAY, SETTINGS, WHO = 86_400_000, PublisherSettings(), ("someone", "a test")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes(days=3), Log(partitions=2))
    return layout


@pytest.fixture
def old(layout: Layout) -> OpenBase:
    return train(layout)


@pytest.fixture
def new(layout: Layout, old: OpenBase) -> OpenBase:
    return train(layout, DAYS[1])


def ids(layout: Layout, branch_ms: int = DAY) -> set[str]:
    return {base.manifest.base_id for base in live(layout, "events", branch_ms)}


@pytest.mark.parametrize("state", ["announced", "verified", "folding", "scored", "refused"])
def test_a_base_that_is_not_ready_is_the_rebases_business(
    layout: Layout, old: OpenBase, new: OpenBase, state: State
) -> None:
    stand(layout, new, state)
    assert ids(layout) == {old.manifest.base_id}


def test_the_newest_base_that_is_ready_or_was_never_announced_is_updated(
    layout: Layout, old: OpenBase, new: OpenBase
) -> None:
    assert ids(layout) == {new.manifest.base_id}
    stand(layout, new, "ready")
    assert ids(layout) == {new.manifest.base_id}


def test_bases_served_lately_are_updated_too_and_rest_when_no_rollback_goes_back_to_them(
    layout: Layout, old: OpenBase, new: OpenBase
) -> None:
    publish_once(layout, SETTINGS, Order(*WHO, old.manifest.base_id))
    assert ids(layout) == {old.manifest.base_id, new.manifest.base_id}
    fold(layout, new)
    publish_once(layout, SETTINGS, Order(*WHO, new.manifest.base_id))
    assert ids(layout, 3 * DAY) == {old.manifest.base_id, new.manifest.base_id}
    assert ids(layout, 1) == {new.manifest.base_id}


def test_a_branch_that_rested_goes_on_to_the_same_bits(layout: Layout, old: OpenBase, new: OpenBase) -> None:
    branches, said = Branches(layout, "events", small_settings()), list[str]()
    branches.say = said.append
    branches.hold([old])
    branches.advance(until=old.manifest.cut_watermark + DAY // 2)
    branches.hold([new])
    branches.advance()
    branches.hold([old, new])
    branches.advance()
    branches.close()
    rested = delta_contents(layout, old)
    names = [base.manifest.base_id for base in (old, new, old)]
    assert said == [
        f"The branch of base {names[0]} rests: it is not needed now.",
        f"The branch of base {names[1]} is updated.",
        f"The branch of base {names[2]} is updated.",
    ]
    for partition in range(2):
        for path in layout.deltas(old.manifest.base_id, partition).iterdir():
            path.unlink()
    fold(layout, old)
    assert delta_contents(layout, old) == rested


def test_a_running_process_takes_up_a_base_that_becomes_ready_and_ends_by_a_signal(
    layout: Layout, old: OpenBase
) -> None:
    publish_once(layout, SETTINGS, Order(*WHO, old.manifest.base_id))
    environment = {**os.environ, "FRESHET_TRAINER_NIGHT__LOOK_SECONDS": "0.1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(FRESHET), "trainer", "online", "--root", str(layout.root), "--follow"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "partition 0" in process.stdout.readline()
        new = train(layout, DAYS[1])
        stand(layout, new, "ready")
        wanted = f"The branch of base {new.manifest.base_id} is updated.\n"
        assert wanted in iter(process.stdout.readline, "")
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 0
    for base in (old, new):
        assert f"digest {base.manifest.base_id} all " in rest
        assert deltas.chain(layout, base.manifest.base_id, 0).head_number() > 0 or base is new


def test_a_branch_that_is_too_old_or_damaged_is_given_up_and_ends_no_other(
    layout: Layout, old: OpenBase, new: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "MAX_EXPONENT", 60.0)  # half-lives: the old base reaches them, the new one does not
    branches, said = Branches(layout, "events", small_settings()), list[str]()
    branches.say = said.append
    branches.hold([old, new])
    while branches.advance():
        pass
    assert [base.manifest.base_id for base in branches.bases] == [new.manifest.base_id]
    assert any(
        f"base {old.manifest.base_id} is given up: base {old.manifest.base_id} is too old" in text for text in said
    )
    assert sum(entry.body.samples for entry in delta_contents(layout, new)) > 0
    branches.hold([old, new])
    assert [base.manifest.base_id for base in branches.bases] == [new.manifest.base_id]
    branches.close()
    path = layout.base(old.manifest.base_id) / "users.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    damaged = BaseStore(layout).open(old.manifest.base_id)
    again = Branches(layout, "events", small_settings())
    again.hold([damaged, new])
    assert [base.manifest.base_id for base in again.bases] == [new.manifest.base_id]
    again.close()
    alone = Branches(layout, "events", small_settings())
    with pytest.raises(Corrupt):
        alone.hold([damaged])
    alone.close()


def test_the_served_base_is_updated_though_it_was_refused_and_no_other_is_there(layout: Layout, old: OpenBase) -> None:
    publish_once(layout, SETTINGS, Order(*WHO, old.manifest.base_id))
    stand(layout, old, "refused")
    assert ids(layout) == {old.manifest.base_id}


def test_a_base_of_a_night_that_is_not_over_is_not_the_newest(layout: Layout, old: OpenBase, new: OpenBase) -> None:
    chain = nights.chain(layout, "events")
    night = Night("planned", (DAYS[1],), old.manifest.base_id, "", {}, (), *WHO, 0)
    chain.create(chain.prepare(None, night, {}))
    assert ids(layout) == {old.manifest.base_id}
    over = msgspec.structs.replace(night, step="announced", base_id=new.manifest.base_id)
    chain.create(chain.prepare(chain.head(), over, {}))
    assert ids(layout) == {new.manifest.base_id}


def test_a_rollback_to_an_old_content_hides_no_base_that_was_served_since(
    layout: Layout, old: OpenBase, new: OpenBase
) -> None:
    publish_once(layout, SETTINGS, Order(*WHO, old.manifest.base_id))
    fold(layout, new)
    publish_once(layout, SETTINGS, Order(*WHO, new.manifest.base_id))
    rollback(layout, 1, *WHO)
    fold(layout, old)
    publish_once(layout, PublisherSettings(limits=Limits(recall_clicks=10**9, most_degrees=180)), Order(*WHO))
    stand(layout, new, "refused")  # so that it is not live as the newest
    assert ids(layout) == {old.manifest.base_id, new.manifest.base_id}
