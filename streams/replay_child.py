"""One child process of a replay: owns some partitions, folds what its parent hands over, or what it reads from Kafka.

`python -m streams.replay_child`, started by `streams.replay_processes` alone. It ends when its parent closes the pipe
or dies; whatever it has not committed by then, the next run reads again.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from contracts.collector import collect_seldom
from contracts.errors import FreshetError
from contracts.layout import Layout
from streams.inspection import partition_facts
from streams.replay import Owner
from streams.replay_frames import Batch, Begin, Failed, Finish, Folded, FromChild, Ready, Told, frame, read_to_child


def main() -> int:
    """Do as the first message says; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    collect_seldom()
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    try:
        _obey(lambda message: _send(answers, message))
    except BrokenPipeError:
        return 1  # the parent has died
    except FreshetError as error:
        return _fail(answers, Failed(str(error), error.hint, error.exit_code))
    except OSError as error:
        hint = "See to the disk and the memory of this machine, then run the same command again: it goes on from here."
        return _fail(answers, Failed(f"the shards cannot be written: {error}", hint, 1))
    return 0


def _obey(tell: Callable[[FromChild], None]) -> None:
    begin = read_to_child(sys.stdin.buffer)
    if not isinstance(begin, Begin):
        return
    layout = Layout(Path(begin.root))
    if begin.spans:
        from streams.replay_kafka import fold_spans  # a file is folded without a client of Kafka in memory

        digests = fold_spans(layout, begin, tell)
    else:
        digests = _fold_batches(layout, begin, tell)
    for partition, digest in digests.items():
        tell(Told(partition_facts(layout, begin.topic.name, partition, digest)))


def _fold_batches(layout: Layout, begin: Begin, tell: Callable[[FromChild], None]) -> dict[int, str]:
    """Fold what is handed over; return the digest over the samples of each partition, none if the parent is gone."""
    owner = Owner(layout, begin.topic, begin.rules, begin.partitions)
    try:
        tell(Ready(owner.expected))
        while isinstance(message := read_to_child(sys.stdin.buffer), Batch):
            owner.feed(message.partition, message.first, message.values)
            tell(Folded(len(message.values)))
        return owner.digests if isinstance(message, Finish) else {}
    finally:
        owner.close()


def _fail(pipe: int, failed: Failed) -> int:
    with suppress(BrokenPipeError):  # nobody listens any more
        _send(pipe, failed)
    return failed.exit_code


def _send(pipe: int, message: FromChild) -> None:
    data = memoryview(frame(message))
    while data:
        data = data[os.write(pipe, data) :]


if __name__ == "__main__":
    sys.exit(main())
