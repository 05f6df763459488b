"""`python -m tests.torture`: play rounds, and say how to play a broken one again. Exit code 1 if one was broken."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence

from contracts.errors import FreshetError
from infra.kafka.choose import Broker, install_servers, start_broker
from tests.support.workers import REPOSITORY
from tests.torture.bench import Bench
from tests.torture.plan import FAULTS, WORKERS, Plan, plan
from tests.torture.round import Outcome, Round

FOLDER = REPOSITORY / "var" / "torture"
LOG_END = 1_500


def main(argv: Sequence[str]) -> int:
    """Play the rounds; broken ones keep their folder."""
    arguments = _parser().parse_args(argv)
    plans = [plan(arguments.seed + number, arguments.fault, arguments.workers) for number in range(arguments.rounds)]
    try:
        install_servers(_say)
        broker = start_broker(_say)
    except FreshetError as error:
        print(f"{error} {error.hint}".strip(), file=sys.stderr)
        return error.exit_code
    try:
        return _play_all(broker, plans)
    except KeyboardInterrupt:
        return 130
    finally:
        broker.close()


def _play_all(broker: Broker, plans: Sequence[Plan]) -> int:
    begun, struck, kills, broken = time.monotonic(), Counter[str](), 0, list[Plan]()
    for number, planned in enumerate(plans, start=1):
        label = f"round {number}/{len(plans)}  seed {planned.seed}  {planned.title}"
        outcome = _played(broker, planned, label)
        if outcome is None:
            broken.append(planned)
            continue
        struck.update(fault.name for fault in planned.faults)
        kills += outcome.kills
    seconds = time.monotonic() - begun
    print(f"\n{len(plans)} rounds, {len(broken)} broken, {kills} workers killed or stopped, {seconds:.0f} s")
    print("faults that struck: " + ", ".join(f"{name} {count}" for name, count in sorted(struck.items())))
    for planned in broken:
        print(f"broken: {planned.command}")
    return 1 if broken else 0


def _played(broker: Broker, planned: Plan, label: str) -> Outcome | None:
    """Play one round and print its line; None when it was broken."""
    folder = FOLDER / f"{planned.seed}-{planned.fault}"
    shutil.rmtree(folder, ignore_errors=True)
    begun = time.monotonic()
    try:
        outcome = Round(planned, Bench(broker), folder).play()
    except Exception:
        print(f"{label}  BROKEN after {time.monotonic() - begun:.1f} s\n{traceback.format_exc()}")
        for log in sorted((folder / "run").glob("worker-*.log")):
            print(f"--- {log}\n{log.read_text(errors='replace')[-LOG_END:]}")
        print(f"folder: {folder}", flush=True)
        return None
    shutil.rmtree(folder)
    counts = f"{outcome.records} records, {outcome.shards} shards, {outcome.kills} kills"
    print(f"{label}  {counts}  {outcome.ended}  {time.monotonic() - begun:.1f} s", flush=True)
    for note in outcome.notes:
        print(f"    {note}", flush=True)
    return outcome


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture",
        description="Play rounds: workers on a real Kafka, faults while records flow, and in the end the samples of an "
        "undisturbed fold, or the refusal that has a name. The seed of a round is in its line: "
        "`--rounds 1 --seed N` plays it again.",
        epilog="faults: " + ", ".join(FAULTS),
    )
    parser.add_argument("--rounds", type=int, default=20, help="how many rounds (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first round; each round adds one (default: 1)")
    parser.add_argument("--fault", default="", choices=["", *FAULTS], help="this fault in every round", metavar="NAME")
    parser.add_argument(
        "--workers", type=int, choices=range(2, 9), default=WORKERS, help=f"worker processes (default: {WORKERS})"
    )
    return parser


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
