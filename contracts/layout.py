"""Where things lie under a run folder. Nothing else joins paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote


@dataclass(frozen=True)
class Layout:
    """The folders of one run; `root` may hold several topics and bases."""

    root: Path

    def shards(self, topic: str, partition: int) -> Path:
        """Chain of the shards of one topic-partition."""
        return self.root / "shards" / _safe(topic) / f"{partition:05d}"

    def bases(self) -> Path:
        """All bases, a directory each, named by base id."""
        return self.root / "bases"

    def base(self, base_id: str) -> Path:
        """One base: its files and, written last, `base.json`."""
        return self.bases() / _safe(base_id)

    def unfinished_base(self, base_id: str, unique: str) -> Path:
        """Where one attempt writes a base before it is renamed to its own folder; hidden."""
        return self.bases() / f".{_safe(base_id)}.{unique}.tmp"

    def shuffled_day(self, base_id: str, unique: str) -> Path:
        """Where one attempt keeps its days' samples in random order while it trains on them; hidden."""
        return self.bases() / f".{_safe(base_id)}.{unique}.shuffled"

    def retired_base(self, base_id: str, unique: str) -> Path:
        """Where a base stands that is being deleted; hidden."""
        return self.bases() / f".{_safe(base_id)}.{unique}.retired"

    def deltas(self, base_id: str, partition: int) -> Path:
        """Chain of the deltas of one partition on one base."""
        return self.root / "deltas" / _safe(base_id) / f"{partition:05d}"

    def experiment(self, name: str) -> Path:
        """A run folder of its own for experiments, so that their bases are never taken for the product's."""
        return self.root / "experiments" / _safe(name)

    def served(self) -> Path:
        """Chain of the served manifests."""
        return self.root / "served"

    def refused(self) -> Path:
        """Chain of the versions that were refused."""
        return self.root / "refused"

    def rebase(self, base_id: str) -> Path:
        """Chain of the records of how one base came to be served."""
        return self.root / "rebases" / _safe(base_id)

    def nights(self, topic: str) -> Path:
        """Chain of the records of the nights of one topic."""
        return self.root / "nights" / _safe(topic)

    def stream_state(self, topic: str, partition: int) -> Path:
        """State DB of the joiner of one topic-partition: a cache, may be deleted at any time."""
        return self.root / "state" / "streams" / _safe(topic) / f"{partition:05d}"

    def trainer_state(self, base_id: str, partition: int) -> Path:
        """State DB of the online rows of one (base, partition): a cache, may be deleted at any time."""
        return self.root / "state" / "trainer" / _safe(base_id) / f"{partition:05d}"

    def item_store(self) -> Path:
        """The file of the embedded vector store (Milvus Lite)."""
        return self.root / "items.db"

    def probe(self, unique: str) -> Path:
        """A file by which `freshet doctor` tries the disk, and which it deletes; hidden."""
        return self.root / f".doctor.{unique}.probe"

    def worker_data(self, worker: str) -> Path:
        """Scratch folder of one stream worker process."""
        return self.root / "state" / "workers" / _safe(worker)


def manifest_name(number: int) -> str:
    """File name of manifest `number` (from 1): zero-padded, so that lexical order is chain order."""
    return f"{number:020d}.json"


def data_name(number: int, unique: str, suffix: str) -> str:
    """File name of a data file that manifest `number` will name; `unique` differs with every attempt."""
    return f"{number:020d}-{unique}.{suffix}"


def numbered(name: str) -> int | None:
    """Return the chain number that a file name carries; None for temporary and foreign files."""
    digits = name[:20]
    return int(digits) if len(digits) == 20 and digits.isascii() and digits.isdigit() else None


def names(folder: Path) -> list[str]:
    """Return the names, as they were given, of what has a folder of its own in `folder`, sorted; foreign ones not."""
    found = folder.iterdir() if folder.is_dir() else ()
    given = (_given(path.name) for path in found if path.is_dir())
    return sorted(name for name in given if name is not None)


def _given(segment: str) -> str | None:
    """Return the name of which `_safe` makes this segment, None where there is none."""
    try:
        name = unquote(segment, errors="strict")
        return name if _safe(name) == segment else None
    except UnicodeError:
        return None


def _safe(name: str) -> str:
    """Turn a foreign name into one path segment (percent-encoded; never empty, `.` or `..`)."""
    quoted = quote(name, safe="")
    return quoted.replace(".", "%2E") if quoted in {"", ".", ".."} else quoted
