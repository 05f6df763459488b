"""Easy and hard negatives, and the mistake of taking what was shown and not clicked for negatives.

On the synthetic log, whose maker knows what each user liked most at each moment. The product's samples carry what
ranking rejected and nothing else; the wrong ones are made by `trainer.experiments.wrong_samples`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from contracts.errors import UsageError
from contracts.layout import Layout
from trainer.evaluation.arms import FRESH, FROZEN_SHRUNK, makers
from trainer.evaluation.judge import judge_one
from trainer.experiments.bench import Bench
from trainer.experiments.runs import Found, Run
from trainer.experiments.truth import AgainstTruth, Truth, read_truth
from trainer.experiments.wrong_samples import write_wrong
from trainer.one_thread import one_thread

ARMS = (FROZEN_SHRUNK, FRESH)
WRONG, TRUTH = "shown-not-clicked", "truth.safetensors"
SHARES = (0.5, 0.25, 0.75, 1.0)


def runs(bench: Bench) -> Sequence[Run]:
    """Return mixes of easy and hard negatives, right and wrong. Raises `UsageError` for any but a synthetic log."""
    if not bench.words or any(word.startswith("--data") for word in bench.words):
        raise UsageError(
            "`negatives` needs a synthetic log: no other one knows what its users truly like",
            hint="Leave --data and --root out, or give the synthetic log's options, like --mix 0.2.",
        )
    sides = _Sides(bench)
    found = [Run("easy alone", "drawn negatives, no hard ones", partial(sides.right, 0.0))]
    for share in SHARES:
        part = f"{share:.0%} of the loss on"
        found += [
            Run(f"rejected {share:g}", f"{part} what ranking rejected", partial(sides.right, share)),
            Run(f"shown {share:g}", f"{part} what was shown and not clicked", partial(sides.wrong, share)),
        ]
    return found


@dataclass(frozen=True)
class _Sides:
    """Runs on the right samples and on the wrong ones of one log; the latter are made when they are first needed."""

    bench: Bench

    def right(self, share: float, seed: int) -> Mapping[str, Found]:
        """Train with a share of hard negatives, and judge."""
        return _made(self.bench.told(retrain={"hard_share": share}), self._truth, seed)

    def wrong(self, share: float, seed: int) -> Mapping[str, Found]:
        """The same with wrong samples."""
        return _made(self._wrong.told(retrain={"hard_share": share}), self._truth, seed)

    @cached_property
    def _truth(self) -> Truth:
        return read_truth(self.bench.folder.experiment(TRUTH), self.bench.words)

    @cached_property
    def _wrong(self) -> Bench:
        bench = self.bench
        layout = Layout(bench.folder.experiment(WRONG))
        write_wrong(bench.folder, layout, bench.plan.topic, self._truth)
        return replace(bench, plan=replace(bench.plan, layout=layout))


def _made(bench: Bench, truth: Truth, seed: int) -> Mapping[str, Found]:
    bases = bench.nights(seed)
    stage, choices = bench.stage(bases[-1]), bench.choices(bases, ARMS)
    likes = truth.likes(stage.ground.day.samples, bases[-1])
    found, made = dict[str, Found](), makers(stage, choices, seed, quick=True)
    with one_thread():
        for name in ARMS:
            arm = AgainstTruth(made[name](), stage.day, likes)
            found[name] = Found(judge_one(arm, stage.day), arm.shares)
            bench.progress("judge the arms", len(found), len(ARMS))
    return found
