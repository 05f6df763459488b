"""A single-node KRaft broker as a local Java process."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from contracts.errors import UsageError
from infra.kafka.demands import Demands
from infra.kafka.jars import fetch_jars
from infra.kafka.java import require_java
from infra.kafka.readiness import broker_answers
from infra.kafka.settings import Listeners, as_properties, broker_settings
from infra.lifecycle import LocalServer
from infra.ports import free_ports, is_free
from infra.processes import Program, ServerFailed, ServerProcess

START_PATIENCE_S = 60.0
STOP_PATIENCE_S = 20.0
_LOG4J = Path(__file__).with_name("log4j2.xml")


class LocalBroker(LocalServer):
    """A broker on 127.0.0.1 with a data folder, a port pair and a log of its own.

    What a killed broker had acknowledged but not yet written to disk survives, because the operating system keeps it.
    """

    name = "kafka"
    stop_patience_s = STOP_PATIENCE_S

    def __init__(self, folder: Path | None = None, port: int | None = None, demands: Demands | None = None) -> None:
        """`folder`: where data and log go (a temporary one if None); `port`: for clients (a free one if None).

        With `demands` there are listeners beside the plain one, for clients that have to prove who they are.
        """
        if port is not None and not is_free(port):
            raise UsageError(f"Port {port} is in use.", hint="Name another port, or end what listens there.")
        chosen, controller_port, internal_port = free_ports(3)
        self._listeners = Listeners("127.0.0.1", port or chosen, controller_port, internal_port, port or chosen)
        self._demands = demands
        super().__init__(folder)

    @property
    def bootstrap(self) -> str:
        """Return the `host:port` for clients."""
        return f"127.0.0.1:{self._listeners.advertised_port}"

    @property
    def log(self) -> Path:
        """Return the file that holds everything the broker said."""
        return self.folder / "broker.log"

    def start(self) -> None:
        """Start the broker and return when topics can be created on it.

        Raises MissingServer without Java or jars, ServerFailed when the broker does not come up.
        """
        if self._process is None:
            require_java()
            classpath = f"{fetch_jars()}/*"
            self._format(classpath)
            self._process = ServerProcess(self._program(classpath))
        self._process.start(lambda: broker_answers(self.bootstrap), START_PATIENCE_S)

    def _program(self, classpath: str) -> Program:
        logging = f"-Dlog4j2.configurationFile={_LOG4J}"
        command = ["java", "-Xmx512m", logging, "-cp", classpath, "kafka.Kafka", str(self._properties)]
        return Program("The Kafka broker", command, self.log, self.folder)

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _format(self, classpath: str) -> None:
        """Write the settings, and make the data folder that of a new cluster unless it already is one's."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        settings, words = broker_settings(self._listeners, str(data)), list[str]()
        if self._demands is not None:
            settings, words = self._demands.added_to(settings), self._demands.format_arguments()
        self._properties.write_text(as_properties(settings), encoding="utf-8")
        logging = f"-Dlog4j2.configurationFile={_LOG4J}"
        tool = ["java", logging, "-cp", classpath, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        command = [*tool, "-t", cluster_id(str(data)), "-c", str(self._properties), *words]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            said = answer.stdout + answer.stderr
            reason = next((line for line in said.splitlines() if "Exception" in line), said[-300:])
            raise ServerFailed(f"Kafka could not format {data}: {reason}", hint="Give the broker another folder.")


def cluster_id(data: str) -> str:
    """Return the id of the cluster whose data lie in `data`, as Kafka writes ids: 16 bytes, URL-safe base64, unpadded.

    The same data must be formatted with the same id each time.
    """
    return base64.urlsafe_b64encode(uuid.uuid5(uuid.NAMESPACE_URL, data).bytes).rstrip(b"=").decode("ascii")
