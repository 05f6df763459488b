"""What a base tells of the model that it was made of: `import.json`."""

from __future__ import annotations

import hashlib

import msgspec

from contracts.bases import IMPORT, OpenBase
from contracts.errors import Corrupt, UsageError

SCHEMA = "freshet.import/1"


class ImportedFile(msgspec.Struct, frozen=True):
    """One of the files that were given: `name` on that machine, `size` in bytes, and its digest."""

    name: str
    size: int
    sha256: str


class Imported(msgspec.Struct, frozen=True):
    """`files` by what they were given as. A user vector of the base is `user_scale` times one of the model, an item
    vector `item_scale` times one; `temperature` divides the model's scores, and is the one given or the one that
    calibration chose. `folded`: the rows were multiplied by the matrix with which the user tower lets them in;
    `deviation`: how far it was from letting them in linearly. `settings_of`: the base whose settings were
    taken, that which was calibrated first, or empty; `calibrated_on`: the day on which it or this one was calibrated,
    or empty.
    """

    files: dict[str, ImportedFile]
    score: str
    temperature: float
    user_scale: float
    item_scale: float
    folded: bool
    deviation: float
    calibrated_on: str
    settings_of: str
    schema: str = SCHEMA


def imported_file(name: str, data: bytes) -> ImportedFile:
    """Return what is told of a file."""
    return ImportedFile(name, len(data), hashlib.sha256(data).hexdigest())


def encode(imported: Imported) -> bytes:
    """Return the document; the same import gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(imported, order="sorted"), indent=1) + b"\n"


def of_base(base: OpenBase) -> Imported:
    """Return what an imported base tells. Raises `Corrupt`, and `UsageError` for a base that was trained here."""
    if not base.has(IMPORT):
        raise UsageError(f"base {base.manifest.base_id} was trained here, not imported", hint="Name an imported one.")
    try:
        return msgspec.json.decode(base.file(IMPORT), type=Imported)
    except msgspec.MsgspecError as error:
        raise Corrupt(IMPORT, str(error)) from None
