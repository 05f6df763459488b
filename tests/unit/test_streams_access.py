"""The way to the brokers: settings that fit together, refusals that name a setting, and a password that never shows."""

from __future__ import annotations

import copy
import logging
import traceback
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import SecretStr

from contracts.errors import FreshetError, MissingInput, UsageError
from contracts.settings import CONFIG_FOLDER
from streams.access import TELLTALES, Access, HiddenPassword
from streams.settings import StreamsSettings
from streams.transport import credentials
from tests.support.certificates import Authority

PASSWORD = "hush-2Wd8-hush"
SASL = {"security_protocol": "SASL_SSL", "sasl_username": "worker"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_FOLDER, str(tmp_path))


def loaded(**settings: str) -> Access:
    return StreamsSettings.load(**settings).access


def test_a_broker_that_asks_nothing_is_reached_with_its_address_alone() -> None:
    access = Access.plain("a:1,b:2")
    assert access == loaded(bootstrap="a:1,b:2")
    assert access.client()["bootstrap_servers"] == ["a:1", "b:2"] == access.servers
    assert access.client()["security_protocol"] == "PLAINTEXT" and access.tls is None
    assert credentials(access) is None and str(access) == "a:1,b:2"


def test_the_password_comes_from_the_environment_or_the_first_line_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\nand what else is noted here\n")
    file.chmod(0o600)
    from_file = loaded(**SASL, sasl_password_file=str(file))
    monkeypatch.setenv("FRESHET_STREAMS_SASL_PASSWORD", PASSWORD)
    assert loaded(**SASL) == from_file
    assert from_file.client()["sasl_plain_password"].encode() == PASSWORD.encode()


def test_clients_are_given_the_password_the_user_and_the_tls_context(authority: Authority) -> None:
    access = loaded(**SASL, sasl_password=PASSWORD, tls_ca_file=str(authority.certificate))
    client, faust = access.client(), credentials(access)
    assert client["sasl_mechanism"] == "SCRAM-SHA-512" == faust.mechanism.value
    assert client["sasl_plain_username"] == "worker" == faust.username
    assert "".join(["", faust.password]) == PASSWORD
    assert client["ssl_context"] is access.tls is faust.ssl_context
    assert access.tls is not None and access.tls.check_hostname


def test_mutual_tls_takes_a_certificate_and_its_key(authority: Authority) -> None:
    certificate, key = authority.identity("worker")
    files = {"tls_certificate_file": str(certificate), "tls_key_file": str(key)}
    access = loaded(security_protocol="SSL", tls_ca_file=str(authority.certificate), **files)
    assert credentials(access).context is access.tls
    assert "sasl_mechanism" not in access.client()


def test_the_password_is_in_no_text_that_is_made_of_the_access(caplog: pytest.LogCaptureFixture) -> None:
    settings = StreamsSettings.load(**SASL, sasl_password=PASSWORD)
    access = settings.access
    shown = [f"{thing!r} {thing}" for thing in (settings.sasl_password, access.password, access)]
    shown += [repr(access), str(access), repr(settings), str(settings), repr(asdict(access)), repr(access.client())]
    shown += [settings.model_dump_json(), repr(credentials(access)), repr(copy.deepcopy(access.password))]
    try:
        raise UsageError(f"{access} {access!r} {access.client()}")
    except UsageError:
        shown.append(traceback.format_exc())
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("kafka").debug("configuration: %s %s", access.client(), access.password)
    assert PASSWORD not in " ".join([*shown, caplog.text])


@pytest.mark.parametrize("name", TELLTALES)
def test_loggers_that_write_out_logins_stay_silent_when_everything_is_debugged(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger(name).debug("Request 1: SaslAuthenticateRequest(auth_bytes=%r)", PASSWORD)
        logging.getLogger(name).warning("connection lost")
    assert PASSWORD not in caplog.text and "connection lost" in caplog.text


def test_a_hidden_password_keeps_its_characters() -> None:
    hidden = HiddenPassword(PASSWORD)
    assert hidden == PASSWORD and hidden.encode().decode() == PASSWORD and len(hidden) == len(PASSWORD)
    assert PASSWORD not in f"{hidden} {hidden!r} {hidden!s} {hidden:>40}"


@pytest.mark.parametrize(
    ("settings", "named", "hint"),
    [
        ({"security_protocol": "SASL_PLAINTEXT"}, "needs sasl_username", "sasl_username"),
        (SASL, "SASL_SSL needs sasl_password", "FRESHET_STREAMS_SASL_PASSWORD"),
        ({"sasl_username": "worker"}, "sasl_username is set", "security_protocol"),
        ({"sasl_password": PASSWORD}, "sasl_password is set", "security_protocol"),
        ({"tls_ca_file": "/etc/ca.pem"}, "tls_ca_file is set", "SSL or SASL_SSL"),
        ({"bootstrap": f"worker:{PASSWORD}@broker:9092"}, "holds more than addresses", "sasl_username"),
        ({"bootstrap": "kafka://broker:9092"}, "holds more than addresses", "host:port"),
        ({**SASL, "sasl_password": PASSWORD, "sasl_password_file": "x"}, "are both set", "empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_do_not_fit_together_are_refused_by_name(settings: dict[str, str], named: str, hint: str) -> None:
    with pytest.raises(UsageError, match=named) as refused:
        loaded(**settings)
    assert hint in refused.value.hint and refused.value.exit_code == 2
    assert PASSWORD not in str(refused.value) + refused.value.hint


def test_a_certificate_without_its_key_is_refused(authority: Authority) -> None:
    with pytest.raises(UsageError, match="only tls_certificate_file is set"):
        loaded(security_protocol="SSL", tls_certificate_file=str(authority.certificate))


@pytest.mark.parametrize("name", ["tls_ca_file", "tls_certificate_file", "tls_key_file"])
def test_a_tls_file_that_does_not_exist_is_refused_by_name(name: str) -> None:
    with pytest.raises(MissingInput, match=f"{name} /nowhere/x.pem does not exist"):
        loaded(security_protocol="SSL", **{name: "/nowhere/x.pem"})


def test_a_ca_file_without_a_certificate_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate\n")
    access = loaded(security_protocol="SSL", tls_ca_file=str(tmp_path / "ca.pem"))
    with pytest.raises(UsageError, match=r"tls_ca_file .* holds no certificate"):
        access.client()


def test_a_key_of_another_certificate_is_refused_by_name(authority: Authority) -> None:
    (certificate, _), (_, key) = authority.identity("one"), authority.identity("another")
    access = loaded(security_protocol="SSL", tls_certificate_file=str(certificate), tls_key_file=str(key))
    with pytest.raises(UsageError, match=r"tls_key_file .*another\.key cannot be used"):
        access.client()


@pytest.mark.parametrize(
    ("content", "error", "named"),
    [
        (None, MissingInput, "cannot be read: No such file"),
        (b"", UsageError, "first line of sasl_password_file .* is empty"),
        (b"\n" + PASSWORD.encode(), UsageError, "first line of sasl_password_file .* is empty"),
        (b"\xff\xfe" + PASSWORD.encode(), MissingInput, "it is not UTF-8 text"),
    ],
)
def test_a_password_file_without_a_password_is_refused_by_name(
    tmp_path: Path, content: bytes | None, error: type[FreshetError], named: str
) -> None:
    if content is not None:
        (tmp_path / "password").write_bytes(content)
    with pytest.raises(error, match=named) as refused:
        loaded(**SASL, sasl_password_file=str(tmp_path / "password"))
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_password_file_that_everybody_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(mode)
    assert loaded(**SASL, sasl_password_file=str(tmp_path / "password")).sasl_password == SecretStr(PASSWORD)
    assert ("chmod 600" in caplog.text) is warned and PASSWORD not in caplog.text


def test_a_wrong_security_setting_is_refused_without_showing_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_STREAMS_SASL_PASSWORD", PASSWORD)
    with pytest.raises(UsageError, match="'security_protocol' of stage streams") as refused:
        StreamsSettings.load(security_protocol="SASL")
    assert PASSWORD not in str(refused.value) + refused.value.hint
