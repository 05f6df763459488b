"""`freshet doctor` beside a run folder: packages, settings, servers, ports, and a check that never answers."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import freshet
from contracts.errors import UsageError
from contracts.findings import Finding, ok
from contracts.layout import Layout
from contracts.pages import serving
from contracts.settings import CONFIG_FOLDER
from infra.doctor.checks import GROUPS, Check, answered, asked
from infra.ports import free_ports
from streams.health import Pages
from streams.vitals import Vitals
from tests.support.checked import doctor, installation, printed, write_shards
from tests.support.source_tree import ROOT


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setenv(CONFIG_FOLDER, str(folder))
    return folder


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# A person's python in which some distributions are neither written down nor importable.
HIDING = """
import importlib.machinery, importlib.metadata, json, sys
hidden = json.loads(sys.argv[1])
class Hiding(importlib.metadata.MetadataPathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in hidden.values():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None
    @classmethod
    def find_distributions(cls, context=importlib.metadata.DistributionFinder.Context()):
        return () if context.name in hidden else super().find_distributions(context)
for finder in sys.meta_path:
    if hasattr(finder, "find_distributions"):
        finder.find_distributions = lambda context=None: ()
sys.meta_path.insert(0, Hiding)
import freshet
code = freshet.main(sys.argv[2:])
print(json.dumps([code, "torch" in sys.modules]))
"""


def without(hidden: dict[str, str], root: Path, *words: str) -> tuple[int, bool, list[dict[str, str]]]:
    """Run the doctor in a Python that lacks distributions (name: module); return its code, if torch was imported, and
    its lines."""
    argv = [json.dumps(hidden), "doctor", "--json", "--root", str(root), *words]
    ended = subprocess.run([sys.executable, "-c", HIDING, *argv], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    *lines, last = ended.stdout.splitlines()
    code, torch = json.loads(last)
    return code, torch, [json.loads(line) for line in lines]


def test_every_package_is_there_and_torch_is_not_imported_to_find_out(tmp_path: Path) -> None:
    code, torch, lines = without({}, tmp_path)
    assert (code, torch) == (0, False)
    assert {line["group"] for line in lines} == set(GROUPS)
    build = next(line for line in lines if line["what"] == "torch")
    assert "build" in build["found"] and build["verdict"] == "ok"


def test_an_extra_whose_main_package_is_missing_is_not_used_and_nothing_of_it_is_asked(tmp_path: Path) -> None:
    hidden = {"torch": "torch", "faust-streaming": "faust", "kafka-python": "kafka"}
    code, _, lines = without(hidden, tmp_path, "--only", "packages,settings,kafka")
    assert code == 0
    unused = {(line["group"], line["what"]): line for line in lines if line["verdict"] == "unused"}
    assert set(unused) == {("packages", "streams"), ("packages", "trainer"), ("kafka", "streams")}
    assert unused["kafka", "streams"]["remedy"] == ""
    assert unused["packages", "trainer"]["found"] == "torch is not installed"
    assert unused["packages", "trainer"]["remedy"] == "If it is to run here: pip install 'freshet[trainer]'"


def test_a_package_that_an_extra_lacks_is_a_fault_that_names_it(tmp_path: Path) -> None:
    hidden = {"kafka-python": "kafka", "lz4": "lz4"}
    code, _, lines = without(hidden, tmp_path, "--only", "packages,kafka")
    found = {line["group"]: line for line in lines if line["verdict"] == "fault"}
    assert code == 2
    assert found["packages"]["found"] == "kafka-python is not installed; lz4 is not installed"
    assert found["packages"]["remedy"] == "Install what is missing: pip install 'freshet[streams]'"
    assert found["kafka"]["found"] == "the package 'kafka' cannot be imported"


def test_a_package_of_another_version_is_a_fault_that_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = tmp_path / "aiokafka-0.1.0.dist-info" / "METADATA"
    facts.parent.mkdir()
    facts.write_text("Metadata-Version: 2.1\nName: aiokafka\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    told = doctor(tmp_path, "--only", "packages")
    assert told.code == 2
    assert told.only("fault")["found"] == "aiokafka 0.1.0 is installed, ==0.14.0 is needed"


def test_every_unknown_key_of_a_file_is_named_at_once(tmp_path: Path, config: Path) -> None:
    (config / "streams.toml").write_text('topik = "x"\nbootstrapp = "y"\n')
    (config / "trainer.toml").write_text("not TOML")
    told = doctor(tmp_path, "--only", "settings")
    streams, trainer = (line for line in told.lines if line["verdict"] == "fault")
    assert told.code == 2
    assert streams["found"] == "setting 'topik' of stage streams: there is no such setting"
    assert streams["remedy"].startswith(f"Also wrong: bootstrapp. See {config / 'streams.toml'}")
    assert trainer["found"].startswith(f"{config / 'trainer.toml'} is not TOML")
    assert {what for _, what, _ in told.of("ok")} == {"publisher", "serving"}


def test_a_stage_whose_settings_cannot_be_read_is_explained_once(tmp_path: Path, config: Path) -> None:
    (config / "streams.toml").write_text("x = 1")
    code, text = printed(tmp_path, "--only", "settings,kafka,ports")
    assert code == 2
    assert text.count("there is no such setting") == 1
    assert "FAULT    kafka: as under settings" in text
    assert text.rstrip().endswith("FAULT  settings: streams\n  FAULT  kafka: kafka\n  FAULT  ports: ports")


def test_a_mistyped_variable_is_named(tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_SERVING_PROT", "1")
    told = doctor(tmp_path, "--only", "settings")
    assert told.code == 2
    assert "the variable FRESHET_SERVING_PROT" in told.only("fault")["found"]


def test_a_folder_of_settings_that_is_not_there_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_FOLDER, str(tmp_path / "none"))
    told = doctor(tmp_path, "--only", "settings")
    assert (told.code, told.only("warning")["found"]) == (
        0,
        f"{tmp_path / 'none'} is not there, so every setting has its default",
    )


NO_REDIS = "setting 'redis_url' of stage serving: it is no address like redis://host:6379/0"
NO_MILVUS = "setting 'milvus_uri' of stage publisher: it is no address like http://host:19530, nor a file that ends in"


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("streams", 'security_protocol = "SASL_SSL"', "security_protocol SASL_SSL needs sasl_username"),
        ("streams", 'tls_ca_file = "none.pem"\nsecurity_protocol = "SSL"', "tls_ca_file none.pem does not exist"),
        ("serving", 'token_file = "none"', "token_file none cannot be read: No such file or directory"),
        ("serving", 'redis_url = "secret"', NO_REDIS),
        ("serving", 'redis_url = "redis://secret:x"', NO_REDIS),
        ("publisher", 'milvus_uri = "tcp://x:99999"', NO_MILVUS + " .db"),
        ("publisher", 'milvus_uri = "host:19530"', NO_MILVUS + " .db"),
        ("trainer", 'day_zone = "Mars"', "no time zone is called 'Mars'"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(
    tmp_path: Path, config: Path, file: str, text: str, found: str
) -> None:
    (config / f"{file}.toml").write_text(text)
    told = doctor(tmp_path, "--only", "settings")
    assert (told.code, told.only("fault")["found"]) == (2, found)


def test_a_topic_without_shards_beside_those_of_another_is_a_warning(tmp_path: Path, config: Path) -> None:
    write_shards(Layout(tmp_path / "run"))
    (config / "trainer.toml").write_text('topic = "evnets"')
    told = doctor(tmp_path / "run", "--only", "settings")
    assert told.only("warning")["found"] == "there are shards of events and none of evnets"


def test_a_service_that_anybody_may_ask_is_a_warning(tmp_path: Path, config: Path) -> None:
    (config / "serving.toml").write_text('host = "0.0.0.0"')
    told = doctor(tmp_path, "--only", "settings")
    assert told.only("warning")["found"] == "anybody who reaches 0.0.0.0 may ask"


def test_a_broker_at_the_wrong_port_is_a_fault_that_names_it(tmp_path: Path, config: Path) -> None:
    (port,) = free_ports(1)
    (config / "streams.toml").write_text(f'bootstrap = "127.0.0.1:{port}"')
    told = doctor(tmp_path, "--only", "kafka")
    assert told.code == 2
    assert told.only("fault")["found"] == f"no Kafka broker at 127.0.0.1:{port}: nothing answers there"


@pytest.mark.parametrize("address", ["nonsense", "host:port:", ":9092"])
def test_what_is_no_address_of_a_broker_is_named(tmp_path: Path, config: Path, address: str) -> None:
    (config / "streams.toml").write_text(f'bootstrap = "{address}"')
    told = doctor(tmp_path, "--only", "kafka")
    assert (told.code, told.only("fault")["found"]) == (
        2,
        f"no Kafka broker at {address}: '{address}' is not host:port",
    )


def test_a_broker_that_never_answers_is_not_waited_for(
    tmp_path: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHET_STREAMS_BOOTSTRAP", f"127.0.0.1:{silent}")
    check = Check("kafka", "streams.checkup_kafka", "look", "streams")
    (line,) = asked(check, Layout(tmp_path), patience_s=0.1)
    assert (line.verdict, line.exit_code) == ("fault", 1)
    assert line.found == "no answer within 0.1 s: the rest of this group was not looked at"


def test_what_was_found_before_a_check_hangs_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # whoever opens it waits for a writer

    def look(layout: Layout) -> Iterator[Finding]:
        yield ok("first", "well")
        (layout.root / "pipe").read_bytes()

    found = list(answered(Check("disk", "", ""), look, Layout(tmp_path), 0.1))
    assert [(finding.what, finding.verdict) for finding in found] == [("first", "ok"), ("disk", "fault")]


def test_a_check_that_is_still_at_work_is_waited_for(tmp_path: Path) -> None:
    def look(layout: Layout) -> Iterator[Finding | None]:
        yield from (None, None, ok("all", "well"))

    found = list(answered(Check("chains", "", ""), look, Layout(tmp_path), 5.0))
    assert [(finding.what, finding.verdict) for finding in found] == [("all", "ok")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.EIO, "Input/output error", "a file"), 1),
        (OSError(errno.EROFS, "Read-only file system", "a file"), 2),
        (UsageError("it is wrong", hint="Mend it."), 2),
        (ModuleNotFoundError("No module named 'redis'", name="redis"), 2),
    ],
)
def test_an_error_ends_a_check_at_once_and_is_told(tmp_path: Path, error: Exception, code: int) -> None:
    def look(layout: Layout) -> Iterator[Finding]:
        yield ok("first", "well")
        raise error

    found = list(answered(Check("disk", "", ""), look, Layout(tmp_path), 5.0))
    assert [(finding.verdict, finding.exit_code) for finding in found] == [("ok", 0), ("fault", code)]


def test_a_mistake_in_a_check_is_the_fault_of_its_group_and_its_text_is_not_told(tmp_path: Path) -> None:
    def look(layout: Layout) -> Iterator[Finding]:
        yield ok("first", "it is well")
        raise LookupError("http://root:S3cretPw@host")

    first, last = answered(Check("disk", "infra.doctor.disk", ""), look, Layout(tmp_path), 5.0)
    assert (first.verdict, last.verdict, last.what, last.exit_code) == ("ok", "fault", "disk", 1)
    assert "infra.doctor.disk ended with a LookupError" in last.found and "S3cretPw" not in str(last)


def test_a_redis_that_is_away_is_a_fault_of_the_sink_and_a_warning_of_serving(tmp_path: Path, config: Path) -> None:
    (port,) = free_ports(1)
    url = f"redis://:secret@127.0.0.1:{port}/1"
    (config / "publisher.toml").write_text(f'[sinks]\nredis_url = "{url}"')
    (config / "serving.toml").write_text(f'redis_url = "{url}"')
    told = doctor(tmp_path, "--only", "sinks")
    assert (told.code, told.only("fault")["found"]) == (2, "the Redis sink failed: ConnectionError")
    assert "Redis does not answer within 0.05 s (ConnectionError)" in told.only("warning")["found"]
    assert "secret" not in json.dumps(told.lines)


def test_a_milvus_that_is_away_is_a_fault_of_the_publisher_and_a_warning_of_serving(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("MILVUS_URI", f"http://root:S3cretPw@127.0.0.1:{port}")
    installation(tmp_path / "run")
    told = doctor(tmp_path / "run", "--only", "served")
    assert told.code == 2
    assert told.only("fault")["found"].startswith(f"Milvus at http://127.0.0.1:{port} failed")
    assert f"cannot search in http://127.0.0.1:{port}: " in told.only("warning")["found"]
    assert "Exact search answers in its place, slowly" in told.only("warning")["found"]
    assert "S3cretPw" not in json.dumps(told.lines)


def test_a_port_that_another_program_has_is_a_fault_and_one_of_ours_is_none(
    tmp_path: Path, config: Path, silent: int
) -> None:
    registry = CollectorRegistry()
    pages = Pages(registry, lambda: (Vitals().view(), "it stands still"))
    with serving(("127.0.0.1", 0), pages.answer, "http_port") as ours:
        (config / "serving.toml").write_text(f"port = {silent}")
        (config / "streams.toml").write_text(f"http_port = {ours}")
        told = doctor(tmp_path, "--only", "ports")
    assert told.code == 2
    assert told.only("fault")["found"] == f"another program listens at 127.0.0.1 port {silent}"
    assert told.only("ok")["found"] == f"Freshet answers at 127.0.0.1 port {ours}: NOT well: it stands still"


def test_the_port_of_the_trainers_metrics_is_looked_at(
    tmp_path: Path, config: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config / "serving.toml").write_text("port = 0")
    monkeypatch.setenv("FRESHET_TRAINER_HTTP_PORT", str(silent))
    told = doctor(tmp_path, "--only", "ports")
    assert (told.code, told.only("fault")["what"]) == (2, "trainer's metrics")


def test_an_address_that_is_not_this_machines_is_a_fault(tmp_path: Path, config: Path) -> None:
    (config / "serving.toml").write_text('host = "192.0.2.1"')
    told = doctor(tmp_path, "--only", "ports")
    assert (told.code, told.only("fault")["what"]) == (2, "freshet serve")
    assert "192.0.2.1 port 8300" in told.only("fault")["found"]


@pytest.mark.parametrize("only", ["disk,dsk", "", ",", "Disk"])
def test_a_group_that_there_is_not_is_refused_with_those_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], only: str
) -> None:
    assert freshet.main(["doctor", "--root", str(tmp_path), "--only", only]) == 2
    said = capsys.readouterr()
    assert said.out == "" and f"Groups: {', '.join(GROUPS)}." in said.err


def test_faults_of_both_kinds_end_with_what_a_person_has_to_change(tmp_path: Path, config: Path) -> None:
    installation(tmp_path / "run")
    Layout(tmp_path / "run").item_store().rmdir()
    assert doctor(tmp_path / "run", "--only", "served,settings").code == 1
    (config / "streams.toml").write_text("x = 1")
    assert doctor(tmp_path / "run", "--only", "served,settings").code == 2
