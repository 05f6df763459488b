"""A replay's partitions in child processes: started here, fed through pipes, and never outliving this process.

A pipe holds so much; when it is full, handing over waits for the child: the log is read no faster than it is folded.
A child that ends too early ends the replay, by name; what its shards lack then the next run folds.
"""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from contracts.errors import ProcessFailed
from contracts.layout import Layout
from streams.inspection import PartitionFacts
from streams.records import Topic
from streams.replay import Rules
from streams.replay_frames import (
    Batch,
    Begin,
    Failed,
    Finish,
    Folded,
    FromChild,
    Ready,
    ToChild,
    Told,
    frame,
    take_from_child,
)

_PIPE_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_PATIENCE_S = 10


class Children:
    """So many processes, each with its share of the partitions; a `streams.replay.Folding`.

    The children recover their partitions while this process goes on. Call `close` in any case: it ends them all.
    Every method raises `ProcessFailed` where a child has ended too early: with its own error and exit code if it had
    the time to say one.
    """

    def __init__(self, begin: Begin, processes: int) -> None:
        self._folded = 0
        self._facts: dict[int, PartitionFacts] = {}
        shares = [begin.partitions[first::processes] for first in range(min(processes, len(begin.partitions)))]
        self._children = [_Child(_share(begin, share)) for share in shares]
        self._owners = {partition: child for child in self._children for partition in child.partitions}

    @property
    def expected(self) -> dict[int, int]:
        """The next offset that each partition wanted when its child was ready; waits until all are."""
        self._hear_until(lambda: all(child.ready for child in self._children))
        return {partition: offset for child in self._children for partition, offset in child.expected.items()}

    @property
    def folded(self) -> int:
        """How many records the children have folded."""
        return self._folded

    def feed(self, partition: int, first: int, values: Sequence[bytes]) -> None:
        """Hand over to the child that owns `partition`; waits while its pipe is full."""
        child = self._owners[partition]
        child.waiting += len(values)
        try:
            child.send(Batch(partition, first, list(values)))
        except BrokenPipeError:
            self._hear_until(lambda: False)  # tells why
        self._hear(0)

    def settle(self) -> None:
        """Return when every record that was handed over is folded, and every complete shard committed."""
        self._hear_until(lambda: not any(child.waiting for child in self._children))

    def follow(self, progress: Callable[[], None]) -> None:
        """Return when every child has folded and committed its spans, which it reads by itself."""
        while not all(child.last for child in self._children):
            self._hear(1)
            progress()

    def finish(self) -> list[PartitionFacts]:
        """Tell the children that there is no more; return what the shards of each partition hold, digested by them."""
        for child in self._children:
            with suppress(BrokenPipeError):  # it has read its spans, and may have ended; or it is heard of below
                child.send(Finish())
        self._hear_until(lambda: len(self._facts) == len(self._owners))
        return [facts for _, facts in sorted(self._facts.items())]

    def close(self) -> None:
        """End all children; what they have not committed is read again by the next run."""
        for child in self._children:
            child.hang_up()
        for child in self._children:
            child.end()

    def _hear_until(self, done: Callable[[], bool]) -> None:
        while not done():
            self._hear(None)

    def _hear(self, timeout: float | None) -> None:
        """Take what the children say, waiting so many seconds for the first word. Raises `ProcessFailed`."""
        ready, _, _ = select.select([child for child in self._children if child.to_tell], [], [], timeout)
        for child in ready:
            for message in child.receive():
                self._take(child, message)

    def _take(self, child: _Child, message: FromChild) -> None:
        match message:
            case Ready():
                child.expected, child.ready = message.expected, True
            case Folded():
                child.waiting -= message.records
                child.last = message.last
                self._folded += message.records
            case Told():
                self._facts[message.facts.partition] = message.facts
                child.to_tell -= 1
            case Failed():
                raise ProcessFailed(message.message, hint=message.hint, exit_code=message.exit_code)


class _Child:
    """One process and the two pipes to it.

    `waiting`: records handed over that it has not folded yet. `to_tell`: partitions whose facts it has not told yet.
    """

    def __init__(self, begin: Begin) -> None:
        self.partitions = begin.partitions
        self.expected: dict[int, int] = {}
        self.ready = self.last = False
        self.waiting, self.to_tell = 0, len(begin.partitions)
        self._received = bytearray()
        its_input, self._to = os.pipe()
        self._from, its_output = os.pipe()
        _widen(self._to)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streams.replay_child"], stdin=its_input, stdout=its_output, env=_environment()
        )
        os.close(its_input)
        os.close(its_output)
        with suppress(BrokenPipeError):  # it is heard of when it is waited for
            self.send(begin)

    def fileno(self) -> int:
        """For `select`: readable when the child has said something or has ended."""
        return self._from

    def send(self, message: ToChild) -> None:
        """Write one message. Raises `BrokenPipeError` when the child has ended."""
        data = memoryview(frame(message))
        while data:
            data = data[os.write(self._to, data) :]

    def receive(self) -> list[FromChild]:
        """Return what it has said. Raises `ProcessFailed` when it has ended instead."""
        data = os.read(self._from, _READ_BYTES)
        self._received += data
        messages = take_from_child(self._received)
        if not data:
            raise self._died()
        return messages

    def hang_up(self) -> None:
        """Close the pipes to it, which tells it to end: whether it waits for more or has something to say."""
        os.close(self._to)
        os.close(self._from)

    def end(self) -> None:
        """Wait for its end; kill it if it takes too long."""
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _died(self) -> ProcessFailed:
        code = self._process.wait()
        what = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        which = ", ".join(map(str, self.partitions))
        return ProcessFailed(
            f"the process that folds partition {which} {what} before it was done",
            hint="Nothing is lost: run the same command again, it goes on where the shards end. Signal 9 without "
            "anybody's doing is mostly want of memory: try fewer --processes.",
            exit_code=1,
        )


def beginning(layout: Layout, topic: Topic, rules: Rules) -> Begin:
    """Return what children are told that fold all partitions of a log which this process reads."""
    return Begin(str(layout.root.absolute()), topic, rules, tuple(range(topic.partitions)))


def _share(begin: Begin, partitions: tuple[int, ...]) -> Begin:
    spans = {partition: begin.spans[partition] for partition in partitions if partition in begin.spans}
    return msgspec.structs.replace(begin, partitions=partitions, spans=spans)


def _widen(pipe: int) -> None:
    """Let a pipe hold more than the usual 64 KiB, where the system can: a child then has work while another is fed."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _environment() -> dict[str, str]:
    """Return the environment of a child: it finds our packages where this process has found them."""
    here = str(Path(__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))}
