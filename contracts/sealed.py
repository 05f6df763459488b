"""Sealed JSON: a document whose first field is the SHA-256 of the rest.

`{"seal":"<64 hex>","document":{...}}` and a newline. `jq .document` reads it; a truncation or a flipped bit at any byte
is noticed, because the whole file is compared with what its document seals to.
"""

from __future__ import annotations

import hashlib

from contracts.errors import Corrupt

_HEAD = b'{"seal":"'
_MIDDLE = b'","document":'
_TAIL = b"}\n"
_DOCUMENT_AT = len(_HEAD) + 64 + len(_MIDDLE)


def digest(data: bytes) -> str:
    """SHA-256 of `data` in lower-case hex: the one digest that Freshet writes down."""
    return hashlib.sha256(data).hexdigest()


def seal(document: bytes) -> bytes:
    """Wrap the JSON bytes `document` with their seal."""
    return _HEAD + digest(document).encode() + _MIDDLE + document + _TAIL


def unseal(data: bytes, what: str) -> tuple[bytes, str]:
    """Return the JSON bytes inside and their seal; raise `Corrupt` (naming `what`) at any damage."""
    document = data[_DOCUMENT_AT : -len(_TAIL)]
    if seal(document) != data:
        raise Corrupt(what, "its seal")
    return document, data[len(_HEAD) : len(_HEAD) + 64].decode()
