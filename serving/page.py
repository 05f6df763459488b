"""The dashboard's page: one document with its style and its script inside, and the headers that allow only those."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources

STYLES, SCRIPTS = ("page.css",), ("build.js", "charts.js", "sections.js", "versions.js", "user.js", "page.js")


@dataclass(frozen=True)
class Page:
    """What `/` answers: HTML that holds no data, and its headers."""

    html: bytes
    headers: dict[str, str]


def load() -> Page:
    """Return the page. It loads nothing from anywhere, runs its own script alone, and makes no text into HTML."""
    style, script = _joined(STYLES), _joined(SCRIPTS)
    html = _text("page.html").replace("/* style */", style).replace("/* script */", script)
    policy = [
        "default-src 'none'",
        f"script-src {_source(script)}",
        f"style-src {_source(style)}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    headers = {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return Page(html.encode(), headers)


def _joined(names: tuple[str, ...]) -> str:
    return "\n" + "".join(map(_text, names))


def _text(name: str) -> str:
    return resources.files("serving").joinpath("web", name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """Return how a policy names the text of an element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
