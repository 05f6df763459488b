"""The import: a model that somebody else's code has trained becomes a base.

 1. read the files, find the days and the id of the base to be; if it is there, and its files are what was written,
    done.
 2. check the model: its numbers, its graphs, and that its rows enter the user vector linearly. What does not fit is
    refused by name.
 3. scan the days until the cut: evidence, rings, trend counts and clicks of items.
 4. choose the online settings and the temperature: those of another import, or by folding a later day onto this model
    (`trainer.calibration`), or those that were given.
 5. put the files together.
 6. write the directory and rename it: the commit.

A crash before 6 leaves a hidden directory that nobody reads. Deterministic on one machine and build.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import msgspec

from contracts import bases
from contracts.bases import IMPORT, Base, BaseStore, OpenBase
from contracts.days import last_date
from contracts.errors import UsageError
from contracts.layout import Layout
from trainer import lineage
from trainer.calibration import (
    CALIBRATION,
    OF_IMPORTS,
    SHARPNESS,
    Calibration,
    Trial,
    Trials,
    Yesterday,
    nothing,
    search,
)
from trainer.day_scan import Scan
from trainer.importing import record
from trainer.importing.files import Scaled, files_of, scaled
from trainer.importing.model import Model, Paths, read_model
from trainer.importing.record import Imported, ImportedFile, imported_file
from trainer.importing.scale import norm_cap
from trainer.one_thread import one_thread
from trainer.settings import TrainerSettings
from trainer.training_days import Day, Topic, day_chunks, find_day, open_topic, with_samples

Progress = Callable[[str, int, int], None]
QUIET: Progress = lambda what, done, total: None  # noqa: E731
MOST_SHARPENED = max(each["sharpness"] for each in SHARPNESS[0])


@dataclass(frozen=True)
class ImportPlan:
    """What to import: files of a model that was trained on `days` (YYYY-MM-DD, or spans, in order) of a topic or more.

    The end of the last day is the cut: what comes later is learned online. `calibrate_on`: a day after them (empty:
    none); `settings_of`: the id of another import whose settings and temperature are taken (empty: none).
    """

    topic: str
    days: tuple[str, ...]
    paths: Paths
    score: Literal["cosine", "dot"]
    temperature: float
    calibrate_on: str
    settings_of: str
    settings: TrainerSettings


@dataclass(frozen=True)
class _Start:
    """Step 1's finding. `contents`: the files' bytes, `named`: what is told of them."""

    topic: Topic
    days: list[Day]
    contents: dict[str, bytes]
    named: dict[str, ImportedFile]
    base_id: str
    settings_of: OpenBase | None
    calibrated_on: Day | None


def import_model(layout: Layout, plan: ImportPlan, progress: Progress = QUIET) -> OpenBase:
    """Make a base of a model, or return it where the same was imported before.

    `progress` gets what is done, how far it is, and how far it goes. Raises `UsageError` for a model that does not fit,
    with the reason, `MissingInput` for a file or a day that is not there, `TooLarge`, `Corrupt` for a damaged base.
    """
    # Step 1: read
    start, store = _find(layout, plan), BaseStore(layout)
    if start.base_id in store.ids():
        there = store.open(start.base_id)
        there.verify()
        return there
    with one_thread():
        # Step 2: check the model
        model = read_model(plan.paths, start.contents, plan.score)
        # Step 3: scan
        half_life = plan.settings.online.half_life_ms
        scan = _scan(start, model, half_life, progress)
        # Step 4: settings
        calibration, temperature = _chosen(layout, plan, start, (model, scan), progress)
        trial = calibration.chosen
        if trial.online.half_life_ms != half_life:
            scan = _scan(start, model, trial.online.half_life_ms, progress)
        # Step 5: files
        found = scaled(model, model.towers(plan.score, temperature))
        files = _files(plan, start, found, scan)
    files[CALIBRATION] = msgspec.json.encode(calibration.tried)
    # Step 6: the commit
    return store.write(_manifest(plan, start, found, (scan, calibration)), files)


def _find(layout: Layout, plan: ImportPlan) -> _Start:
    settings, contents = plan.settings, plan.paths.contents()
    if not plan.days:
        raise UsageError("no day of the model", hint="Give at least one --day YYYY-MM-DD: those it was trained on.")
    topic = open_topic(layout, plan.topic)
    days = [find_day(topic, name, settings.day_zone) for name in plan.days]
    with_samples(topic, days)
    lineage.check_contiguous(None, days)
    later = find_day(topic, plan.calibrate_on, settings.day_zone) if plan.calibrate_on else None
    if later and later.first != days[-1].next:
        raise UsageError(
            f"the model is not calibrated on {plan.calibrate_on}: that is not the day after {plan.days[-1]}",
            hint="Name the day after its own: the model must not have seen it, and is meant to be fresh.",
        )
    other = BaseStore(layout).open(plan.settings_of) if plan.settings_of else None
    if other:
        _check_alike(other, plan)
    named = {name: imported_file(getattr(plan.paths, name).name, data) for name, data in contents.items()}
    what = (
        {name: each.sha256 for name, each in named.items()},
        (plan.score, plan.temperature, other.digest if other else ""),
        (topic.topic_id, settings.day_zone, plan.days, days[0].first, days[-1].next),
        (plan.calibrate_on, later.next if later else ()),
        (settings.online.model_dump(), settings.publish_interval_ms),
    )
    date = last_date(plan.days[-1], settings.day_zone)
    digest = hashlib.sha256(msgspec.json.encode(what, order="sorted")).hexdigest()
    return _Start(topic, days, contents, named, f"{date}-{digest[:8]}", other, later)


def _check_alike(other: OpenBase, plan: ImportPlan) -> None:
    score = record.of_base(other).score
    if score != plan.score:
        raise UsageError(
            f"base {plan.settings_of} was imported with --score {score}, this one is {plan.score}",
            hint="Settings only fit a model of the same kind: calibrate this one with --calibrate-on.",
        )


def _scan(start: _Start, model: Model, half_life_ms: int, progress: Progress) -> Scan:
    """Read the days; users are those of the model and, behind them, others who clicked."""
    scan = Scan(None, (half_life_ms, start.days[-1].end), 0)
    scan.users.of(model.users)
    for day in start.days:
        for chunk in day_chunks(start.topic, day, partial(progress, f"read {day.name}")):
            scan.add(chunk)
    return scan


def _chosen(
    layout: Layout, plan: ImportPlan, start: _Start, what: tuple[Model, Scan], progress: Progress
) -> tuple[Calibration, float]:
    """Return the settings, and the temperature."""
    if start.settings_of:
        manifest = start.settings_of.manifest
        return nothing(Trial(manifest.online, manifest.own_scale)), manifest.towers.temperature
    given = Trial(plan.settings.online.chosen(), 1.0)
    if not start.calibrated_on:
        return nothing(given), plan.temperature
    model, scan = what
    found = scaled(model, model.towers(plan.score, plan.temperature))
    cap = norm_cap(given.online.norm_cap, found.own, MOST_SHARPENED)
    scratch = Layout(layout.unfinished_base(start.base_id, secrets.token_hex(6)))
    trial = given.changed({"norm_cap": cap, "common_step": 0.0, "own_step": 0.0})  # steps have to earn their place
    try:
        made = _manifest(plan, start, found, (scan, nothing(trial)))
        base = BaseStore(scratch).write(made, _files(plan, start, found, scan))
        names = (start.topic.name, base.manifest.base_id, plan.days[-1], plan.calibrate_on, plan.settings.day_zone)
        yesterday = Yesterday(layout, *names, plan.settings.publish_interval_ms, scratch)
        with Trials(yesterday) as trials:
            calibration = search(trials, trial, OF_IMPORTS, partial(progress, f"calibrate on {plan.calibrate_on}"))
    finally:
        shutil.rmtree(scratch.root, ignore_errors=True)
    return calibration, plan.temperature / calibration.chosen.sharpness


def _files(plan: ImportPlan, start: _Start, found: Scaled, scan: Scan) -> dict[str, bytes]:
    linear, scale, other = found.model.linear, found.scale, start.settings_of
    theirs = record.of_base(other) if other else None
    told = Imported(
        files=start.named,
        score=plan.score,
        temperature=found.towers.temperature,
        user_scale=scale.users,
        item_scale=scale.items,
        folded=linear.matrix is not None,
        deviation=linear.deviation,
        calibrated_on=theirs.calibrated_on if theirs else plan.calibrate_on,
        settings_of=(theirs.settings_of if theirs else "") or plan.settings_of,
    )
    return {**files_of(found, scan), IMPORT: record.encode(told)}


def _manifest(plan: ImportPlan, start: _Start, found: Scaled, how: tuple[Scan, Calibration]) -> Base:
    (scan, calibration), end = how, start.days[-1].end
    online, counts = calibration.chosen.online, {"samples": scan.samples, "users": len(scan.users)}
    given = {"users_given": len(found.own), "items": len(found.model.items.ids)}
    return Base(
        base_id=start.base_id,
        parent="",
        parent_digest="",
        topic=start.topic.name,
        topic_id=start.topic.topic_id,
        partitions=len(start.topic.chains),
        cut=start.days[-1].next,
        cut_watermark=end,
        days=plan.days,
        day_zone=plan.settings.day_zone,
        towers=found.towers,
        online=msgspec.structs.replace(online, norm_cap=norm_cap(plan.settings.online.norm_cap, found.own)),
        trend_t0=end,
        cpu_family=bases.cpu_family(),
        seed=0,
        metrics={
            **{name: float(count) for name, count in (counts | given).items()},
            "calibration_recall20_active": calibration.recall,
        },
        own_scale=calibration.chosen.own_scale,
    )
