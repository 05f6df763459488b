"""The real standalone Milvus server of the `milvus` wheel, as a local process with ports and data of its own."""

from __future__ import annotations

import importlib.util
import lzma
import re
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import MissingServer
from infra.cache import cache_folder, fill_once
from infra.lifecycle import LocalServer
from infra.ports import free_ports
from infra.processes import Program, ServerProcess

WHEEL = "milvus==2.3.5"
START_PATIENCE_S = 120.0
# It takes half a minute to end in order; a killed one recovers from its write-ahead log just as well.
STOP_PATIENCE_S = 5.0
# How long a killed server's sessions block the loading of collections after its restart; 30 s by default.
SESSION_TTL_S = 10
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)(?:\(\w+\))?\s*(?::\s*(.*?))?\s*\}\}")


@dataclass(frozen=True)
class Ports:
    """Every port that one server binds, chosen so that several servers can run beside each other."""

    proxy: int
    etcd_client: int
    etcd_peer: int
    health: int
    internal: dict[str, int]


class MilvusServer(LocalServer):
    """A Milvus server on 127.0.0.1 with a data folder, ports and a log of its own.

    After `restart` the same collections are there and have to be loaded again. Its ports are bound on every address of
    the machine: no setting was found that changes this.
    """

    name = "milvus"
    stop_patience_s = STOP_PATIENCE_S

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: where data, configuration and logs go; a temporary one if None."""
        super().__init__(folder)
        self._ports: Ports | None = None

    @property
    def uri(self) -> str:
        """Return the address for pymilvus, `http://127.0.0.1:port`, once the server was started."""
        if self._ports is None:
            raise MissingServer("The Milvus server was not started.", hint="Call start() first.")
        return f"http://127.0.0.1:{self._ports.proxy}"

    @property
    def log(self) -> Path:
        """Return the file that holds everything the server said."""
        return self.folder / "milvus.log"

    def start(self) -> None:
        """Start the server and return when its health check is good (3 to 20 s).

        Raises MissingServer when the wheel is not installed, ServerFailed when the server does not come up.
        """
        if self._process is None:
            binaries = unpack_binaries()
            self._ports = write_configuration(self.folder)
            self._process = ServerProcess(self._program(binaries, self._ports))
        self._process.start(self._healthy, START_PATIENCE_S)

    def _program(self, binaries: Path, ports: Ports) -> Program:
        environment = {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(ports.health),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": str(binaries),
        }
        command = [str(binaries / "milvus"), "run", "standalone"]
        return Program("The Milvus server", command, self.log, self.folder, environment)

    def _healthy(self) -> bool:
        if self._ports is None:
            return False
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports.health}/healthz", timeout=5) as answer:
                return b"OK" in answer.read()
        except OSError:
            return False


def unpack_binaries() -> Path:
    """Return the folder of the server's binaries, unpacking them from the wheel on the first call (10 s)."""
    packed = _wheel_data() / "bin"

    def unpack(folder: Path) -> None:
        for archive in sorted(packed.glob("*.lzma")):
            target = folder / archive.stem
            with lzma.open(archive) as source, target.open("wb") as output:
                shutil.copyfileobj(source, output)
            target.chmod(0o755)

    return fill_once(cache_folder() / WHEEL.replace("==", "-") / "bin", unpack)


def write_configuration(folder: Path) -> Ports:
    """Write the configuration into `folder`/configs, where the server looks for it, and return its free ports."""
    template = (_wheel_data() / "config.yaml.template").read_text(encoding="utf-8")
    internal = [name for name, _ in _PLACEHOLDER.findall(template) if name.endswith("_port")]
    internal = [name for name in internal if name not in ("proxy_port", "etcd_port")]
    proxy, etcd_client, etcd_peer, health, *others = free_ports(4 + len(internal))
    ports = Ports(proxy, etcd_client, etcd_peer, health, dict(zip(internal, others, strict=True)))
    data, configs = folder / "data", folder / "configs"
    for made in (data, configs, folder / "run", folder / "logs"):
        made.mkdir(parents=True, exist_ok=True)
    values = {
        **{name: str(port) for name, port in ports.internal.items()},
        "proxy_port": str(proxy),
        "etcd_port": str(etcd_client),
        "etcd_data_dir": str(data / "etcd"),
        "etcd_log_path": str(folder / "logs" / "etcd.log"),
        "local_storage_dir": str(data),
        "rocksmq_data_dir": str(data / "rocksmq"),
        "system_log_path": str(folder / "logs"),
    }
    rendered = _PLACEHOLDER.sub(lambda found: values.get(found.group(1), found.group(2) or ""), template)
    # The embedded etcd listens where its own file says, whatever the client's address in milvus.yaml is.
    rendered = rendered.replace("\netcd:\n", f"\netcd:\n  config:\n    path: {configs / 'etcd.yaml'}\n", 1)
    rendered = rendered.replace("    ttl: 30 ", f"    ttl: {SESSION_TTL_S} ", 1)
    (configs / "milvus.yaml").write_text(rendered, encoding="utf-8")
    (configs / "etcd.yaml").write_text(_etcd_configuration(ports, data / "etcd"), encoding="utf-8")
    shutil.copy(_wheel_data() / "glog.conf", configs)
    return ports


def _etcd_configuration(ports: Ports, data: Path) -> str:
    client, peer = f"http://127.0.0.1:{ports.etcd_client}", f"http://127.0.0.1:{ports.etcd_peer}"
    return (
        f"name: default\ndata-dir: {data}\n"
        f"listen-client-urls: {client}\nadvertise-client-urls: {client}\n"
        f"listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\ninitial-cluster: default={peer}\n"
    )


def _wheel_data() -> Path:
    found = importlib.util.find_spec("milvus")
    if found is None or not found.submodule_search_locations:
        raise MissingServer(
            "The package that holds the Milvus server is not installed.",
            hint=f"Run: pip install {WHEEL} (Linux on x86-64 only).",
        )
    return Path(found.submodule_search_locations[0]) / "data"
