"""`freshet serve` under load: requests/s and latencies over HTTP by number of clients, and while versions are swapped.

The process is the command as it is started. Clients are threads of this process, each with a connection of its own that
is kept. The peer asks Milvus by pymilvus bare with ready vectors, from as many threads. Then 50 versions are published
while clients ask at half the highest rate: every answer must be of one version and none an error.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.figures import Comparison, Figure, compared, this_machine
from benchmarks.results import REPOSITORY
from benchmarks.rounds import Say
from benchmarks.served_site import BarePymilvus, ServedSite, queries, served_site
from contracts.errors import FreshetError
from infra.ports import free_ports
from infra.processes import Program, ServerProcess
from serving.retriever import Retriever

ITEMS, QUICK_ITEMS, SECONDS, QUICK_SECONDS, VERSIONS, K = 100_000, 5_000, 10.0, 1.5, 50, 20
CLIENTS = (1, 4, 16)
START_PATIENCE_S, PACE_S = 60.0, 1.0
PEER = "pymilvus bare with a ready vector"


@dataclass
class Load:
    """What clients saw: seconds of each answer, the versions in the order in which each client met them, errors."""

    took: list[float] = field(default_factory=list)
    versions: list[list[int]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.took) / self.seconds

    def percentile(self, which: float) -> float:
        """Return a percentile of the latencies in ms."""
        return float(np.percentile(self.took, which)) * 1000


def measure(quick: bool, say: Say) -> list[Figure]:
    """Start the server, load it, and swap versions under load."""
    seconds, machine = QUICK_SECONDS if quick else SECONDS, this_machine()
    figures = []
    with served_site(QUICK_ITEMS if quick else ITEMS, say) as site, _server(site) as port:
        retriever = Retriever(site.layout, site.settings())
        ready, bare = queries(retriever, site.users[:1000]), BarePymilvus(site, retriever)
        best, rest = 0.0, Load()
        for clients in CLIENTS:
            ours = _loaded(clients, seconds, _asking(site, port))
            peer = _loaded(clients, seconds, lambda number: _bare(bare, ready, number))
            say(
                f"{clients} clients: {ours.rate:.0f}/s, p50 {ours.percentile(50):.2f}, p99 {ours.percentile(99):.2f} ms"
            )
            mine, theirs = (f"p50 {load.percentile(50):.2f}, p99 {load.percentile(99):.2f} ms" for load in (ours, peer))
            note = f"{mine}; peer {theirs}."
            what = Comparison(f"answers over HTTP, {clients} client{'s' * (clients > 1)}", "requests/s", PEER)
            figures.append(compared(what, [ours.rate], [peer.rate], machine, note))
            best = max(best, ours.rate)
        pace = 4 / (best / 2)
        rest = _loaded(4, seconds, _asking(site, port, pace))
        swapped = _swapped(site, port, pace)
        retriever.close()
    figures.append(_swap_figure(rest, swapped, best))
    return figures


def _swap_figure(rest: Load, swapped: Load, best: float) -> Figure:
    if swapped.errors or any(seen != sorted(seen) for seen in swapped.versions):
        raise FreshetError(f"answers while versions were swapped: {swapped.errors[:3]}, or a version that went back")
    what = Comparison(
        "p99 over HTTP while 50 versions are published, one a second",
        "ms",
        "at rest",
        1 / 2,
        1 / 1.2,
        less_is_better=True,
    )
    met = len({version for seen in swapped.versions for version in seen})
    rate = f"4 clients at {rest.rate:.0f} requests/s, half of {best:.0f}"
    note = f"{rate}; {len(swapped.took)} answers of {met} versions, no error, no client went back to an older one."
    return compared(what, [swapped.percentile(99)], [rest.percentile(99)], this_machine(), note)


def _swapped(site: ServedSite, port: int, pace: float) -> Load:
    """Load the server while another process publishes versions, until all of them were."""
    ended, folder = threading.Event(), str(site.layout.root)
    arguments = ["--folder", folder, "--uri", site.uri, "--versions", str(VERSIONS), "--pace", str(PACE_S)]
    command = [sys.executable, "-m", "benchmarks.served_site", *arguments]
    publisher = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if publisher.stdout is None or publisher.stdout.readline() != "ready\n":
        raise FreshetError("the publisher did not start")

    def wait() -> None:
        publisher.communicate("go\n")
        ended.set()

    threading.Thread(target=wait).start()
    found = _loaded(4, 600.0, _asking(site, port, pace), ended)
    if publisher.returncode:
        raise FreshetError("the publisher failed")
    return found


Ask = Callable[[int], Iterator[tuple[int, str]]]


def _asking(site: ServedSite, port: int, pace: float = 0.0) -> Ask:
    """Return a client that asks over one kept connection, not sooner than every `pace` seconds; it yields versions."""
    bodies = [json.dumps({"user_id": user, "k": K}).encode() for user in site.users[:5000]]

    def ask(number: int) -> Iterator[tuple[int, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        due, at = time.perf_counter(), number * 997
        while True:
            if pace:
                due += pace
                time.sleep(max(0.0, due - time.perf_counter()))
                yield -1, ""  # what follows is timed
            connection.request("POST", "/retrieve", bodies[at % len(bodies)])
            answer = connection.getresponse()
            body = answer.read()
            found = json.loads(body) if answer.status == 200 else {}
            fault = "" if len(found.get("items", ())) == K else f"{answer.status} {body[:200]!r}"
            yield found.get("version", 0), fault
            at += 1

    return ask


def _bare(
    bare: BarePymilvus, ready: np.ndarray[tuple[int, int], np.dtype[np.float32]], number: int
) -> Iterator[tuple[int, str]]:
    at = number * 97
    while True:
        yield len(bare.search(ready[at % len(ready)], K)), ""
        at += 1


def _loaded(clients: int, seconds: float, ask: Ask, ended: threading.Event | None = None) -> Load:
    """Let so many clients ask for so long, or until `ended`."""
    found, lock = Load(), threading.Lock()
    until = time.perf_counter() + seconds

    def client(number: int) -> None:
        took, versions, errors = list[float](), list[int](), list[str]()
        asking = ask(number)
        while time.perf_counter() < until and not (ended and ended.is_set()):
            started = time.perf_counter()
            version, error = next(asking)
            if version == -1:
                started = time.perf_counter()
                version, error = next(asking)
            took.append(time.perf_counter() - started)
            versions.append(version)
            errors += [error] if error else []
        with lock:
            found.took += took
            found.versions.append(versions)
            found.errors += errors

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.seconds = time.perf_counter() - started
    if found.errors and ended is None:
        raise FreshetError(f"answers under load: {found.errors[:3]}")
    return found


@contextmanager
def _server(site: ServedSite) -> Iterator[int]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "freshet", "serve", "--root", str(site.layout.root), "--port", str(port)]
    environment = {"MILVUS_URI": site.uri, "FRESHET_SERVING_CACHED_VECTORS": "0"}
    program = Program("freshet serve", command, Path(site.layout.root) / "serve.log", REPOSITORY, environment)
    process = ServerProcess(program)
    process.start(lambda: _ready(port), START_PATIENCE_S)
    try:
        yield port
    finally:
        process.stop(10.0)


def _ready(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
