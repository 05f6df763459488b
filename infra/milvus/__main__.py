"""`python -m infra.milvus`: run a Milvus server until Ctrl-C and print its address."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from contracts.errors import FreshetError
from infra.milvus.server import MilvusServer


def main(arguments: Sequence[str]) -> int:
    """Run the server and return the exit code: 0, or that of the named error which is told in one sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.milvus",
        description="Run a real Milvus server for development until Ctrl-C; prints MILVUS_URI=...",
    )
    parser.add_argument("--folder", type=Path, help="keep data and logs here (default: a temporary folder)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with MilvusServer(options.folder) as server:
            print(f"MILVUS_URI={server.uri}", flush=True)
            print("Ctrl-C ends it.", file=sys.stderr)
            signal.pause()
    except FreshetError as error:
        print(f"{error} {error.hint}".strip(), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
