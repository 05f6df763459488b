"""What drift of each kind looks like: `python -m examples.drift`.

Makes synthetic logs with a known change at noon of their last day, and a quiet one; trains a base on the days before;
has the online update fold the last day of each; prints what the drift records say, and draws the plots of
docs/drift.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from contracts import deltas
from contracts.arrays import Doubles
from contracts.bases import BaseStore, OpenBase
from contracts.days import bounds, day_of
from contracts.drift import Drift
from contracts.errors import FreshetError
from contracts.layout import Layout
from examples.changed_days import CHANGES, NOON, SETTINGS, changed
from streams.join import Windows
from streams.pipeline import Rotation
from streams.replay import Replay, Rules, log_topic
from streams.sources.synthetic_world import DAY_MS
from trainer.online import OnlineWorker
from trainer.progress import DayBars
from trainer.retrain import Progress, RetrainPlan, retrain
from trainer.settings import TrainerSettings

PARTITIONS, TICK_MS = 2, 900_000
HALF_HOURS = 48
QUIET = "quiet"
COLOURS = {QUIET: "#c3c8ce", "tastes": "#d1495b", "interest": "#4f86c6", "device": "#3a9d7a"}


@dataclass(frozen=True)
class Kind:
    """One kind of drift: what is plotted (`value`), and from where on its alert would fire, given a quiet day.

    `rule` is the condition as it stands in infra/prometheus/freshet.rules.yml.
    """

    name: str
    title: str
    value: Callable[[Drift], float]
    alarm: Callable[[Doubles], Doubles]
    rule: str


KINDS = (
    Kind(
        "rows",
        "median angle of touched rows (degrees)",
        lambda drift: drift.angle.p50 if drift.angle else np.nan,
        lambda quiet: np.maximum(1.3 * quiet, 10),
        "freshet_trainer:row_angle_degrees:least > 1.3 * (freshet_trainer:row_angle_degrees:least offset 1d)",
    ),
    Kind(
        "common-row",
        "distance of the common row",
        lambda drift: drift.common_distance,
        lambda quiet: np.maximum(1.5 * quiet, 2),
        "freshet_trainer:common_row_distance:least > 1.5 * (freshet_trainer:common_row_distance:least offset 1d)",
    ),
    Kind(
        "popularity",
        "popularity, above chance (bits)",
        lambda drift: drift.popularity.excess if drift.popularity else np.nan,
        lambda quiet: quiet + 0.1,
        "freshet_trainer:popularity_excess:least - (freshet_trainer:popularity_excess:least offset 1d) > 0.1",
    ),
    Kind(
        "context",
        "feature `device`, above chance (bits)",
        lambda drift: drift.discrete["device"].excess if drift.discrete else np.nan,
        lambda quiet: np.full(len(quiet), 0.1),
        "freshet_trainer:context_excess:avg > 0.1",
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the logs and measure them; return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.drift", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--root", type=Path, default=Path("var/drift"), help="where the logs go (default: var/drift)")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw the plots there, as SVG")
    given = parser.parse_args(argv)
    try:
        with DayBars() as bars:
            found = {name: measured(given.root, name, bars.advance) for name in CHANGES}
    except FreshetError as error:
        print(f"drift: {error}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    print_table(found)
    if given.plots:
        given.plots.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            path = given.plots / f"drift-{kind.name}.svg"
            plot(kind, {name: series(kind, each) for name, each in found.items()}, path)
            print(path)
    return 0


def measured(root: Path, name: str, progress: Progress) -> list[list[Drift]]:
    """Return the drift records of a log's last day, by half hour and partition; what is there is found again."""
    layout, source = Layout(root / name), changed(name)
    topic = log_topic(source, source.name, PARTITIONS, TICK_MS)
    replay, done = Replay(layout, topic, Rules(Windows(), Rotation(bucket_ms=TICK_MS))), 0

    def show() -> None:
        nonlocal done
        done += 1
        progress(f"log {name}", done, max(done, SETTINGS.total // 2048))

    replay.fold(source.records(PARTITIONS, TICK_MS), show)
    replay.close()
    base = _base(root, layout, progress)
    by_partition = [_folded(layout, base, partition)[:HALF_HOURS] for partition in range(PARTITIONS)]
    return [list(each) for each in zip(*by_partition, strict=True)]


def series(kind: Kind, found: Sequence[Sequence[Drift]]) -> Doubles:
    """Return one kind of drift by half hour, float64 [48], the mean of the partitions."""
    return np.array([np.mean([kind.value(drift) for drift in each]) for each in found])


def print_table(found: Mapping[str, Sequence[Sequence[Drift]]]) -> None:
    """Print each kind of each log before noon and at the end, and from when on its alert's condition holds.

    The quiet day stands for yesterday.
    """
    table = Table("kind", "log", "10 to 12 h", "20 to 24 h", "alert from", title="drift of the last day")
    for kind in KINDS:
        quiet = series(kind, found[QUIET])
        for name, each in found.items():
            now = series(kind, each)
            late = np.flatnonzero((now > kind.alarm(quiet)) & (np.arange(len(now)) >= 2 * NOON))
            since = f"{(late[0] + 1) / 2:g} h" if len(late) else "–"
            table.add_row(kind.name, name, f"{now[20:24].mean():.3f}", f"{now[40:].mean():.3f}", since)
        table.add_section()
    Console().print(table)


def plot(kind: Kind, lines: Mapping[str, Doubles], path: Path) -> None:
    """Draw one kind of drift over the day, a line for each log."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes, at = figure.subplots(), (np.arange(HALF_HOURS) + 1) / 2
    for name, values in lines.items():
        axes.plot(at, values, color=COLOURS[name], linewidth=6 if name == QUIET else 1.6, label=name)
    axes.plot(
        at, kind.alarm(lines[QUIET]), color="#1d2228", linewidth=1, linestyle=":", label="alert, if quiet was yesterday"
    )
    axes.axvline(NOON, color="#dfe3e8", linewidth=4, zorder=0)
    axes.set_xlim(0, 24)
    axes.set_xticks(range(0, 25, 3))
    axes.set_xlabel("hour of the day; the change is at noon")
    axes.set_ylabel(kind.title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, frameon=False, fontsize=9)
    with mpl.rc_context({"svg.hashsalt": "freshet", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _base(root: Path, layout: Layout, progress: Progress) -> OpenBase:
    """Return the base of the days before the last: they are the same in every log, so it is trained once."""
    first = Layout(root / QUIET)
    start, _ = bounds(SETTINGS.first_day, "UTC")
    days = tuple(day_of(start + day * DAY_MS, "UTC") for day in range(SETTINGS.days - 1))
    base = retrain(first, RetrainPlan("drift", days, "", TrainerSettings.load()), progress)
    if layout != first and not layout.base(base.manifest.base_id).exists():
        shutil.copytree(first.base(base.manifest.base_id), layout.base(base.manifest.base_id))
    return BaseStore(layout).open(base.manifest.base_id)


def _folded(layout: Layout, base: OpenBase, partition: int) -> list[Drift]:
    worker = OnlineWorker(layout, base, "drift", partition, TrainerSettings.load())
    worker.advance()
    worker.close()
    chain = deltas.chain(layout, base.manifest.base_id, partition)
    return [drift for entry in chain.entries() if (drift := deltas.drift_of(chain, entry))]


if __name__ == "__main__":
    sys.exit(main())
