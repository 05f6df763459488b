"""A day of training in random order: every sample once, any order as likely as another, and the same for a seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contracts.arrays import Integers
from trainer import epoch as epochs
from trainer.epoch import Epoch, Periods, Scattered, TrainingRows, in_memory

ITEMS = 7


def rows(count: int) -> TrainingRows:
    numbers = np.arange(count)
    features = (numbers[:, None] / 8).astype(np.float32)
    return TrainingRows(numbers, numbers % ITEMS, numbers[:, None] * 2, features, np.full((count, 2), -1))


DAY_MS = 86_400_000
START = 1_736_121_600_000
WHOLE_DAY = Periods.of("day", START, START + DAY_MS)


def moments(count: int) -> Integers:
    """When each sample happened: all over the day, not in the order of arrival, several at once."""
    return START + (np.arange(count) * 7919 % 1000) * (DAY_MS // 1000)


def scattered(folder: Path, count: int, chunk: int, seed: int = 1, order: str = "day") -> Epoch:
    """Samples 0 to `count`, added `chunk` at a time."""
    folder.mkdir()
    made = Scattered(folder, "day", seed, count, Periods.of(order, START, START + DAY_MS))
    whole, times = rows(count), moments(count)
    for start in range(0, count, chunk):
        some = np.arange(start, min(start + chunk, count))
        made.add(whole.at(some), times[some])
    return Epoch("day", count, np.bincount(whole.items), made.read)


def users(batches: Iterator[TrainingRows]) -> list[int]:
    return [user for batch in batches for user in batch.users.tolist()]


@pytest.fixture
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "BUCKET_SAMPLES", 100)


@pytest.mark.usefixtures("small_buckets")
def test_every_sample_comes_once_with_what_belongs_to_it(tmp_path: Path) -> None:
    day = scattered(tmp_path / "a", 1000, 130)
    seen = list(day.batches(13))
    assert [len(batch) for batch in seen] == [77] * 12 + [76]
    assert sorted(users(iter(seen))) == list(range(1000))
    for batch in seen:
        np.testing.assert_array_equal(batch.items, batch.users % ITEMS)
        np.testing.assert_array_equal(batch.codes[:, 0], batch.users * 2)
        np.testing.assert_array_equal(batch.numbers[:, 0], (batch.users / 8).astype(np.float32))


@pytest.mark.usefixtures("small_buckets")
def test_how_samples_arrived_leaves_no_trace_and_another_seed_gives_another_order(tmp_path: Path) -> None:
    orders = [
        users(scattered(tmp_path / name, 1000, chunk, seed).batches(4))
        for name, chunk, seed in (("a", 1000, 1), ("b", 7, 1), ("c", 7, 2))
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.usefixtures("small_buckets")
def test_the_order_is_a_uniform_shuffle_of_the_whole_day(tmp_path: Path) -> None:
    order = np.array(users(scattered(tmp_path / "a", 20_000, 4096).batches(10)))
    places = np.argsort(order)  # of each sample, in the order of the log
    assert abs(np.corrcoef(places, np.arange(len(places)))[0, 1]) < 0.03
    # neighbours in the log land anywhere: their mean distance is a third of the day
    assert np.abs(np.diff(places)).mean() == pytest.approx(len(places) / 3, rel=0.03)
    # every tenth of the batches holds its share of every tenth of the log
    table = np.histogram2d(places, np.arange(len(places)), bins=10)[0]
    expected = len(places) / 100
    assert ((table - expected) ** 2 / expected).sum() < 130  # chi-square with 81 degrees of freedom: 99.95 %


@pytest.mark.usefixtures("small_buckets")
def test_rows_that_came_before_a_feature_did_have_none_of_it(tmp_path: Path) -> None:
    made, whole, times = Scattered(tmp_path, "day", 1, 300, WHOLE_DAY), rows(300), moments(300)
    early = whole.at(np.arange(150))
    made.add(TrainingRows(early.users, early.items, early.codes[:, :0], early.numbers[:, :0], early.hard), times[:150])
    made.add(whole.at(np.arange(150, 300)), times[150:])
    found = list(made.read())
    assert sorted(user for part in found for user in part.users.tolist()) == list(range(300))
    for part in found:
        late = part.users >= 150
        np.testing.assert_array_equal(part.codes[:, 0], np.where(late, part.users * 2, 0))
        np.testing.assert_array_equal(np.isnan(part.numbers[:, 0]), ~late)
        np.testing.assert_array_equal(part.numbers[late, 0], part.users[late] / 8)


@pytest.mark.usefixtures("small_buckets")
@pytest.mark.parametrize(("order", "period"), [("hour", 3_600_000), ("minute", 60_000), ("click", 1)])
def test_an_order_of_time_gives_the_same_samples_period_after_period_and_shuffled_within(
    tmp_path: Path, order: str, period: int
) -> None:
    count = 3000
    found = {name: users(scattered(tmp_path / name, count, 130, order=name).batches(7)) for name in ("day", order)}
    assert sorted(found[order]) == sorted(found["day"]) == list(range(count))
    periods = (moments(count)[found[order]] - START) // period
    assert (np.diff(periods) >= 0).all()
    within = [np.array(found[order])[periods == each] for each in np.unique(periods)]
    assert all(len(part) >= 3 for part in within)
    falling = sum(int((np.diff(part) < 0).sum()) for part in within)
    assert falling / sum(len(part) - 1 for part in within) == pytest.approx(0.5, abs=0.05)


def test_what_lies_outside_its_day_belongs_to_its_first_or_last_period() -> None:
    hours = Periods.of("hour", START, START + DAY_MS)
    at = np.array([START - 1, START, START + DAY_MS - 1, START + DAY_MS, START + 2 * DAY_MS])
    assert hours.numbers(at).tolist() == [0, 0, 23, 23, 23]
    odd = Periods.of("hour", START, START + DAY_MS + 1000)  # the last period is a second long
    assert odd.keys(np.array([24]), np.array([0.999]))[0] < 1


def test_in_memory_the_order_is_the_seeds() -> None:
    one, again, other = (users(in_memory("d", rows(50), ITEMS, seed).batches(3)) for seed in (1, 1, 2))
    assert one == again != other
    assert sorted(one) == list(range(50))


def test_an_error_while_batches_are_made_ready_is_raised_where_they_are_used() -> None:
    def torn() -> Iterator[TrainingRows]:
        yield rows(10)
        raise OSError("the disk is gone")

    day = Epoch("d", 20, np.zeros(ITEMS, np.int64), torn)
    with pytest.raises(OSError, match="the disk is gone"):
        list(day.batches(4))


def test_who_stops_early_leaves_no_thread_behind() -> None:
    import threading

    before = threading.active_count()
    batches = in_memory("d", rows(1000), ITEMS, 1).batches(500)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
