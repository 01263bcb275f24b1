"""The environment variables that say where NATS is, and who this process is there."""

from __future__ import annotations

import re

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from bus import nats_files, nats_url
from bus.environment import Environment

_INBOX_PREFIX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class NatsSettings(Environment):
    """Settings of the way to NATS. Files are named, and read anew for each connection."""

    nats_url: str = Field(
        "nats://127.0.0.1:4222",
        alias="NATS_URL",
        repr=False,
        description="NATS server, or several separated by commas: nats:// or tls://, which refuses a server without "
        "TLS. User and password, or a token, may stand before the host, percent-encoded.",
    )
    nats_user: str | None = Field(
        None, alias="NATS_USER", description="User at every server, where NATS_URL names none; with NATS_PASSWORD."
    )
    nats_password: SecretStr | None = Field(
        None, alias="NATS_PASSWORD", validate_default=True, description="Its password, as it is: nothing is encoded."
    )
    nats_creds: str | None = Field(
        None,
        alias="NATS_CREDS",
        description="Path of a credentials file (.creds), with a user's JWT and NKey seed, instead of a password.",
    )
    nats_nkey: str | None = Field(
        None, alias="NATS_NKEY", description="Path of a file with a user's NKey seed, instead of a password."
    )
    nats_ca: str | None = Field(
        None,
        alias="NATS_CA",
        description="Path of the certificates, PEM, of the authorities that may vouch for NATS servers, instead of "
        "those that the system trusts. With it, as with tls://, a server without TLS is refused.",
    )
    nats_cert: str | None = Field(
        None,
        alias="NATS_CERT",
        description="Path of our own certificate and chain, PEM, for servers that ask for one; with NATS_KEY. A server "
        "without TLS is refused.",
    )
    nats_key: str | None = Field(
        None, alias="NATS_KEY", validate_default=True, description="Path of its private key, PEM, not encrypted."
    )
    nats_inbox_prefix: str | None = Field(
        None,
        alias="NATS_INBOX_PREFIX",
        description="Subject below which this process hears answers: what its NATS user may subscribe. By default "
        "_INBOX. and the user's name, also the one in a credentials file; _INBOX where there is none.",
    )

    @field_validator("nats_url")
    @classmethod
    def _readable_nats_url(cls, value: str) -> str:
        nats_url.parse(value)
        return value

    @field_validator("nats_password")
    @classmethod
    def _has_user(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        user = info.data.get("nats_user")
        if (user is None) != (value is None):
            raise ValueError("NATS_USER and NATS_PASSWORD belong together; set both, or none")
        if user is not None and _url_has_login(info):
            raise ValueError("NATS_URL names a user or token already; remove that, or NATS_USER and NATS_PASSWORD")
        return value

    @field_validator("nats_creds")
    @classmethod
    def _readable_creds(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            _require_no_other(info)
            nats_files.credentials(value)
        return value

    @field_validator("nats_nkey")
    @classmethod
    def _readable_nkey(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            _require_no_other(info)
            nats_files.seed(value)
        return value

    @field_validator("nats_ca")
    @classmethod
    def _readable_authorities(cls, value: str | None) -> str | None:
        if value is not None:
            nats_files.tls(value, None, None)
        return value

    @field_validator("nats_key")
    @classmethod
    def _fits_its_certificate(cls, value: str | None, info: ValidationInfo) -> str | None:
        certificate = info.data.get("nats_cert")
        if (certificate is None) != (value is None):
            raise ValueError("NATS_CERT and NATS_KEY belong together; set both, or none")
        if value is not None:
            nats_files.tls(None, certificate, value)
        return value

    @field_validator("nats_inbox_prefix")
    @classmethod
    def _is_a_subject(cls, value: str | None) -> str | None:
        if value is not None and not _INBOX_PREFIX.fullmatch(value):
            raise ValueError("must be a subject without wildcards, such as _INBOX.web")
        return value


def _url_has_login(info: ValidationInfo) -> bool:
    url = info.data.get("nats_url")  # missing when it could not be read, which is said already
    return url is not None and any(server.has_credentials for server in nats_url.parse(url))


def _require_no_other(info: ValidationInfo) -> None:
    others = [name for name in ("NATS_USER", "NATS_CREDS") if info.data.get(name.lower()) is not None]
    if _url_has_login(info):
        others.append("a user or token in NATS_URL")
    if others:
        raise ValueError(f"does not go with {' and '.join(others)}: a connection has one login")
