"""A certificate authority of the test's own, by the `openssl` command: PEM files in a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """Signs certificates; its own is `certificate`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate, self._key = self._make(name)

    def identity(self, name: str, host: str = "") -> tuple[Path, Path]:
        """Return the files of a certificate with CN `name`, valid for the IP address `host`, and of its key."""
        words = ["-CA", str(self.certificate), "-CAkey", str(self._key), "-addext", "basicConstraints=CA:FALSE"]
        return self._make(name, *words, *(["-addext", f"subjectAltName=IP:{host}"] if host else []))

    def files(self, name: str) -> tuple[Path, Path]:
        """Return where certificate and key of `name` lie."""
        return self._folder / f"{name}.pem", self._folder / f"{name}.key"

    def _make(self, name: str, *words: str) -> tuple[Path, Path]:
        certificate, key = self.files(name)
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
        ]
        command += ["-keyout", str(key), "-out", str(certificate), *words]
        subprocess.run(command, check=True, capture_output=True)
        return certificate, key
