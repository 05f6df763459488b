"""Text of others on a terminal: what it shows is what is written there, and nothing in it is obeyed."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return `text` on one line: what is no letter, mark or blank (an escape, a line's end) as Python writes it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
