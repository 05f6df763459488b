"""Headline figures: records/s from a real Kafka through our agent to committed shards, one process, against peers.

Ours is the `freshet streams worker` process: fetch, decode, join, encode, commit with its fsyncs. Every peer is one
process too, reads the same topic and decodes the same values, and does no more than its file says. No start counts:
ours is timed from its first commit (of the warm-up clicks that the log begins with) to its last, a peer from its first
record on. Two mixes: (a) clicks alone; (b) one click to five requests, each with 20 shown items and 5 rejected ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.click_log import REJECTED, SHOWN, ClickLog
from benchmarks.figures import Comparison, Figure, compared, this_machine
from benchmarks.rounds import Say, interleaved
from benchmarks.runs import PARTITIONS, Site, fill, need, our_rate, peer_rate, site

RECORDS_PER_S = 10_000  # of the log's own time: shards rotate by their 4,096 samples, as under full load
REQUESTS = 5
FAUST, QUIX, BYTEWAX = "plain Faust agent", "Quix Streams, stateful no-op", "Bytewax, no-op"
MODULES = {FAUST: "plain_agent", QUIX: "quix_noop", BYTEWAX: "bytewax_noop"}
_WHAT = "from Kafka to committed shards, one process"
OF_CLICKS = (
    Comparison(f"(a) click events {_WHAT}", "events/s", FAUST, must=10.0, aim=20.0),
    Comparison(f"(a) click events {_WHAT}", "events/s", QUIX, must=1.5),
    Comparison(f"(a) click events {_WHAT}", "events/s", BYTEWAX, aim=1.0),
)
OF_REQUESTS = (Comparison(f"(b) clicks and requests {_WHAT}", "records/s", FAUST, must=10.0, aim=20.0),)
NOTES = {
    FAUST: "an agent as its documentation writes it, values decoded by our own decoder, the faster one",
    QUIX: "its JSON deserializer (orjson), a counter per user in its default state: RocksDB with a changelog topic",
    BYTEWAX: "its Kafka input in batches of 1,000, one worker, a step that decodes with orjson and does nothing else",
}


@dataclass(frozen=True)
class Load:
    """How many records ours reads, how many each peer reads of the same topic, and how often.

    A peer that is slower and steady reads fewer; each rate is over its own count.
    """

    records: int
    peers: dict[str, int]
    rounds: int


FULL = Load(1_200_000, {FAUST: 60_000, QUIX: 150_000, BYTEWAX: 900_000}, 5)
QUICK = Load(24_000, {FAUST: 3_000, QUIX: 3_000, BYTEWAX: 20_000}, 1)


def clicks_alone(load: Load) -> ClickLog:
    """Return the log of mix (a)."""
    return ClickLog(load.records, load.records * 1000 // RECORDS_PER_S)


def with_requests(load: Load) -> ClickLog:
    """Return the log of mix (b): half as many records, each several times as long."""
    records = load.records // 2
    return ClickLog(records // (1 + REQUESTS), records * 1000 // RECORDS_PER_S, REQUESTS)


def measure(quick: bool, say: Say) -> list[Figure]:
    """Measure on a broker of its own. Raises `MissingServer` where none can be started, `MissingInput` for a peer."""
    need("quixstreams", "bytewax", "confluent_kafka")
    load = QUICK if quick else FULL
    with site(say) as where:
        of_clicks = _measured(where, clicks_alone(load), OF_CLICKS, load, say)
        return of_clicks + _measured(where, with_requests(load), OF_REQUESTS, load, say)


def _measured(where: Site, log: ClickLog, what: tuple[Comparison, ...], load: Load, say: Say) -> list[Figure]:
    topic = "requests" if log.requests else "clicks"
    fill(where, topic, log.records(PARTITIONS), log.count, say)
    sides: dict[str, Callable[[], float]] = {"ours": lambda: our_rate(where, topic, log)}
    for comparison in what:
        sides[comparison.peer_name] = _side(where, topic, comparison.peer_name, load)
    found = interleaved(sides, load.rounds, say)
    machine = this_machine()
    return [
        compared(of, found["ours"], found[of.peer_name], machine, _note(log, of.peer_name, load.peers[of.peer_name]))
        for of in what
    ]


def _side(where: Site, topic: str, peer: str, load: Load) -> Callable[[], float]:
    return lambda: peer_rate(where, MODULES[peer], topic, load.peers[peer])


def _note(log: ClickLog, peer: str, peer_records: int) -> str:
    requests = f"One click to {log.requests} requests, each with {SHOWN} shown and {REJECTED} rejected items"
    mix = f"{requests}; the click names one of them" if log.requests else "Clicks alone, with a context of two features"
    return (
        f"{mix}; an event id on each click; JSON, lz4, {PARTITIONS} partitions. Ours: {log.count:,} records, from the "
        f"first commit to the last, join and fsync included. Peer: {NOTES[peer]}; it reads {peer_records:,} records "
        "of the same topic, its rate being over its own count."
    )
