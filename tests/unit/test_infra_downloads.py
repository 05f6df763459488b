"""What is fetched for servers is there whole or not at all, and ports that are given out are free."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from contracts.errors import MissingServer, UsageError
from infra.cache import fill_once
from infra.kafka.broker import LocalBroker
from infra.kafka.jars import fetch_jars, jars_there
from infra.milvus.server import SESSION_TTL_S, write_configuration
from infra.ports import free_ports, is_free


def test_a_folder_whose_filling_failed_is_not_there_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise MissingServer("the network is gone")

    with pytest.raises(MissingServer):
        fill_once(tmp_path / "libs", fail)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_filled_once(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "a.jar").write_text("first")

    def never(folder: Path) -> None:
        pytest.fail("it was filled again")

    fill_once(tmp_path / "libs", fill)

    assert (fill_once(tmp_path / "libs", never) / "a.jar").read_text() == "first"


def test_of_two_that_fill_at_once_the_first_wins_and_both_go_on(tmp_path: Path) -> None:
    target = tmp_path / "libs"

    def faster(folder: Path) -> None:
        (folder / "a.jar").write_text("faster")

    def slower(folder: Path) -> None:
        (folder / "a.jar").write_text("slower")
        fill_once(target, faster)

    assert (fill_once(target, slower) / "a.jar").read_text() == "faster"
    assert list(tmp_path.iterdir()) == [target]


def test_jars_without_maven_are_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FRESHET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingServer, match="Maven, which fetches them, is not there") as error:
        fetch_jars()

    assert "apt-get install maven" in error.value.hint


def test_jars_that_maven_cannot_fetch_are_told_with_its_first_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] no route to the mirror'\necho '[ERROR] -> [Help 1]'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("FRESHET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingServer, match=r"could not fetch Kafka's jars: no route to the mirror$"):
        fetch_jars()

    assert not jars_there()


def test_ports_given_out_together_differ_and_are_free() -> None:
    ports = free_ports(20)

    assert len(set(ports)) == 20
    assert all(is_free(port) for port in ports)


def test_a_port_on_which_somebody_listens_is_refused_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]

        with pytest.raises(UsageError, match=f"Port {taken} is in use"):
            LocalBroker(port=taken)


def test_a_milvus_server_is_configured_with_its_own_ports_everywhere(tmp_path: Path) -> None:
    ports = write_configuration(tmp_path)
    configured = (tmp_path / "configs" / "milvus.yaml").read_text().replace(": ", ":")
    etcd = (tmp_path / "configs" / "etcd.yaml").read_text()

    assert "{{" not in configured
    assert all(f":{port}\n" in configured for port in ports.internal.values())
    assert f"port:{ports.proxy}\n" in configured
    assert f"endpoints:localhost:{ports.etcd_client}\n" in configured
    assert f"    ttl:{SESSION_TTL_S} " in configured
    assert f"listen-client-urls: http://127.0.0.1:{ports.etcd_client}\n" in etcd
    assert f"listen-peer-urls: http://127.0.0.1:{ports.etcd_peer}\n" in etcd
