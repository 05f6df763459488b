"""The broker's settings: one table, written as a properties file or as a container's environment."""

from __future__ import annotations

from dataclasses import dataclass

# The largest value a producer may send: well above the 5 MB of the garbage that streams must survive.
MAX_RECORD_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Listeners:
    """Where a broker listens (`bind` and ports) and the port on 127.0.0.1 that it tells its clients.

    `internal_port` is for the broker's own connections (a transaction's, for one): from inside a container the clients'
    port cannot be reached.
    """

    bind: str
    port: int
    controller_port: int
    internal_port: int
    advertised_port: int


def broker_settings(listeners: Listeners, data_folder: str) -> dict[str, str]:
    """Return the settings of a single KRaft node that is broker and controller at once."""
    one_replica = {
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # 50 by default: one node gains nothing from so many, and the first consumer group waits for all of them.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
    }
    return _node_settings(listeners, data_folder) | one_replica | _log_settings()


def as_properties(settings: dict[str, str]) -> str:
    """Return the settings as the text of a server.properties file."""
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def as_environment(settings: dict[str, str]) -> dict[str, str]:
    """Return the settings as the variables that Kafka images read: `a.b` is KAFKA_A_B."""
    return {"KAFKA_" + key.upper().replace(".", "_"): value for key, value in settings.items()}


def _node_settings(listeners: Listeners, data_folder: str) -> dict[str, str]:
    bind, controller_port = listeners.bind, listeners.controller_port
    internal = f"INTERNAL://127.0.0.1:{listeners.internal_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://{bind}:{listeners.port},{internal},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{listeners.advertised_port},{internal}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data_folder,
    }


def _log_settings() -> dict[str, str]:
    return {
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        # 6 s by default: tests of workers that die or sleep would wait for it each time.
        "group.min.session.timeout.ms": "1000",
        "message.max.bytes": str(MAX_RECORD_BYTES),
        "replica.fetch.max.bytes": str(MAX_RECORD_BYTES),
        # Retention goes by the records' own time: a day of 2017 replayed now would be deleted while it is read.
        "log.retention.ms": "-1",
    }
