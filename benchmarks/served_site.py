"""A run folder that is published to a real Milvus server, for what asks for answers."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymilvus import MilvusClient

from benchmarks.rounds import Say
from benchmarks.scratch import scratch_folder
from benchmarks.served_base import append_delta, write_base
from contracts import item_space
from contracts.arrays import Floats
from contracts.bases import BaseStore, OpenBase
from contracts.events import Context
from contracts.layout import Layout
from infra.milvus.server import MilvusServer
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from serving.retriever import Retriever
from serving.settings import ServingSettings

ORDER = Order("a benchmark", "")
USERS, TOUCHED, EFFORT = 50_000, 2_000, ServingSettings().hnsw_effort


@dataclass(frozen=True)
class ServedSite:
    """Where things are, and who can be asked for."""

    layout: Layout
    uri: str
    base: OpenBase

    @property
    def users(self) -> list[str]:
        """Every user of the base."""
        return self.base.rows.users

    def settings(self) -> ServingSettings:
        """Return settings that search in the server; user vectors are computed each time."""
        return ServingSettings(milvus_uri=self.uri, hnsw_effort=EFFORT, cached_vectors=0)

    def publish(self, seed: int) -> None:
        """Publish one delta more."""
        append_delta(self.layout, self.base, TOUCHED, seed)
        publish_once(self.layout, PublisherSettings(milvus_uri=self.uri), ORDER)


@contextmanager
def served_site(items: int, say: Say) -> Iterator[ServedSite]:
    """Start a Milvus server, write a base and publish it with two deltas; all of it goes when the body ends."""
    with scratch_folder() as folder, MilvusServer() as server:
        layout = Layout(folder)
        say(f"staging {items:,} items on a Milvus server")
        write_base(layout, USERS, items)
        made = ServedSite(layout, server.uri, BaseStore(layout).open("served"))
        publish_once(layout, PublisherSettings(milvus_uri=server.uri), ORDER)
        for seed in (1, 2):
            made.publish(seed)
        yield made


class BarePymilvus:
    """The peer: a search by pymilvus with a ready vector, as its documentation writes it."""

    def __init__(self, site: ServedSite, retriever: Retriever) -> None:
        self._client = MilvusClient(site.uri)
        self._collection = retriever.view.shown.collections[0]

    def search(self, query: Floats, k: int) -> list[int]:
        """Return the rows of the nearest `k` items."""
        (hits,) = self._client.search(
            self._collection,
            data=[query],
            anns_field="vector",
            limit=k,
            output_fields=["row"],
            search_params={"metric_type": "IP", "params": {"ef": max(EFFORT, k)}},
            consistency_level="Eventually",
        )
        return [hit["row"] for hit in hits]


def queries(retriever: Retriever, users: Sequence[str]) -> Floats:
    """Return the ready vectors of users, float32 [n, width + 1]."""
    view = retriever.view
    embeddings = np.stack([view.users.user(user).id_embedding for user in users])
    vectors = view.parts.tower.vectors(embeddings, [Context()] * len(users))
    return item_space.queries(vectors, view.parts.base.manifest.towers)


def main(argv: Sequence[str] | None = None) -> int:
    """Publish versions at a line on standard input, one after the other: what swaps them while others ask."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.served_site", description=main.__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--versions", type=int, required=True)
    parser.add_argument("--pace", type=float, required=True, help="seconds between two")
    options = parser.parse_args(argv)
    site = ServedSite(Layout(options.folder), options.uri, BaseStore(Layout(options.folder)).open("served"))
    site.publish(3)  # whose costs are those of the first time
    print("ready", flush=True)
    sys.stdin.readline()
    for seed in range(4, 4 + options.versions):
        site.publish(seed)
        time.sleep(options.pace)
    return 0


if __name__ == "__main__":
    sys.exit(main())
