"""The full retrain: whole days of samples, all parameters, a new base.

 1. find the days, the parent (a full base, never an online branch) and the id of the base to be; if it is there, and
    its files are what was written, done.
 2. choose the online settings by folding the first day onto the parent (`trainer.calibration`); without a parent, or
    where nobody came back on that day, they are those of the settings file.
 3. scan the days, and refuse one that is unlike those before it; learn what the base knows (items, features; a warm
    start keeps the parent's and adds to them), and fold evidence, rings and trend counts to the cut.
 4. train: one epoch a day, each day shuffled (as a whole, or by `order`), in the order of the days.
 5. export the towers, checked against torch.
 6. write the directory and rename it: the commit.

A crash before 6 leaves a hidden directory that nobody reads. Deterministic on one machine and build. Samples are never
all in memory: a scan counts them, and an epoch reads them from files in random order.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from contracts import bases
from contracts.arrays import Integers, pack
from contracts.bases import CONTENT, Base, BaseStore, Items, OnlineSettings, OpenBase
from contracts.catalogue import Catalogue
from contracts.days import bounds, last_date
from contracts.errors import UsageError
from contracts.features import FeatureSpec
from contracts.layout import Layout
from contracts.reference import REFERENCE, pack_reference
from trainer import export, item_content, lineage
from trainer.calibration import CALIBRATION, EVERYTHING, Calibration, Trial, Trials, Yesterday, nothing, search
from trainer.day_scan import Scan
from trainer.day_statistics import STATISTICS, DayStatistics, of_base, packed, require_sound
from trainer.epoch import NO_ROWS, Periods, Scattered, TrainingRows
from trainer.full_model import FullModel, item_vectors
from trainer.last_day import LAST_DAY
from trainer.one_thread import one_thread
from trainer.settings import TrainerSettings
from trainer.starting_point import Known, know, starting_rows, starting_towers
from trainer.training_days import Day, Topic, day_chunks, find_day, open_topic, with_samples
from trainer.translation import Translation

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class RetrainPlan:
    """What to train: days (YYYY-MM-DD, or spans) of a topic, in order, on top of `parent` (an id, `newest`, or "").

    `accept`: why days that are unlike those before them are trained on all the same; it goes on record. `catalogue`:
    what the items are about; the first base of a lineage decides which of their features are used.
    """

    topic: str
    days: tuple[str, ...]
    parent: str
    settings: TrainerSettings
    accept: str = ""
    catalogue: Catalogue | None = None


@dataclass(frozen=True)
class _Start:
    """Step 1's finding; `filled` are the days with samples."""

    topic: Topic
    days: list[Day]
    filled: list[Day]
    parent: OpenBase | None
    base_id: str


@dataclass(frozen=True)
class _Scanned:
    """Step 3's finding: `days` are scattered into files, each with its clicks by item code; `statistics` as a file."""

    scan: Scan
    days: list[tuple[Scattered, Integers]]
    statistics: bytes


@dataclass(frozen=True)
class _Trained:
    """Step 4's finding: `looked_at` are some rows of the last day, which the export is checked with."""

    model: FullModel
    known: Known
    looked_at: TrainingRows
    metrics: dict[str, float]


def retrain(layout: Layout, plan: RetrainPlan, progress: Progress = lambda what, done, total: None) -> OpenBase:
    """Train and write a base, or return it where the same plan was carried out before.

    `progress` gets what is done ("read", then "train", and the day), how far it is, and how far it goes.
    Days without samples are taken as long as one day has some. Raises `MissingInput` for a day that is incomplete and
    for days that are all empty, `UsageError` for days or a parent that do not fit, `Corrupt` for a damaged base.
    """
    # Step 1: what to train, on top of what
    start = _find(layout, plan)
    store = BaseStore(layout)
    if start.base_id in store.ids():
        there = store.open(start.base_id)
        there.verify()
        return there
    # Step 2: choose the online settings
    calibration = _calibrate(layout, start, plan, progress)
    with one_thread(), _scratch(layout.shuffled_day(start.base_id, secrets.token_hex(6))) as folder:
        # Step 3: scan
        scanned = _scan(start, plan, calibration.chosen.online, folder, progress)
        known = know(scanned.scan, start.parent, plan.settings, plan.catalogue)
        # Step 4: train
        trained = _train(start, scanned, known, plan.settings, progress)
        # Step 5: export
        files, metrics = _files(trained, scanned.scan)
    # Step 6: the commit
    files[STATISTICS] = scanned.statistics
    files[LAST_DAY] = scanned.scan.last_day(scanned.days[-1][1], known.towers.context)
    files[CALIBRATION] = msgspec.json.encode(calibration.tried)
    metrics["calibration_recall20_active"] = calibration.recall
    return store.write(_manifest(start, plan, trained, metrics, calibration.chosen), files)


def _find(layout: Layout, plan: RetrainPlan) -> _Start:
    settings = plan.settings
    if not plan.days:
        raise UsageError("no day to train on", hint="Give at least one --day YYYY-MM-DD.")
    topic = open_topic(layout, plan.topic)
    days = [find_day(topic, name, settings.day_zone) for name in plan.days]
    filled = with_samples(topic, days)
    parent = lineage.choose_parent(layout, topic, plan.parent, plan.days[0], settings.day_zone)
    lineage.check_contiguous(parent, days)
    if parent:
        lineage.check_shape(parent, settings.towers)
    parts = [part.model_dump() for part in (settings.towers, settings.retrain, settings.online)]
    if plan.catalogue:
        parts.append({"catalogue": plan.catalogue.digest})
    parts.append({"publish_interval_ms": settings.publish_interval_ms})  # settings are calibrated for it
    log = (topic.topic_id, settings.day_zone, plan.days, days[0].first, days[-1].next)
    what = msgspec.json.encode((parent.digest if parent else "", log, parts), order="sorted")
    date = last_date(plan.days[-1], settings.day_zone)
    return _Start(topic, days, filled, parent, f"{date}-{hashlib.sha256(what).hexdigest()[:8]}")


def _calibrate(layout: Layout, start: _Start, plan: RetrainPlan, progress: Progress) -> Calibration:
    settings, parent = plan.settings, start.parent
    given = Trial(settings.online.chosen(), settings.retrain.own_scale)
    if parent is None or not settings.retrain.calibrate or start.days[0].first == start.days[0].next:
        return nothing(given)
    manifest, first = parent.manifest, start.days[0].name
    names = (start.topic.name, manifest.base_id, manifest.days[-1], first, settings.day_zone)
    yesterday = Yesterday(layout, *names, settings.publish_interval_ms)
    with Trials(yesterday) as trials:
        return search(trials, given, EVERYTHING, partial(progress, f"calibrate on {first}"))


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _scan(start: _Start, plan: RetrainPlan, online: OnlineSettings, folder: Path, progress: Progress) -> _Scanned:
    """Read the days, compare each with those before it. Raises `UsageError`."""
    settings = plan.settings.retrain
    before, found, scattered = of_base(start.parent), list[DayStatistics](), list[tuple[Scattered, Integers]]()
    most_hard = settings.hard_negatives if settings.hard_share else 0
    scan = Scan(start.parent, (online.half_life_ms, start.days[-1].end), most_hard, plan.settings.day_zone)
    for number, day in enumerate(start.filled):
        (folder / str(number)).mkdir()
        periods = Periods.of(settings.order, bounds(day.name, plan.settings.day_zone)[0], day.end)
        rows = Scattered(folder / str(number), day.name, settings.seed, sum(day.next) - sum(day.first), periods)
        scan.begin(day.name)
        for chunk in day_chunks(start.topic, day, partial(progress, f"read {day.name}")):
            rows.add(scan.add(chunk), chunk.click_times)
        description, clicks = scan.end()
        statistics = description.done()
        if not plan.accept:
            require_sound(statistics, [*before, *found], plan.settings.day)
        found.append(msgspec.structs.replace(statistics, accepted=plan.accept))
        scattered.append((rows, clicks))
    return _Scanned(scan, scattered, packed(before, found))


def _train(start: _Start, scanned: _Scanned, known: Known, settings: TrainerSettings, progress: Progress) -> _Trained:
    seed, scan = settings.retrain.seed, scanned.scan
    towers = starting_towers(known, start.parent, seed)
    model = FullModel(towers, starting_rows(known, start.parent, seed), known.content, settings.retrain)
    translation = Translation(scan, known.items, known.towers.context)
    count, loss, looked_at = 0, 0.0, translation.rows(NO_ROWS)
    for day, clicks in scanned.days:
        epoch = translation.epoch(day, clicks)
        count += epoch.size
        if epoch.size:
            loss = model.train(epoch, partial(progress, f"train {day.name}"))
            looked_at = next(rows for rows in epoch.stretches() if len(rows))
    counts = {"samples": scan.samples, "untrained_samples": scan.samples - count}
    counts |= {"users": len(known.users), "items": len(known.items)}
    metrics = {**{name: float(n) for name, n in counts.items()}, "loss_of_last_day": loss}
    return _Trained(model, known, looked_at, metrics)


def _files(trained: _Trained, scan: Scan) -> tuple[dict[str, bytes], dict[str, float]]:
    rows, towers, known = trained.model.finished_rows(), trained.model.towers, trained.known
    vectors = item_vectors(towers, rows.items, known.content)
    if not all(np.isfinite(part).all() for part in (rows.common, rows.own, rows.items, rows.biases, vectors)):
        raise UsageError(
            "the training diverged: parameters are not finite",
            hint="Lower dense_step and row_step in [retrain] of trainer.toml; no base was written.",
        )
    tower_files, metrics = export.checked(towers, rows, known.content, trained.looked_at, vectors)
    trend, users = scan.trend.counts(), scan.state.table(rows.own)
    about = {CONTENT: item_content.packed(known.content)} if known.towers.content != FeatureSpec() else {}
    return {
        **tower_files,
        **about,
        bases.DENSE: towers.packed(),
        bases.USERS: bases.pack_user_table(rows.common, users),
        REFERENCE: pack_reference(rows.common, users),
        bases.ITEMS: bases.pack_items(Items(known.items, rows.items, vectors, rows.biases)),
        bases.TREND: pack({"items": list(trend), "counts": np.array(list(trend.values()), dtype=np.float64)}),
        lineage.ITEM_COUNTS: lineage.pack_item_counts(known.item_counts),
    }, metrics


def _manifest(start: _Start, plan: RetrainPlan, trained: _Trained, metrics: dict[str, float], chosen: Trial) -> Base:
    parent, end = start.parent, start.days[-1].end
    return Base(
        base_id=start.base_id,
        parent=parent.manifest.base_id if parent else "",
        parent_digest=parent.digest if parent else "",
        topic=start.topic.name,
        topic_id=start.topic.topic_id,
        partitions=len(start.topic.chains),
        cut=start.days[-1].next,
        cut_watermark=end,
        days=plan.days,
        day_zone=plan.settings.day_zone,
        towers=trained.known.towers,
        online=chosen.online,
        trend_t0=end,
        cpu_family=bases.cpu_family(),
        seed=plan.settings.retrain.seed,
        metrics={**trained.metrics, **metrics},
        own_scale=chosen.own_scale,
    )
