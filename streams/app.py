"""The Faust app of a stream worker: group membership and fetching are Faust's, commits and positions are ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from contracts.layout import Layout
from streams.agents import Assignment, consume, or_die
from streams.scheduler import ChunkScheduler, ChunkSchema
from streams.settings import StreamsSettings
from streams.topics import Log
from streams.transport import ReadCommitted

SEEK_IDLE_S = 2.0


def build_app(settings: StreamsSettings, layout: Layout, worker: str) -> Any:
    """Return the app of one worker process. Raises `MissingServer`, `MissingInput` when the topic is not there."""
    log = Log(settings.bootstrap, settings.topic)
    identity = log.identity()
    if settings.dead_letter_topic:
        Log(settings.bootstrap, settings.dead_letter_topic).identity()  # refused now, not at the first dead letter
    data = layout.worker_data(worker)
    data.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        settings.group,
        broker=[f"kafka://{address}" for address in settings.bootstrap.split(",")],
        datadir=str(data),
        ConsumerScheduler=ChunkScheduler,
        broker_session_timeout=10,
        broker_heartbeat_interval=3,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 << 20,
        stream_buffer_maxsize=64,
        stream_wait_empty=False,
        table_standby_replicas=1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        processing_guarantee="at_least_once",
    )
    app.transport = ReadCommitted(app.conf.broker_consumer, app)
    topic = app.topic(
        settings.topic, schema=ChunkSchema(key_type=bytes, value_type=bytes), acks=False, partitions=identity.partitions
    )
    assignment = Assignment(layout, settings, identity, log, app)
    app.agent(topic, name="shards")(consume(assignment))
    _connect(app, assignment, settings.topic)
    return app


def _connect(app: Any, assignment: Assignment, topic: str) -> None:
    """Have Kafka's assignments followed, and idle partitions looked after."""

    @app.on_partitions_assigned.connect(weak=False)  # type: ignore[untyped-decorator]
    async def assigned(_: Any, assigned: set[TP], **__: Any) -> None:
        assignment.own({tp.partition for tp in assigned if tp.topic == topic})
        app.add_future(or_die(assignment.open_owned()))

    @app.on_partitions_revoked.connect(weak=False)  # type: ignore[untyped-decorator]
    async def revoked(_: Any, revoked: set[TP], **__: Any) -> None:
        await or_die(assignment.give_back({tp.partition for tp in revoked if tp.topic == topic}))

    @app.timer(SEEK_IDLE_S)  # type: ignore[untyped-decorator]
    async def seek_idle() -> None:
        await or_die(assignment.seek_idle())


def run_worker(settings: StreamsSettings, layout: Layout, worker: str) -> None:
    """Run a worker until SIGTERM or Ctrl-C. What was not committed is read again by the next owner."""
    app = build_app(settings, layout, worker)
    faust.Worker(app, loglevel="WARNING", quiet=True, workdir=Path.cwd()).execute_from_commandline()
