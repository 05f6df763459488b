"""What a broker may demand of its clients: passwords, TLS, certificates, rights. For tests of clients against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Protocol = Literal["SASL_PLAINTEXT", "SASL_SSL", "SSL"]

_MODULES = "org.apache.kafka.common.security"
_HASHES = ("SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class Demands:
    """Listeners beside the plain one, one for each protocol, on 127.0.0.1; the SSL one asks for a client certificate.

    SASL_PLAINTEXT takes PLAIN and SCRAM, SASL_SSL only SCRAM. Rights are denied where no ACL grants them, but not to
    `masters` and not on the plain listener. `identity`: PEM file of the broker's key (PKCS #8) and certificate;
    `authority`: PEM file of the CA that signs clients' certificates. A client's name is the CN of its certificate.
    """

    ports: Mapping[Protocol, int]
    passwords: Mapping[str, str]
    masters: frozenset[str]
    identity: Path
    authority: Path

    def address(self, protocol: Protocol) -> str:
        """Return the `host:port` of a listener."""
        return f"127.0.0.1:{self.ports[protocol]}"

    def added_to(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return the broker's settings with these demands."""
        listeners = ",".join(f"{protocol}://{self.address(protocol)}" for protocol in self.ports)
        longer = {
            "listeners": listeners,
            "advertised.listeners": listeners,
            "listener.security.protocol.map": ",".join(f"{protocol}:{protocol}" for protocol in self.ports),
        }
        joined = {key: f"{settings[key]},{more}" for key, more in longer.items()}
        return {**settings, **joined, **self._passwords(), **self._certificates(), **self._rights()}

    def format_arguments(self) -> list[str]:
        """Return what the storage tool has to be told, so that the users exist before the first start."""
        users = [f"{mechanism}=[name={u},password={p}]" for u, p in self.passwords.items() for mechanism in _HASHES]
        return [word for user in users for word in ("--add-scram", user)]

    def _passwords(self) -> dict[str, str]:
        known = " ".join(f'user_{user}="{password}"' for user, password in self.passwords.items())
        modules = {
            "sasl_plaintext.plain": f"{_MODULES}.plain.PlainLoginModule required {known};",
            **{
                f"{listener}.{mechanism.lower()}": f"{_MODULES}.scram.ScramLoginModule required;"
                for listener in ("sasl_plaintext", "sasl_ssl")
                for mechanism in _HASHES
            },
        }
        return {
            "listener.name.sasl_plaintext.sasl.enabled.mechanisms": ",".join(("PLAIN", *_HASHES)),
            "listener.name.sasl_ssl.sasl.enabled.mechanisms": ",".join(_HASHES),
            **{f"listener.name.{name}.sasl.jaas.config": module for name, module in modules.items()},
        }

    def _certificates(self) -> dict[str, str]:
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.identity),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority),
            "listener.name.ssl.ssl.client.auth": "required",
            "listener.name.ssl.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
        }

    def _rights(self) -> dict[str, str]:
        return {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": ";".join(f"User:{name}" for name in ("ANONYMOUS", *sorted(self.masters))),
        }
