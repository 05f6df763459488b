"""Whether a page of ours can be had at an address, or who has it already: for `freshet doctor`."""

from __future__ import annotations

import errno
import http.client
import json
import socket
from contextlib import closing

from contracts.findings import Finding, fault, ok

TIMEOUT_S = 2.0
_OURS = {"healthy", "ok"}  # keys of the two answers that Freshet gives at /healthz


def at(what: str, host: str, port: int, setting: str) -> Finding:
    """Return whether a process could listen at an address, or whether one of ours does; `setting` names the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:  # bound as servers do, and never listening
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        return ok(what, f"{host} port {port} is free")
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            said = f"nobody can listen at {host} port {port}: {error.strerror or error}"
            return fault(what, said, f"Set {setting} to an address and a port that this machine has.")
    answer = _health(host, port)
    if answer:
        return ok(what, f"Freshet answers at {host} port {port}: {answer}")
    return fault(
        what,
        f"another program listens at {host} port {port}",
        f"Set {setting} to another port, or end that program: ss -ltnp 'sport = :{port}' names it.",
    )


def _health(host: str, port: int) -> str:
    """Return what a process of ours says of its health; empty where it is none of ours."""
    with closing(http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)) as connection:
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            said = json.loads(answer.read(1 << 16))
        except (OSError, ValueError, http.client.HTTPException):
            return ""
    if not isinstance(said, dict) or not _OURS & set(said):
        return ""
    return "it is well" if answer.status == http.client.OK else f"NOT well: {said.get('reason')}"
