"""What the broker says about a topic: its identity, where its log starts, which record comes next. By kafka-python."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, RetriableError, TopicAuthorizationFailedError

from contracts.errors import LogLost, MissingInput, MissingServer
from streams.access import Access
from streams.records import Topic
from streams.refusals import no_broker, no_right

TIMEOUT_MS = 10_000
POLL_MS = 1_000
IDLE_POLLS = 30  # in a row that bring the reading of a log nowhere


@dataclass(frozen=True)
class Log:
    """A topic on a broker; each question opens a connection of its own and closes it."""

    access: Access
    topic: str

    def identity(self) -> Topic:
        """Return id and partition count. Raises `MissingServer`, `AccessRefused`, `MissingInput`."""
        with self._admin(f"look at topic {self.topic!r}") as admin:
            return self._identity(admin)

    def _identity(self, admin: KafkaAdminClient) -> Topic:
        found = admin.describe_topics([self.topic])
        if any(t.get("error_code") == TopicAuthorizationFailedError.errno for t in found):
            raise no_right(self.access, f"look at topic {self.topic!r}")
        topic = next((t for t in found if not t.get("error_code") and t.get("partitions")), None)
        if topic is None:
            raise MissingInput(
                f"topic {self.topic!r} does not exist on {self.access.bootstrap}",
                hint="Create it, or fill it from a log with `freshet produce --data FILE`.",
            )
        return Topic(self.topic, str(uuid.UUID(str(topic["topic_id"]))), len(topic["partitions"]))

    def require_read(self, group: str) -> None:
        """Raise `AccessRefused` unless we may read the topic as members of `group`, as far as the broker says.

        It says nothing of a group that was never there, nor before a new cluster has coordinators for groups.
        """
        with self._admin(f"join group {group!r}") as admin:
            topics = admin.describe_topics([self.topic])
            try:
                groups = admin.describe_groups([group])
            except RetriableError:
                groups = {group: {}}
        rights = [(topics[0], f"read topic {self.topic!r}"), (groups[group], f"join group {group!r}")]
        for described, doing in rights:
            granted = described.get("authorized_operations")
            if granted is not None and "READ" not in granted:
                raise no_right(self.access, doing)

    def span(self, partition: int) -> tuple[int, int]:
        """Return the first offset that the log of a partition still holds, and its next one, committed or not."""
        return self.spans([partition])[partition]

    def spans(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return the same of several partitions, by partition; at least one is asked for."""
        with self._consumer(partitions[0], "read_uncommitted") as (consumer, _):
            asked = [TopicPartition(self.topic, partition) for partition in partitions]
            start, end = consumer.beginning_offsets(asked), consumer.end_offsets(asked)
            return {one.partition: (int(start[one]), int(end[one])) for one in asked}

    def retention_ms(self) -> int | None:
        """Return for how long (ms) the topic keeps records; None: for ever, as far as time goes.

        Raises `AccessRefused`: it asks for the right DescribeConfigs, which nothing else does.
        """
        resource = ConfigResource(ConfigResourceType.TOPIC, self.topic)
        with self._admin(f"look at the settings of topic {self.topic!r}") as admin:
            found = admin.describe_configs([resource], config_filter="all")["topic"][self.topic]
        if "retention.ms" not in found:  # the library passes over the broker's refusal
            raise no_right(self.access, f"look at the settings of topic {self.topic!r}")
        kept, policy = int(found["retention.ms"]["value"]), str(found["cleanup.policy"]["value"])
        return kept if kept >= 0 and "delete" in policy else None

    def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        """Return by partition the next offset that a reader of committed records may see; at least one is asked for."""
        with self._consumer(partitions[0]) as (consumer, _):
            found = consumer.end_offsets([TopicPartition(self.topic, partition) for partition in partitions])
            return {asked.partition: int(offset) for asked, offset in found.items()}

    def next_available(self, partition: int, offset: int) -> int:
        """Return the offset of the first committed record at `offset` or later, the log's end where there is none.

        This is what proves a gap: a compacted or transactional log has holes, anything else that leaps was not
        fetched. A gap is crossed in as many polls as it takes. Raises `LogLost` when the log starts after `offset`,
        `MissingServer` when the reading comes no further.
        """
        with self._consumer(partition) as (consumer, assigned):
            start = int(consumer.beginning_offsets([assigned])[assigned])
            if start > offset:
                raise LogLost(
                    f"records {offset} to {start - 1} of partition {partition} of {self.topic} are gone",
                    hint="Retention deleted them before they were read: raise the topic's retention.",
                )
            end = int(consumer.end_offsets([assigned])[assigned])
            consumer.seek(assigned, offset)
            idle = 0
            while offset < end and idle < IDLE_POLLS:
                if records := consumer.poll(timeout_ms=POLL_MS, max_records=1):
                    return int(records[assigned][0].offset)
                before, offset = offset, int(consumer.position(assigned))
                idle = 0 if offset > before else idle + 1
        if offset < end:
            raise self._stuck(partition, offset)
        return offset

    def _stuck(self, partition: int, offset: int) -> MissingServer:
        return MissingServer(
            f"the reading of partition {partition} of topic {self.topic!r} from {self.access} has stood at offset "
            f"{offset} for {IDLE_POLLS * POLL_MS // 1000} s, and the log goes on",
            hint="See to the broker: whoever reads this offset waits as we do.",
        )

    @contextmanager
    def _admin(self, doing: str) -> Iterator[KafkaAdminClient]:
        """Have an admin client; what it raises is told as `no_broker` tells it."""
        try:
            admin = KafkaAdminClient(**self.access.client())
        except (KafkaError, ValueError) as error:
            raise no_broker(self.access, error) from None
        try:
            yield admin
        except KafkaError as error:
            raise no_broker(self.access, error, doing) from None
        finally:
            admin.close()

    @contextmanager
    def _consumer(
        self, partition: int, isolation: str = "read_committed"
    ) -> Iterator[tuple[KafkaConsumer, TopicPartition]]:
        """Have a consumer of one partition; what it raises is told as `no_broker` tells it."""
        try:
            consumer = KafkaConsumer(
                **self.access.client(),
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level=isolation,
            )
        except (KafkaError, ValueError) as error:
            raise no_broker(self.access, error) from None
        assigned = TopicPartition(self.topic, partition)
        try:
            consumer.assign([assigned])
            yield consumer, assigned
        except KafkaError as error:
            raise no_broker(self.access, error, f"read topic {self.topic!r}") from None
        finally:
            consumer.close()


class KeptIdentity:
    """`Log.identity`, asked often, over a connection that is kept; after an error the next call makes another."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._connection = ExitStack()
        self._admin: KafkaAdminClient | None = None

    def __call__(self) -> Topic:
        """Return id and partition count. Raises what `Log.identity` raises."""
        try:
            if self._admin is None:
                asking = self._log._admin(f"look at topic {self._log.topic!r}")
                self._admin = self._connection.enter_context(asking)
            return self._log._identity(self._admin)
        except KafkaError as error:
            self.close()
            raise no_broker(self._log.access, error) from None

    def close(self) -> None:
        """End the connection."""
        self._admin = None
        self._connection.close()
