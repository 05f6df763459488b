"""`freshet streams worker`: arguments to frozen values, then one call."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from contracts import command_line
from contracts.errors import MissingServer
from streams import logs
from streams.settings import StreamsSettings


def worker(argv: Sequence[str]) -> int:
    """`freshet streams worker`."""
    parser = command_line.parser(
        "streams worker",
        "Turn the events of a topic into committed shards, until SIGTERM or Ctrl-C.\n\n"
        "Start as many as there are cores, with the same --root: Kafka deals the partitions out. A worker that is\n"
        "killed loses nothing: the next owner goes on from the chain. Effectively-once from topic to shards.",
        "settings: infra/config/streams.toml, each key also as FRESHET_STREAMS_<KEY>",
    )
    parser.add_argument("--bootstrap", help="Kafka brokers, host:port (default: setting `bootstrap`)")
    parser.add_argument("--topic", help="topic of the events (default: setting `topic`)")
    parser.add_argument("--name", default=f"{socket.gethostname()}-{os.getpid()}", help="name of this worker process")
    arguments = parser.parse_args(argv)
    settings = StreamsSettings.load(bootstrap=arguments.bootstrap, topic=arguments.topic)
    facts = {"worker": arguments.name, "topic": settings.topic, "group": settings.group}
    logs.set_up(settings.log_format, settings.log_level, facts)
    from streams.app import run_worker  # faust takes a second to import: not for --help

    try:
        run_worker(settings, command_line.layout(arguments), arguments.name)
    except MissingServer as error:
        error.exit_code = 1  # nobody has to change anything: the supervisor tries again
        raise
    return 0
