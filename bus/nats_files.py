"""The files by which a process shows NATS who it is: credentials, an NKey seed, certificates. What is wrong with one is
told without what is in it, and without its path, in place of which the secret itself may have been given."""

from __future__ import annotations

import base64
import json
import re
import ssl
from contextlib import suppress

from bus import setting_files
from bus.nkey import NKey

CREDS, NKEY = "the file that NATS_CREDS names", "the file that NATS_NKEY names"

_PART = re.compile(r"-{3,}\s*BEGIN ([^-]+?)\s*-{3,}\s*(\S+)\s*-{3,}\s*END \1\s*-{3,}")


def credentials(path: str) -> tuple[str, NKey]:
    """The JWT and the key of a user, from a credentials file.

    Raises:
        ValueError: it cannot be read, or is no such file.
    """
    parts = dict(_PART.findall(setting_files.content(path, CREDS)))
    try:
        return parts["NATS USER JWT"], NKey.of_seed(parts["USER NKEY SEED"])
    except KeyError as missing:
        raise ValueError(f"{CREDS} is no credentials file of NATS: it has no {missing.args[0]}") from None
    except ValueError as error:
        raise ValueError(f"{CREDS} has {error}") from None


def user_name(path: str) -> str | None:
    """The name of the user in a credentials file, if it has one that can be read."""
    jwt, _ = credentials(path)
    with suppress(ValueError, IndexError):
        claims = jwt.split(".")[1]
        name = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))).get("name")
        return name if isinstance(name, str) else None
    return None


def seed(path: str) -> NKey:
    """The key of a user, from a file with its seed, among comments perhaps.

    Raises:
        ValueError: it cannot be read, or holds none.
    """
    lines = [line.strip() for line in setting_files.content(path, NKEY).splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if len(found) != 1:
        raise ValueError(f"{NKEY} has more or less than one line, an NKey seed")
    try:
        return NKey.of_seed(found[0])
    except ValueError as error:
        raise ValueError(f"{NKEY} has {error}") from None


def tls(authorities: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """How to speak TLS with NATS.

    Raises:
        ValueError: a file cannot be read, or holds something else; a certificate and its key do not fit.
    """
    try:
        context = ssl.create_default_context(cafile=authorities)
    except (OSError, ValueError) as error:
        raise ValueError(f"the certificates that NATS_CA names cannot be used: {_reason(error)}") from None
    if certificate is not None:
        try:
            # An empty password, or Python would ask for one at the terminal.
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ValueError) as error:
            raise ValueError(f"what NATS_CERT and NATS_KEY name cannot be used: {_reason(error)}") from None
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM that can be read").lower().replace("_", " ")
    return getattr(error, "strerror", None) or type(error).__name__
