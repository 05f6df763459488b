"""`python -m infra.kafka`: run a broker until Ctrl-C, or prepare what one needs."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from contracts.errors import FreshetError
from infra.kafka.broker import LocalBroker
from infra.kafka.choose import start_broker
from infra.kafka.image import ready_image
from infra.kafka.jars import fetch_jars


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code: 0, or that of the named error which is told in one sentence."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(options.run(options))
    except FreshetError as error:
        print(f"{error} {error.hint}".strip(), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.kafka", description="A Kafka broker for development, on any machine."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser(
        "up",
        help="run a broker until Ctrl-C and print its address",
        description="Run a broker until Ctrl-C: a container if a Docker engine answers, else a local Java process. "
        "With --port or --folder it is always the local process.",
    )
    up.add_argument("--port", type=int, help="port for clients (default: a free one)")
    up.add_argument("--folder", type=Path, help="keep data and log here (default: a temporary folder)")
    up.set_defaults(run=_up)
    image = commands.add_parser("build-image", help="make the image that containers run, if it is absent")
    image.set_defaults(run=_build_image)
    jars = commands.add_parser("jars", help="fetch Kafka's jars into the cache, if they are absent")
    jars.set_defaults(run=_jars)
    return parser


def _up(options: argparse.Namespace) -> int:
    local = options.port is not None or options.folder is not None
    broker = LocalBroker(options.folder, options.port) if local else start_broker(_say)
    with broker:
        print(f"KAFKA_BOOTSTRAP={broker.bootstrap}", flush=True)
        _say("Ctrl-C ends it.")
        try:
            signal.pause()
        except KeyboardInterrupt:
            _say("Ending the broker.")
    return 0


def _build_image(options: argparse.Namespace) -> int:
    print(ready_image(_say))
    return 0


def _jars(options: argparse.Namespace) -> int:
    print(fetch_jars())
    return 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
