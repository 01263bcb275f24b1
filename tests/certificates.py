"""Certificates for servers on this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    certfile, keyfile = directory / "cert.pem", directory / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(keyfile)]
    command = ["openssl", "req", "-x509", *key, *subject, "-out", str(certfile)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return certfile, keyfile
