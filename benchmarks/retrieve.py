"""Headline figure: a retrieval in process, against pymilvus called bare with a ready vector on the same server.

Ours looks up rows, runs the user tower, searches for as many items more as the ring may take away, scores the trending
items and leaves out the ring. Beside it: the index alone, against exact search, hnswlib and Faiss.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import faiss
import hnswlib
import numpy as np

from benchmarks.figures import Comparison, Figure, Machine, compared, this_machine
from benchmarks.rounds import Say
from benchmarks.runs import need
from benchmarks.served_site import EFFORT, BarePymilvus, ServedSite, queries, served_site
from contracts.arrays import Floats, Integers
from publisher import item_index
from publisher.item_index import ItemIndex
from publisher.settings import IndexKind, PublisherSettings
from serving.exact_search import ExactSearch
from serving.item_search import ItemSearch
from serving.retriever import Retriever
from serving.settings import ServingSettings

ITEMS, QUICK_ITEMS, ASKED, ROUNDS, K, TOP = 100_000, 5_000, 1_000, 5, 20, 100
RECALL_OF, LINKS = 200, PublisherSettings().hnsw_links
PEER = "pymilvus bare with a ready vector"
P50 = Comparison("retrieve, 100,000 items, in process, p50", "ms", PEER, 1 / 1.3, 1 / 1.1, less_is_better=True)
P99 = Comparison("retrieve, 100,000 items, in process, p99", "ms", PEER, 1 / 1.5, 1 / 1.1, less_is_better=True)
RECALL = Comparison("recall@100 of the index, HNSW, against exact search", "", "exact search", 0.98, 0.995)


def measure(quick: bool, say: Say) -> list[Figure]:
    """Measure in this process, beside a Milvus server."""
    need("faiss", "hnswlib")
    machine, asked = this_machine(), ASKED // 10 if quick else ASKED
    with served_site(QUICK_ITEMS if quick else ITEMS, say) as site:
        retriever = Retriever(site.layout, site.settings())
        found = _latencies(site, retriever, asked, say, machine)
        found += _indexes(site, retriever, say, machine)
        retriever.close()
    return found


def _latencies(site: ServedSite, retriever: Retriever, asked: int, say: Say, machine: Machine) -> list[Figure]:
    """Ask ours and the peer in turn, one by one."""
    bare, users = BarePymilvus(site, retriever), site.users
    ready = queries(retriever, users[:asked])
    percentiles: dict[str, list[list[float]]] = {"ours": [], "bare": []}
    for number in range(ROUNDS + 1):
        took: dict[str, list[float]] = {"ours": [], "bare": []}
        for at in range(asked):
            took["bare"].append(_timed(lambda at=at: bare.search(ready[at], K)))  # type: ignore[misc]
            took["ours"].append(_timed(lambda at=at: retriever.retrieve(users[at], K)))  # type: ignore[misc]
        if number:  # the first round warms both
            for name, times in took.items():
                percentiles[name].append(np.percentile(times, [50, 99]).tolist())
            say(f"round {number} of {ROUNDS}: ours {percentiles['ours'][-1]}, bare {percentiles['bare'][-1]} ms")
    answer = retriever.retrieve(users[0], K)
    steps = ", ".join(f"{step} {took}" for step, took in answer.milliseconds.items())
    trending = len(retriever.view.trend.rows)
    note = f"k {K}, {asked} users a round, one by one; {trending} trending items. One answer's ms: {steps}."
    return [
        compared(
            what, [each[n] for each in percentiles["ours"]], [each[n] for each in percentiles["bare"]], machine, note
        )
        for n, what in enumerate((P50, P99))
    ]


def _indexes(site: ServedSite, retriever: Retriever, say: Say, machine: Machine) -> list[Figure]:
    """Search the item vectors alone, by each index: recall@100 against exact search, and the time of one query."""
    vectors, catalogue = item_index.vectors_of(site.base), retriever.view.parts.catalogue
    ready = queries(retriever, site.users[:RECALL_OF])
    exact = ExactSearch(catalogue)
    truth, exact_ms = _searched(lambda query: exact.search(query[np.newaxis], TOP).rows[0], ready)
    say(f"exact {exact_ms:.2f} ms")
    figures = []
    kinds: list[IndexKind] = ["HNSW", "IVF_FLAT", "IVF_SQ8"]
    for kind in kinds:
        name, size = _staged(site, kind, vectors)
        search = ItemSearch(site.layout, name, catalogue, site.settings())
        rows, took = _searched(lambda query, s=search: s.search(query[np.newaxis], TOP).rows[0], ready)  # type: ignore[misc]
        search.close()
        recall = _recall(rows, truth)
        say(f"{kind}: recall@{TOP} {recall:.4f}, {took:.2f} ms")
        how = (
            f"ef {EFFORT}"
            if kind == "HNSW"
            else f"nprobe {ServingSettings().ivf_probes} of {PublisherSettings().ivf_lists}"
        )
        if kind == "HNSW":
            note = f"{RECALL_OF} users' vectors, items around 500 centres; {how}, M {LINKS}."
            figures.append(compared(RECALL, [recall], [1.0], machine, note))
        what = Comparison(
            f"search of the index alone, {kind} in Milvus, k {TOP}", "ms", "exact search in numpy", less_is_better=True
        )
        figures.append(
            compared(
                what, [took], [exact_ms], machine, f"Median of {RECALL_OF}; recall@{TOP} {recall:.4f}, {how}. {size}"
            )
        )
    for library, ask in _libraries(vectors).items():
        rows, took = _searched(ask, ready)
        what = Comparison(
            f"search of the index alone, {library}, k {TOP}", "ms", "exact search in numpy", less_is_better=True
        )
        note = f"Median of {RECALL_OF}; recall@{TOP} {_recall(rows, truth):.4f}, ef {EFFORT}, M {LINKS}, in process."
        figures.append(compared(what, [took], [exact_ms], machine, note))
        say(figures[-1].note)
    return figures


def _staged(site: ServedSite, kind: IndexKind, vectors: Floats) -> tuple[str, str]:
    """Return the collection of the items under an index of this kind, staged if need be, and its vectors' bytes."""
    if kind == "HNSW":
        return item_index.collection_name(site.base), f"Vectors: {vectors.nbytes / 1e6:.0f} MB."
    name = f"{item_index.collection_name(site.base)}_{kind}"
    with ItemIndex(site.uri, PublisherSettings(milvus_uri=site.uri, index=kind)) as index:
        index.stage(name, vectors)
    size = vectors.nbytes / (4 if kind == "IVF_SQ8" else 1)
    return name, f"Vectors: {size / 1e6:.0f} MB."


def _libraries(vectors: Floats) -> dict[str, Callable[[Floats], Integers]]:
    """Return the same search by hnswlib and by Faiss, on one thread, with the same links and effort."""
    width = vectors.shape[1]
    graph = hnswlib.Index(space="ip", dim=width)
    graph.init_index(max_elements=len(vectors), M=LINKS, ef_construction=200)
    graph.add_items(vectors)
    graph.set_ef(EFFORT)
    graph.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    other = faiss.IndexHNSWFlat(width, LINKS, faiss.METRIC_INNER_PRODUCT)
    other.hnsw.efConstruction, other.hnsw.efSearch = 200, EFFORT
    other.add(vectors)
    return {
        "hnswlib": lambda query: graph.knn_query(query[np.newaxis], TOP)[0][0].astype(np.int64),
        "Faiss HNSW": lambda query: other.search(query[np.newaxis], TOP)[1][0],
    }


def _searched(ask: Callable[[Floats], Integers], ready: Floats) -> tuple[list[Integers], float]:
    """Return what was found for each query, and the median milliseconds."""
    found, took = [], []
    ask(ready[0])
    for query in ready:
        started = time.perf_counter()
        found.append(ask(query))
        took.append((time.perf_counter() - started) * 1000)
    return found, float(np.median(took))


def _recall(found: list[Integers], truth: list[Integers]) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, truth, strict=True)]))


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000
