"""A broker that demands passwords, certificates and rights, and the settings with which its clients get in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from infra.kafka.broker import LocalBroker
from infra.kafka.demands import Demands, Protocol
from infra.ports import free_ports
from streams.access import Access
from streams.settings import StreamsSettings
from tests.support.certificates import Authority

MASTER, STRANGER = "worker", "stranger"
PASSWORDS = {MASTER: "hush-7Qf3-worker", STRANGER: "hush-9Zt1-stranger"}
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Listener:
    """One of the addresses of a broker."""

    bootstrap: str


class SecuredBroker(LocalBroker):
    """`MASTER` may do everything, `STRANGER` only what `grant` grants; `bootstrap` is the plain listener, for tests.

    The certificate names 127.0.0.1 and not localhost.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "tls")
        certificate, key = self.authority.identity("broker", HOST)
        identity = folder / "tls" / "broker-identity.pem"
        identity.write_text(key.read_text() + certificate.read_text())
        for user in PASSWORDS:
            self.authority.identity(user)
        plain, sasl, mutual = free_ports(3)
        ports: dict[Protocol, int] = {"SASL_PLAINTEXT": plain, "SASL_SSL": sasl, "SSL": mutual}
        self.demands = Demands(ports, PASSWORDS, frozenset({MASTER}), identity, self.authority.certificate)
        super().__init__(folder / "kafka", demands=self.demands)

    def listener(self, protocol: Protocol) -> Listener:
        """Return the address of a listener."""
        return Listener(self.demands.address(protocol))

    def settings(self, protocol: Protocol, user: str = MASTER) -> dict[str, str]:
        """Return the settings of streams for a listener: a password with SCRAM-SHA-512, for SSL a certificate."""
        found: dict[str, str] = {"security_protocol": protocol}
        if protocol != "SASL_PLAINTEXT":
            found["tls_ca_file"] = str(self.authority.certificate)
        if protocol == "SSL":
            certificate, key = self.authority.files(user)
            return found | {"tls_certificate_file": str(certificate), "tls_key_file": str(key)}
        return found | {"sasl_username": user, "sasl_password": PASSWORDS[user]}

    def access(self, protocol: Protocol, user: str = MASTER, **others: str) -> Access:
        """Return the way in by these settings, some of them others."""
        settings = {"bootstrap": self.demands.address(protocol), **self.settings(protocol, user), **others}
        return StreamsSettings.load(**settings).access

    def grant(self, kind: str, name: str, *operations: str) -> None:
        """Let `STRANGER` do `operations` on the topic or group (`kind`) `name`."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        pattern = ResourcePattern(ResourceType[kind.upper()], name)
        rights = [
            ACL(f"User:{STRANGER}", "*", ACLOperation[operation.upper()], ACLPermissionType.ALLOW, pattern)
            for operation in operations
        ]
        try:
            admin.create_acls(rights)
        finally:
            admin.close()
