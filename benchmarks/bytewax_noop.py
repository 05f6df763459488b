"""A peer: Bytewax with its Kafka input and a step that decodes each value and does nothing else.

    python -m benchmarks.bytewax_noop BOOTSTRAP TOPIC RECORDS RESULT

As its documentation writes it: `input` from a `KafkaSource` with its default batch of 1,000, one worker, one `filter`,
which decodes with orjson and lets nothing pass, and an output. No recovery store. It ends after record number RECORDS.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson
from bytewax import operators
from bytewax.connectors.kafka import KafkaSource
from bytewax.connectors.stdio import StdOutSink
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from benchmarks.taken import Stopwatch


def decoding_flow(bootstrap: str, topic: str, watch: Stopwatch) -> Any:
    """Return the flow; everything that is no setting of this machine is left at its default."""
    flow = Dataflow("noop")
    messages = operators.input("in", flow, KafkaSource([bootstrap], [topic]))

    def passes(message: Any) -> bool:
        orjson.loads(message.value)
        watch.saw_one()
        return False

    operators.output("out", operators.filter("decode", messages, passes), StdOutSink())
    return flow


if __name__ == "__main__":
    cli_main(decoding_flow(sys.argv[1], sys.argv[2], Stopwatch(int(sys.argv[3]), Path(sys.argv[4]))))
