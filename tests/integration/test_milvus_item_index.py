"""Milvus Lite and the real server hold what was put in; one suite for both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.arrays import Floats
from contracts.bases import OpenBase
from contracts.errors import Corrupt, MissingServer
from contracts.layout import Layout
from infra.milvus.server import MilvusServer
from publisher.item_index import ItemIndex, collection_name, lost, vectors_of
from publisher.settings import IndexKind, PublisherSettings
from serving.catalogue import Catalogue
from serving.exact_search import ExactSearch, Found
from serving.item_search import ItemSearch
from serving.settings import ServingSettings
from tests.support.bases import Tiny, tiny_base
from tests.support.servers import unique_name

SMALL = PublisherSettings(batch=64)


class ItemIndexSuite:
    """What every vector store has to do; a subclass offers the fixture `uri`."""

    @pytest.fixture
    def base(self, tmp_path: Path, request: pytest.FixtureRequest) -> OpenBase:
        """Return a base that no other test staged: on a server collections outlive their test."""
        return tiny_base(Layout(tmp_path), Tiny(unique_name(request.node.name), items=300, width=16))

    @pytest.fixture
    def vectors(self, base: OpenBase) -> Floats:
        return vectors_of(base)

    def test_what_was_staged_is_read_back_bit_for_bit_and_any_difference_is_noticed(
        self, uri: str, base: OpenBase, vectors: Floats
    ) -> None:
        changed = vectors.copy()
        changed[-1, -1] = np.nextafter(changed[-1, -1], np.float32(9))
        name = collection_name(base)
        with ItemIndex(uri, SMALL) as index:
            assert not index.holds(name, vectors)
            index.stage(name, vectors)
            index.verify(name, vectors)
            for other in (changed, vectors[:-1], np.vstack([vectors, vectors[:1]])):
                with pytest.raises(Corrupt, match=name):
                    index.verify(name, other)


class TestMilvusLite(ItemIndexSuite):
    @pytest.fixture
    def uri(self, tmp_path: Path) -> str:
        return str(tmp_path / "items.db")

    def test_search_is_exact(self, uri: str, base: OpenBase, vectors: Floats) -> None:
        with ItemIndex(uri, SMALL) as index:
            index.stage(collection_name(base), vectors)
        assert share_found(uri, base, k=50) == 1.0

    def test_a_collection_that_holds_something_else_is_made_anew(
        self, uri: str, base: OpenBase, vectors: Floats
    ) -> None:
        with ItemIndex(uri, SMALL) as index:
            name = collection_name(base)
            index.stage(name, vectors[:100])
            index.stage(name, vectors)
            index.verify(name, vectors)

    def test_a_collection_that_is_not_there_is_answered_exactly_and_said(
        self, uri: str, base: OpenBase, vectors: Floats
    ) -> None:
        with ItemIndex(uri, SMALL) as index:
            index.stage("another", vectors)
        found = search(uri, base, vectors[:3], 5)
        assert found.how.startswith("exact, for Milvus is away (")
        assert all(np.array_equal(a, b) for a, b in zip(found.rows, exact(base, vectors[:3], 5).rows, strict=True))

    def test_a_store_that_is_not_there_is_answered_exactly_and_not_made(
        self, uri: str, base: OpenBase, vectors: Floats
    ) -> None:
        assert "there is no vector store" in search(uri, base, vectors[:3], 5).how
        assert not Path(uri).exists()

    def test_a_missing_file_is_a_loss_and_one_that_is_there_is_not(self, uri: str) -> None:
        assert lost(uri, "any")
        Path(uri).mkdir()
        assert not lost(uri, "any")


class TestMilvusServer(ItemIndexSuite):
    @pytest.fixture
    def uri(self, milvus_server: MilvusServer) -> str:
        return milvus_server.uri

    @pytest.mark.parametrize("kind", ["HNSW", "IVF_FLAT"])
    def test_every_kind_of_index_finds_the_items_of_exact_search(
        self, uri: str, base: OpenBase, vectors: Floats, kind: IndexKind
    ) -> None:
        assert lost(uri, collection_name(base))
        with ItemIndex(uri, PublisherSettings(index=kind, ivf_lists=8)) as index:
            index.stage(collection_name(base), vectors)
        assert not lost(uri, collection_name(base))
        assert share_found(uri, base, k=50) >= 0.98
        assert share_found(uri, base, k=5000) == 1.0


def search(uri: str, base: OpenBase, queries: Floats, k: int) -> Found:
    """Search once, through the class that serving uses."""
    settings = ServingSettings(milvus_uri=uri, ivf_probes=8, timeout_seconds=60.0)
    opened = ItemSearch(base.layout, collection_name(base), catalogue_of(base), settings)
    try:
        return opened.search(queries, k)
    finally:
        opened.close()


def exact(base: OpenBase, queries: Floats, k: int) -> Found:
    return ExactSearch(catalogue_of(base)).search(queries, k)


def catalogue_of(base: OpenBase) -> Catalogue:
    return Catalogue.of(base, base.manifest.online.bias_weight)


def share_found(uri: str, base: OpenBase, k: int) -> float:
    """Return which share of the k nearest items of 20 queries Milvus finds; each answer holds no item twice."""
    queries = np.random.default_rng(1).normal(size=(20, 17)).astype(np.float32)
    found, expected = search(uri, base, queries, k), exact(base, queries, k)
    assert found.how == "milvus"
    assert all(len(set(rows.tolist())) == len(rows) == min(k, 300) for rows in found.rows)
    common = [len(np.intersect1d(a, b)) for a, b in zip(found.rows, expected.rows, strict=True)]
    return sum(common) / sum(len(rows) for rows in expected.rows)


def test_a_server_that_does_not_answer_is_named_with_what_to_do_and_is_no_loss() -> None:
    uri = "http://127.0.0.1:1"
    with pytest.raises(MissingServer, match=uri) as raised:
        ItemIndex(uri, SMALL)
    assert "MILVUS_URI" in raised.value.hint
    assert raised.value.exit_code == 2
    assert not lost(uri, "any")
