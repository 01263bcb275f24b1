"""NatsLogin: where NATS is and who we are there, as the settings have it."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from bus import nats_files
from bus.errors import SettingsError
from bus.nats_settings import NatsSettings
from bus.nats_url import NatsServer, parse
from bus.nkey import NKey

INBOX = "_INBOX"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Proof:
    """What a server is shown besides a user and password.

    Args:
        tls: how to speak TLS; None for nats-py's own way.
        jwt: of a user.
        key: of a user.
    """

    tls: ssl.SSLContext | None = None
    jwt: str | None = field(default=None, repr=False)
    key: NKey | None = None


@dataclass(frozen=True, slots=True)
class NatsLogin:
    """Servers, and the files by which we show them who we are.

    Args:
        servers: with user and password, or token, if there are such.
        user: our name there, if there is one.
        inbox_prefix: subject below which answers are heard.
        creds, nkey, ca, cert, key: paths of files.
    """

    servers: Sequence[NatsServer]
    user: str | None = None
    inbox_prefix: str = INBOX
    creds: str | None = None
    nkey: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    @classmethod
    def of(cls, settings: NatsSettings) -> Self:
        """What the settings say.

        Raises:
            SettingsError: the credentials file cannot be read any more.
        """
        servers = parse(settings.nats_url)
        if settings.nats_user is not None and settings.nats_password is not None:
            password = settings.nats_password.get_secret_value()
            servers = tuple(replace(server, user=settings.nats_user, password=password) for server in servers)
        if settings.nats_ca is not None or settings.nats_cert is not None:
            servers = tuple(replace(server, scheme="tls") for server in servers)
        user = next((server.user for server in servers if server.user is not None), None)
        if settings.nats_creds is not None:
            try:
                user = nats_files.user_name(settings.nats_creds)
            except ValueError as error:
                raise SettingsError(f"NATS_CREDS: {error}; it could be read before") from None
        return cls(
            servers,
            user=user,
            inbox_prefix=settings.nats_inbox_prefix or _inbox_of(user),
            creds=settings.nats_creds,
            nkey=settings.nats_nkey,
            ca=settings.nats_ca,
            cert=settings.nats_cert,
            key=settings.nats_key,
        )

    @property
    def has_files(self) -> bool:
        """Whether there is anything to read."""
        return any((self.creds, self.nkey, self.ca, self.cert))

    def read(self) -> Proof:
        """Read the files as they are now, since credentials and certificates are renewed. It blocks.

        Raises:
            ValueError: one cannot be used; the message shows nothing of it.
        """
        tls = nats_files.tls(self.ca, self.cert, self.key) if self.ca or self.cert else None
        if self.creds is not None:
            return Proof(tls, *nats_files.credentials(self.creds))
        return Proof(tls, key=None if self.nkey is None else nats_files.seed(self.nkey))


def _inbox_of(user: str | None) -> str:
    """Each user has an inbox of its own, so that permissions can keep one from hearing the answers to another."""
    return f"{INBOX}.{user}" if user is not None and _NAME.fullmatch(user) else INBOX
