"""Small whole numbers for item ids: those of the base first, in its order, then any other that turns up."""

from __future__ import annotations

from collections.abc import Sequence


class ItemCodes:
    """Ids and codes, both ways; codes below `known` are positions in the base's items."""

    def __init__(self, items: Sequence[str]) -> None:
        self.ids = list(items)
        self.known = len(self.ids)
        self._codes = {item: code for code, item in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, items: Sequence[str]) -> list[int]:
        """Return the codes of items; new ones are given to those that have none yet."""
        codes, missing = self._codes, False
        found = []
        for item in items:
            code = codes.get(item, -1)
            missing |= code < 0
            found.append(code)
        return [self._given(item) for item in items] if missing else found

    def _given(self, item: str) -> int:
        code = self._codes.setdefault(item, len(self.ids))
        if code == len(self.ids):
            self.ids.append(item)
        return code
