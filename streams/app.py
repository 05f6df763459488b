"""The Faust app of a stream worker: group membership and fetching are Faust's, commits and positions are ours."""

from __future__ import annotations

import faulthandler
import gc
from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from contracts.layout import Layout
from streams.agents import Assignment, consume, die, or_die
from streams.dead_letters import DeadLetterTopic
from streams.identity import SameTopic
from streams.operations import operating
from streams.owned import Place
from streams.scheduler import ChunkScheduler, ChunkSchema
from streams.settings import StreamsSettings
from streams.topics import KeptIdentity, Log
from streams.transport import ReadCommitted, credentials
from streams.vitals import Vitals

IDLE_S = 2.0
HINT_S = 1.0
METADATA_MS = 10_000  # a leader that did not know the topic, when its broker had just started, dealt out nothing


def build_app(settings: StreamsSettings, place: Place, worker: str) -> Any:
    """Return the app of one worker process."""
    data = place.layout.worker_data(worker)
    data.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        settings.group,
        broker=[f"kafka://{address}" for address in settings.access.servers],
        broker_credentials=credentials(settings.access),
        datadir=str(data),
        ConsumerScheduler=ChunkScheduler,
        broker_session_timeout=settings.session_seconds,
        broker_heartbeat_interval=max(1, settings.session_seconds // 3),
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 << 20,
        consumer_metadata_max_age_ms=METADATA_MS,
        stream_buffer_maxsize=64,
        stream_wait_empty=False,
        table_standby_replicas=1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        processing_guarantee="at_least_once",
    )
    app.transport = ReadCommitted(app.conf.broker_consumer, app)
    schema = ChunkSchema(key_type=bytes, value_type=bytes)
    topic = app.topic(settings.topic, schema=schema, acks=False, partitions=place.topic.partitions)
    assignment = Assignment(place, lambda: app.consumer)
    app.agent(topic, name="shards")(consume(assignment))
    _connect(app, assignment, settings.topic)
    return app


def _connect(app: Any, assignment: Assignment, topic: str) -> None:
    """Have Kafka's assignments followed, idle partitions looked after, and everything given back at the end."""

    @app.on_partitions_assigned.connect(weak=False)  # type: ignore[untyped-decorator]
    async def assigned(_: Any, assigned: set[TP], **__: Any) -> None:
        await or_die(assignment.own({tp.partition for tp in assigned if tp.topic == topic}))

    @app.on_partitions_revoked.connect(weak=False)  # type: ignore[untyped-decorator]
    async def revoked(_: Any, revoked: set[TP], **__: Any) -> None:
        await or_die(assignment.give_back({tp.partition for tp in revoked if tp.topic == topic}))

    @app.on_before_shutdown.connect(weak=False)  # type: ignore[untyped-decorator]
    async def stopping(*_: Any, **__: Any) -> None:
        await or_die(assignment.stop())

    @app.timer(IDLE_S)  # type: ignore[untyped-decorator]
    async def look_after_idle() -> None:
        await or_die(assignment.look_after_idle())

    @app.timer(HINT_S)  # type: ignore[untyped-decorator]
    async def tell_kafka() -> None:
        await or_die(assignment.tell_kafka())


def run_worker(settings: StreamsSettings, layout: Layout, worker: str) -> None:
    """Run a worker until SIGTERM or Ctrl-C. What was not committed is read again by the next owner.

    Raises `MissingServer`, `MissingInput` when a topic is not there, `AccessRefused` where a right is missing,
    `UsageError` when the health page cannot listen.
    """
    log = Log(settings.access, settings.topic)
    topic = log.identity()
    log.require_read(settings.group)
    if settings.dead_letter_topic:
        Log(settings.access, settings.dead_letter_topic).identity()  # refused now, not at the first dead letter
    vitals, letters = Vitals(), DeadLetterTopic(settings.access, settings.dead_letter_topic)
    same_topic = SameTopic(topic, KeptIdentity(log))
    app = build_app(settings, Place(layout, settings, topic, log, vitals, letters, same_topic), worker)
    faulthandler.enable()  # what a crash of native code was doing goes to the log
    gc.freeze()  # what is loaded by now stays: the collector need not walk it again and again
    gc.set_threshold(50_000, 20, 100)
    with operating(settings, vitals, log, die):
        process = faust.Worker(app, quiet=True, workdir=Path.cwd(), override_logging=False, redirect_stdouts=False)
        process.spinner = None  # it would write to a terminal, and into a log
        process.execute_from_commandline()
