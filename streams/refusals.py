"""Why no broker lets us in, told to a person: which step of a connection fails, and which setting is to be changed."""

from __future__ import annotations

import socket
import ssl
import time

from kafka.errors import KafkaTimeoutError

from contracts.errors import AccessRefused, MissingServer, OperatorError
from streams.access import Access
from streams.knock import (
    ILLEGAL_SASL_STATE,
    UNSUPPORTED_SASL_MECHANISM,
    Broker,
    speaks_tls,
    speaks_without_tls,
)

_PATIENCE_S = 12.0
_NO_RIGHT = {29, 30, 31}  # the protocol's TOPIC_, GROUP_ and CLUSTER_AUTHORIZATION_FAILED
_HOST_MISMATCH = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, ..._IP_ADDRESS_MISMATCH
_UNKNOWN_ISSUER = {18, 19, 20, 21}  # self-signed, self-signed in the chain, issuer not found, first one not verified
_GONE = (ConnectionResetError, ConnectionRefusedError, BrokenPipeError, TimeoutError, ssl.SSLEOFError)
_LOOK = "Check the address (--bootstrap, FRESHET_STREAMS_BOOTSTRAP), or start one: `python -m infra.kafka up`."


def no_broker(access: Access, error: Exception, doing: str = "") -> OperatorError:
    """Return what a person has to know about `error`, which a client raised while `doing` something with a topic.

    `AccessRefused` where an ACL right is missing. Else each step of reaching the brokers is asked anew, in at most
    about 20 s: `AccessRefused` names the step that fails, `MissingServer` says that nothing answers.
    """
    if lacks_right(error):
        return no_right(access, doing or "do this")
    deadline = time.monotonic() + _PATIENCE_S
    found: OperatorError | None = None
    for server in access.servers:
        refusal = asked(access, server)
        if isinstance(refusal, AccessRefused):
            return refusal
        found = found or refusal
        if time.monotonic() > deadline:
            break
    happened = "did not answer in time" if isinstance(error, KafkaTimeoutError) else f"failed ({error})"
    return found or MissingServer(
        f"the Kafka broker at {access} {happened}, and answers now",
        hint="Run the same command again: it goes on where it stopped.",
    )


def lacks_right(error: Exception) -> bool:
    """Return whether a client's error says that an ACL right is missing; a producer's start says it in words only."""
    code = None if isinstance(error, OSError) else getattr(error, "errno", None)
    return code in _NO_RIGHT or "AuthorizationFailedError" in str(error)


def no_right(access: Access, doing: str) -> AccessRefused:
    """Return the error for a missing right; `doing` is what was tried, as a verb phrase that names topic or group."""
    return AccessRefused(
        f"{access.who} may not {doing} on {access.bootstrap}",
        hint="Have an administrator grant it (kafka-acls --add: Read on a topic to be read and on the workers' group, "
        "Write on one to be written), or set sasl_username to a user who may.",
    )


def asked(access: Access, server: str) -> OperatorError | None:
    """Ask one broker, host:port, now; return what it refuses, None where it refuses nothing."""
    host, _, port = server.rpartition(":")
    if not port.isdigit() or not host:
        return MissingServer(f"no Kafka broker at {access}: {server!r} is not host:port", hint=_LOOK)
    return _asked(access, host.strip("[]"), int(port))


def _asked(access: Access, host: str, port: int) -> OperatorError | None:
    try:
        with socket.create_connection((host, port), timeout=3):
            pass
    except OSError as error:
        return MissingServer(f"no Kafka broker at {access}: {_silence(error)}", hint=_LOOK)
    try:
        broker = Broker(host, port, access.tls)
    except OSError as error:
        return _no_handshake(access, host, port, error)
    with broker:
        try:
            broker.speaks_kafka()
        except OSError as error:
            return _no_answer(access, host, port, error)
        try:
            return _no_login(access, broker)
        except _GONE as error:
            return _gone(access, error)
        except OSError as error:
            return _refused(access, f"it ends the login: {error}", "See the broker's log.")


def _no_handshake(access: Access, host: str, port: int, error: OSError) -> OperatorError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _no_trust(access, host, error)
    if speaks_without_tls(host, port):
        without = "SASL_PLAINTEXT" if access.uses_sasl else "PLAINTEXT"
        return _refused(
            access,
            "it speaks without TLS on this port",
            f"Name the broker's TLS port in bootstrap, or set security_protocol to {without} where the network allows.",
        )
    if isinstance(error, _GONE):
        return _gone(access, error)
    return _refused(access, f"TLS could not be agreed on ({_words(error)})", "See the broker's log, and its TLS port.")


def _no_trust(access: Access, host: str, error: ssl.SSLCertVerificationError) -> AccessRefused:
    if error.verify_code in _HOST_MISMATCH:
        return _refused(
            access,
            f"its certificate is not for {host!r}",
            "Name the broker in bootstrap as its certificate does, or have one issued that names this host.",
        )
    if error.verify_code in _UNKNOWN_ISSUER:
        whom = f"the CA in tls_ca_file {access.tls_ca_file}" if access.tls_ca_file else "a CA that this system trusts"
        return _refused(
            access,
            f"its certificate is not signed by {whom}",
            "Set tls_ca_file to the PEM file with the certificate of the CA that signed the broker's.",
        )
    return _refused(
        access, f"its certificate is refused: {error.verify_message}", "Have the broker's certificate renewed."
    )


def _no_answer(access: Access, host: str, port: int, error: OSError) -> OperatorError:
    if not access.uses_tls and speaks_tls(host, port):
        wanted = "SASL_SSL" if access.uses_sasl else "SASL_SSL (or SSL, where it asks for no login)"
        return _refused(
            access,
            "it speaks TLS on this port",
            f"Set security_protocol to {wanted}, and tls_ca_file if its CA is a private one.",
        )
    if access.uses_tls and access.tls_certificate_file is None and _asks_for_certificate(error):
        return _refused(
            access,
            "it asks for a certificate of ours",
            "Set tls_certificate_file and tls_key_file to the PEM files that its administrator gave out.",
        )
    if access.uses_tls and _asks_for_certificate(error):
        return _refused(
            access,
            f"it does not accept the certificate in {access.tls_certificate_file}",
            "Set tls_certificate_file and tls_key_file to ones signed by the CA that the broker trusts.",
        )
    if isinstance(error, _GONE):
        return _gone(access, error)
    return _refused(access, f"it is no Kafka broker ({_words(error)})", "Check the port in bootstrap.")


def _no_login(access: Access, broker: Broker) -> AccessRefused | None:
    code, offered = broker.login_mechanisms(access.sasl_mechanism)
    offer = ", ".join(sorted(offered)) or "none"
    if not access.uses_sasl:
        if code == ILLEGAL_SASL_STATE:
            return None
        wanted = "SASL_SSL" if access.uses_tls else "SASL_PLAINTEXT"
        return _refused(
            access,
            f"it asks for a login (it offers {offer})",
            f"Set security_protocol to {wanted}, sasl_mechanism, sasl_username, and the password "
            "(FRESHET_STREAMS_SASL_PASSWORD or sasl_password_file).",
        )
    if code == ILLEGAL_SASL_STATE:
        plain = "SSL" if access.uses_tls else "PLAINTEXT"
        return _refused(access, "it asks for no login on this port", f"Set security_protocol to {plain}.")
    if code == UNSUPPORTED_SASL_MECHANISM:
        return _refused(
            access, f"it offers {offer} and not {access.sasl_mechanism}", "Set sasl_mechanism to one of these."
        )
    if broker.lets_in(access):
        return None
    return _refused(
        access,
        f"the password is wrong, or there is no user {access.sasl_username!r} for {access.sasl_mechanism}",
        "Check sasl_username and the password (FRESHET_STREAMS_SASL_PASSWORD or sasl_password_file), "
        "and that the user was made for this mechanism.",
    )


def _gone(access: Access, error: OSError) -> MissingServer:
    """A broker that starts or dies, or the proxy before one that is away, takes connections and drops them."""
    return MissingServer(f"no Kafka broker at {access}: the connection is dropped ({_words(error)})", hint=_LOOK)


def _refused(access: Access, reason: str, hint: str) -> AccessRefused:
    return AccessRefused(f"the Kafka broker at {access} refuses us: {reason}", hint=hint)


def _asks_for_certificate(error: OSError) -> bool:
    """A broker that wants another certificate, or any, says so in an alert or just goes."""
    return "CERTIFICATE" in (getattr(error, "reason", None) or "") or isinstance(error, ConnectionResetError)


def _silence(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host's name is not known"
    return "nothing answers there"


def _words(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or error)
