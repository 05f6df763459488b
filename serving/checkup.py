"""What `freshet doctor` asks serving of its settings and its address."""

from __future__ import annotations

from collections.abc import Iterator

from contracts import listening
from contracts.errors import FreshetError
from contracts.findings import Finding, of_error, of_settings, unused, warning
from contracts.layout import Layout
from serving.commands_serve import LOOPBACK
from serving.settings import ServingSettings


def settings(layout: Layout) -> Iterator[Finding]:
    """Yield how the settings can be read, the tokens among them, and who may ask."""
    yield from of_settings(ServingSettings)
    try:
        chosen = ServingSettings.load()
    except FreshetError:  # has been told
        return
    try:
        tokens = chosen.tokens()
    except FreshetError as error:
        yield of_error("serving token", error)
        return
    if not tokens.caller and chosen.host not in LOOPBACK:
        yield warning(
            "serving token",
            f"anybody who reaches {chosen.host} may ask",
            "Set token_file in serving.toml, if the network is not yours alone.",
        )


def port(layout: Layout) -> Iterator[Finding]:
    """Yield whether `freshet serve` can listen, or does."""
    chosen = ServingSettings.load()
    if chosen.port:
        yield listening.at("freshet serve", chosen.host, chosen.port, "FRESHET_SERVING_PORT")
    else:
        yield unused("freshet serve", "port is 0: any free one")
