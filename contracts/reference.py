"""A small file of a base to measure drift against: its common row, and a sample of its users' own rows.

It costs the same however many users there are, so a publish can read it every time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.arrays import Arrays, Floats, pack
from contracts.bases import OpenBase, scaled
from contracts.rows import RowTable

REFERENCE = "reference.safetensors"
MOST_USERS = 8192


@dataclass(frozen=True)
class Reference:
    """`common`: float32 [width]. `users`: evenly spaced ones, all where they are no more than `MOST_USERS`; `own`:
    float32 [n, width], their rows as they answer; `norms`: float32 [n], their lengths as they were trained, unscaled.
    """

    common: Floats
    users: list[str]
    own: Floats
    norms: Floats


def pack_reference(common: Floats, table: RowTable) -> bytes:
    """Return the file for the rows of a base as they were trained, sorted by user id."""
    count = min(MOST_USERS, len(table))
    at = np.linspace(0, max(len(table) - 1, 0), count).astype(np.int64)
    return pack({"common": common, "users": [table.users[n] for n in at.tolist()], "own": table.own[at]})


def reference_of(base: OpenBase) -> Reference | None:
    """Return a base's reference, None for a base that was made without one. Raises `Corrupt`."""
    if not base.has(REFERENCE):
        return None
    arrays = Arrays(base.file(REFERENCE), REFERENCE)
    width, users = base.manifest.towers.width, arrays.texts("users")
    own = arrays.floats("own", len(users), width)
    norms = np.linalg.norm(own, axis=1)
    return Reference(arrays.floats("common", width), users, scaled(own, base.manifest.own_scale), norms)
