"""How to reach a Kafka cluster: addresses, who we say we are, and whom we trust. One value for every client.

The password is never shown: not in `repr`, not by `%s`, not in what a client library logs of its configuration.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from contracts.errors import MissingInput, UsageError

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

BOOTSTRAP_TIMEOUT_MS = 10_000
logger = logging.getLogger("freshet.streams")
_NO_PASSWORD = SecretStr("")

# At DEBUG these write out every request, the bytes of a login among them; other loggers may say what they like.
TELLTALES = ("kafka.net.connection", "kafka.protocol.parser", "aiokafka.conn")
for _name in TELLTALES:
    logging.getLogger(_name).setLevel(logging.INFO)


class HiddenPassword(str):
    """A password as client libraries take it: they read its characters, and whoever prints it prints asterisks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"

    def __str__(self) -> str:
        return "**********"

    def __format__(self, spec: str) -> str:
        return format("**********", spec)


@dataclass(frozen=True)
class Access:
    """The way into one cluster. Raises `UsageError` where its parts contradict each other, naming the setting.

    `bootstrap`: brokers as host:port, comma-separated. `sasl_*` are for the SASL_ protocols, `tls_*` for those with
    SSL in their name: `tls_ca_file` is a private CA in place of the system's, certificate and key are for mutual TLS.
    """

    bootstrap: str
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: SecretStr = _NO_PASSWORD
    tls_ca_file: Path | None = None
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None

    def __post_init__(self) -> None:
        _refuse_addresses(self.bootstrap)
        if self.uses_sasl:
            _need(self.sasl_username, "sasl_username", self.security_protocol, "the user to log in as")
            _need(self.sasl_password.get_secret_value(), "sasl_password", self.security_protocol, "best in a file")
        else:
            _refuse(self.sasl_username, "sasl_username", self.security_protocol, "SASL_PLAINTEXT or SASL_SSL")
            _refuse(self.sasl_password.get_secret_value(), "sasl_password", self.security_protocol, "SASL_SSL")
        files = self._tls_files()
        for name, path in files.items():
            if self.uses_tls:
                _need_file(path, name)
            else:
                _refuse(path, name, self.security_protocol, "SSL or SASL_SSL")
        if len(files.keys() & {"tls_certificate_file", "tls_key_file"}) == 1:
            raise UsageError(
                f"of tls_certificate_file and tls_key_file only {next(iter(files.keys() - {'tls_ca_file'}))} is set",
                hint="A client certificate needs both; without mutual TLS leave both out.",
            )

    @classmethod
    def plain(cls, bootstrap: str) -> Access:
        """Return the access to brokers that ask nothing."""
        return cls(bootstrap)

    @property
    def servers(self) -> list[str]:
        """The addresses, each host:port."""
        return self.bootstrap.split(",")

    @property
    def uses_sasl(self) -> bool:
        """Whether we say a name and a password."""
        return self.security_protocol.startswith("SASL_")

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted and the broker's certificate checked."""
        return self.security_protocol.endswith("SSL")

    @property
    def password(self) -> HiddenPassword:
        """The password for a client library."""
        return HiddenPassword(self.sasl_password.get_secret_value())

    @cached_property
    def tls(self) -> ssl.SSLContext | None:
        """The TLS context, which checks certificate and host name; None without TLS. Raises `UsageError`."""
        if not self.uses_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.tls_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"tls_ca_file {self.tls_ca_file} holds no certificate that can be read: {_reason(error)}",
                hint="It has to be the CA's certificate in PEM form (-----BEGIN CERTIFICATE-----).",
            ) from None
        if self.tls_certificate_file is not None:
            try:  # the empty passphrase keeps OpenSSL from asking for one at the terminal
                context.load_cert_chain(self.tls_certificate_file, self.tls_key_file, password="")
            except (OSError, ssl.SSLError) as error:
                raise UsageError(
                    f"tls_certificate_file {self.tls_certificate_file} and tls_key_file {self.tls_key_file} "
                    f"cannot be used: {_reason(error)}",
                    hint="Both in PEM form, the key without a passphrase and made for this certificate.",
                ) from None
        return context

    def client(self) -> dict[str, Any]:
        """Return the arguments with which every client of kafka-python reaches the cluster. Raises `UsageError`."""
        given: dict[str, Any] = {
            "bootstrap_servers": self.servers,
            "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
            "security_protocol": self.security_protocol,
            "ssl_context": self.tls,
        }
        if self.uses_sasl:
            given["sasl_mechanism"] = self.sasl_mechanism
            given["sasl_plain_username"], given["sasl_plain_password"] = self.sasl_username, self.password
        return given

    @property
    def who(self) -> str:
        """Whom the brokers take us for, as the subject of a sentence."""
        if self.uses_sasl:
            return f"user {self.sasl_username!r}"
        return f"the owner of {self.tls_certificate_file}" if self.tls_certificate_file else "who does not log in"

    def __str__(self) -> str:
        """Where to and as whom, for messages."""
        if self.security_protocol == "PLAINTEXT":
            return self.bootstrap
        who = f" as {self.sasl_username} with {self.sasl_mechanism}" if self.uses_sasl else ""
        return f"{self.bootstrap} ({self.security_protocol}{who})"

    def _tls_files(self) -> dict[str, Path]:
        files = {
            "tls_ca_file": self.tls_ca_file,
            "tls_certificate_file": self.tls_certificate_file,
            "tls_key_file": self.tls_key_file,
        }
        return {name: path for name, path in files.items() if path is not None}


def password_from(password: SecretStr, file: str) -> SecretStr:
    """Return the password itself, or the first line of `file` where one is named.

    Warns where other users of the machine may read the file. Raises `UsageError` for both at once and for a file that
    holds none, `MissingInput` for one that cannot be read.
    """
    if not file:
        return password
    if password.get_secret_value():
        raise UsageError(
            "sasl_password and sasl_password_file are both set",
            hint="Leave one of them empty (the first is also FRESHET_STREAMS_SASL_PASSWORD).",
        )
    try:
        lines, mode = (
            Path(file).expanduser().read_text(encoding="utf-8").splitlines(),
            Path(file).expanduser().stat().st_mode,
        )
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise MissingInput(
            f"sasl_password_file {file} cannot be read: {reason}",
            hint="Write the password into it, as its first line, and let this user alone read it (chmod 600).",
        ) from None
    if not lines or not lines[0]:
        raise UsageError(f"the first line of sasl_password_file {file} is empty", hint="It has to be the password.")
    if mode & 0o004:
        logger.warning("every user of this machine may read sasl_password_file %s: chmod 600 it", file)
    return SecretStr(lines[0])


def _refuse_addresses(bootstrap: str) -> None:
    """A password in an address would be shown with it; what is refused here is therefore not repeated."""
    if "@" in bootstrap or "://" in bootstrap:
        raise UsageError(
            "setting bootstrap holds more than addresses",
            hint="Name brokers as host:port alone; user and password are the settings sasl_username and sasl_password.",
        )


def _need(value: str, name: str, protocol: str, what: str) -> None:
    if not value:
        more = ", or FRESHET_STREAMS_SASL_PASSWORD or sasl_password_file" if name == "sasl_password" else ""
        raise UsageError(
            f"security_protocol {protocol} needs {name}", hint=f"Set {name}{more} for the streams stage: {what}."
        )


def _refuse(value: object, name: str, protocol: str, instead: str) -> None:
    if value:
        raise UsageError(
            f"{name} is set, and security_protocol {protocol} does not use it",
            hint=f"Set security_protocol to {instead}, or take {name} out.",
        )


def _need_file(path: Path, name: str) -> None:
    if not path.is_file():
        raise MissingInput(f"{name} {path} does not exist", hint=f"Set {name} to a PEM file that this user may read.")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
