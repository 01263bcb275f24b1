"""Authenticator: finds out who a client is, by the token that it brings or does not bring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bus import Settings, SettingsError
from quart_app.errors import BadKeys, FetchFailed, KeysUnavailable, Unauthorized
from quart_app.identity import keys
from quart_app.identity.claims import identity_of
from quart_app.identity.identity import Identity
from quart_app.identity.key_set import KeySet, read_file, reader_of
from quart_app.identity.keys import Key
from quart_app.identity.token import check, claims_of, header_of


class Authenticator:
    """What `BUS_AUTH` says: everybody may come anonymously, or who brings a valid token.

    Args:
        settings: of this process.

    Raises:
        SettingsError: tokens are asked for, and none could be verified.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fixed: list[Key] = []
        self._set: KeySet | None = None
        if settings.auth == "jwt":
            self._find_keys(settings)

    @property
    def asks(self) -> bool:
        """Whether clients have to prove who they are."""
        return self._settings.auth == "jwt"

    async def start(self) -> None:
        """Read the keys that have to be fetched. Where that fails, clients are told to try again until it succeeds."""
        if self._set is not None:
            await self._set.refresh()

    async def close(self) -> None:
        """Fetch nothing more."""
        if self._set is not None:
            await self._set.close()

    async def ping(self) -> None:
        """See that a token could be verified.

        Raises:
            KeysUnavailable: none could, for want of any key.
        """
        if self._set is not None and not self._set and not self._fixed:
            await self._set.refresh()
            if self._set.failure is not None:
                raise KeysUnavailable(self._set.failure)

    async def identify(self, token: str | None) -> Identity:
        """Who brings this token.

        Raises:
            Unauthorized: it proves nothing, or there has to be one and is none.
            KeysUnavailable: it is not known whether it proves anything.
        """
        if not self.asks:
            if token is not None:
                raise Unauthorized("this server takes no tokens: its BUS_AUTH is none")
            return Identity.anonymous()
        if token is None:
            raise Unauthorized("a token is needed, and none came")
        claims = claims_of(token, await self._candidates(token))
        check(claims, issuer=self._settings.auth_issuer, audience=self._settings.auth_audience)
        return identity_of(claims, self._settings)

    async def _candidates(self, token: str) -> list[Key]:
        algorithm, key_id = header_of(token)
        found = [key for key in self._fixed if key.fits(algorithm, key_id)]
        if self._set is not None and algorithm in keys.OF_PUBLIC_KEYS:
            try:
                found += await self._set.find(algorithm, key_id)
            except KeysUnavailable:
                if not found:
                    raise
        if not found:
            raise Unauthorized("the token is signed with an unknown key, or in a way that no key allows")
        return found

    def _find_keys(self, settings: Settings) -> None:
        secrets = (settings.auth_secret, settings.auth_secret_previous)
        self._fixed += [keys.of_secret(one.get_secret_value()) for one in secrets if one is not None]
        if settings.auth_public_key is not None:
            with _of("BUS_AUTH_PUBLIC_KEY"):
                self._fixed += keys.of_pem(_pem(settings.auth_public_key))
        if settings.auth_jwks is not None:
            with _of("BUS_AUTH_JWKS"):
                self._set = _key_set(settings.auth_jwks)
        if not self._fixed and self._set is None:
            raise SettingsError(
                "BUS_AUTH is jwt, and nothing says which tokens are valid: set BUS_AUTH_SECRET, BUS_AUTH_PUBLIC_KEY or "
                "BUS_AUTH_JWKS"
            )


@contextmanager
def _of(variable: str) -> Iterator[None]:
    try:
        yield
    except (BadKeys, FetchFailed) as error:
        raise SettingsError(f"{variable} cannot be used: {error}") from error


def _pem(value: str) -> str:
    """The text of public keys: the value itself, or what the file that it names has."""
    if value.startswith("-----BEGIN "):
        return value
    return read_file(Path(value)).decode(errors="replace")


def _key_set(source: str) -> KeySet:
    """The keys of a file, which is looked at at once, or of a URL, which may be away for a while."""
    if "://" not in source:
        keys.of_jwks(read_file(Path(source)))
    return KeySet(reader_of(source))
