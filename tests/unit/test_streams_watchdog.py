from __future__ import annotations

from collections.abc import Iterable

from streams.vitals import Vitals
from streams.watchdog import Watchdog


class Scene:
    """A worker with open partitions, a watchdog with a limit of 60 s, and a clock that `pass_time` alone moves."""

    def __init__(self, partitions: Iterable[int] = (0,), limit_s: float = 60) -> None:
        self.now = 1_000.0
        self.vitals, self.watchdog = Vitals(lambda: self.now), Watchdog(limit_s)
        self.ends = dict.fromkeys(partitions, 0)
        self.growth = 0
        self.answers = True
        self.vitals.assigned(self.ends)
        for partition in self.ends:
            self.vitals.opened(partition, 0, None)

    def pass_time(self, seconds: int, step: int = 5) -> str:
        """Let time pass in steps; ask log ends and check at each. Returns the first sentence, empty for none."""
        for _ in range(0, seconds, step):
            self.now += step
            for partition in self.ends if self.answers else ():
                self.ends[partition] += self.growth
                self.vitals.log_end(partition, self.ends[partition])
            if reason := self.watchdog.check(self.vitals.view()):
                return reason
        return ""


def test_a_partition_whose_lag_grows_while_no_chunk_comes_ends_the_worker_after_the_limit() -> None:
    scene = Scene()
    scene.growth = 10
    assert scene.pass_time(60) == ""  # the limit counts from the first check
    assert scene.pass_time(5) == "partition 0: no records for 60 s, while its lag grew from 10 to 130"


def test_an_idle_topic_never_does() -> None:
    assert Scene().pass_time(100_000) == ""


def test_a_lag_that_stands_never_does() -> None:
    scene = Scene()
    scene.ends[0] = 1  # a transaction's marker is no record, and nobody will ever be given it
    assert scene.pass_time(100_000) == ""


def test_a_worker_that_takes_chunks_and_still_falls_behind_never_does() -> None:
    scene = Scene()
    scene.growth = 10_000
    for chunk in range(1, 200):
        scene.vitals.fed(0, 1, chunk)
        assert scene.pass_time(50) == ""


def test_one_partition_that_stands_is_seen_beside_another_that_moves() -> None:
    scene = Scene(partitions=(0, 1))
    scene.growth = 5
    reasons = []
    for chunk in range(1, 9):
        scene.vitals.fed(0, 5, 10 * chunk)
        reasons.append(scene.pass_time(10))
    assert reasons[:6] == [""] * 6
    assert reasons[6].startswith("partition 1: no records for 60 s")


def test_a_recovery_however_long_never_does() -> None:
    scene = Scene(partitions=())
    scene.vitals.assigned({0, 1})
    scene.ends, scene.growth = {0: 0, 1: 0}, 10
    assert scene.pass_time(100_000) == ""
    scene.vitals.opened(1, 0, None)
    assert scene.pass_time(70).startswith("partition 1: no records for 60 s")


def test_a_recovery_without_end_hides_no_other_partition_that_stands() -> None:
    scene = Scene(partitions=(0, 1))
    scene.growth = 10
    scene.vitals.assigned({0, 1, 2})
    assert scene.pass_time(70).startswith("partition 0: no records for 60 s")


def test_a_recovery_without_end_hides_no_broker_that_cannot_be_asked() -> None:
    scene = Scene()
    scene.vitals.assigned({0, 1})
    scene.answers = False
    assert scene.pass_time(70) == "no records, and no answer from the broker, for 60 s"


def test_a_rebuild_which_takes_chunks_below_the_head_never_does() -> None:
    scene = Scene()
    scene.ends[0], scene.growth = 1_000_000, 100
    for chunk in range(200):
        scene.vitals.fed(0, 1000, 1000 * chunk)
        assert scene.pass_time(55) == ""


def test_a_broker_that_cannot_be_asked_while_nothing_moves_ends_the_worker_after_the_limit() -> None:
    scene = Scene()
    scene.pass_time(5)
    scene.answers = False
    assert scene.pass_time(55) == ""
    assert scene.pass_time(5) == "no records, and no answer from the broker, for 60 s"


def test_a_broker_that_cannot_be_asked_while_records_come_does_not() -> None:
    scene = Scene()
    scene.answers = False
    for chunk in range(100):
        scene.vitals.fed(0, 1, chunk)
        assert scene.pass_time(50) == ""


def test_a_worker_without_partitions_never_does() -> None:
    scene = Scene()
    scene.vitals.assigned(())
    scene.answers = False
    assert scene.pass_time(100_000) == ""


def test_a_worker_that_is_stopping_never_does() -> None:
    scene = Scene()
    scene.growth = 10
    scene.vitals.stopping()
    assert scene.pass_time(1_000) == ""


def test_a_process_that_was_asleep_gets_the_whole_limit_anew() -> None:
    scene = Scene()
    scene.growth = 10
    assert scene.pass_time(30) == ""
    scene.now += 3_600
    assert scene.pass_time(60) == ""
    assert scene.pass_time(10).startswith("partition 0: no records for 60 s")


def test_asleep_with_a_broker_that_was_silent_it_gets_the_whole_limit_anew() -> None:
    scene = Scene()
    scene.answers = False
    scene.now += 3_600
    assert scene.pass_time(60) == ""
    assert scene.pass_time(10) != ""


def test_a_limit_of_zero_finds_nothing() -> None:
    scene = Scene(limit_s=0)
    scene.growth = 10
    assert scene.pass_time(100_000) == ""


def test_a_partition_dealt_anew_starts_anew() -> None:
    scene = Scene()
    scene.growth = 10
    assert scene.pass_time(50) == ""
    scene.vitals.assigned(())
    scene.vitals.assigned({0})
    scene.vitals.opened(0, 0, None)
    assert scene.pass_time(55) == ""
