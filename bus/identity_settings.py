"""The environment variables that say who a client is; `bus.settings` has all of them."""

from __future__ import annotations

from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from bus import host_name
from bus.environment import Environment

SHORTEST_SECRET = 32
"""Characters of what signs tokens; RFC 7518 section 3.2 asks for as many bytes."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts on the way to which nobody else is."""

ONLY_WITH_JWT = (
    "auth_secret",
    "auth_secret_previous",
    "auth_public_key",
    "auth_jwks",
    "auth_issuer",
    "auth_audience",
    "auth_cookie",
)
"""What somebody sets who wants to know who a client is."""

REGISTERED = ("iss", "sub", "aud", "exp", "nbf", "iat", "jti")
"""Claims with a meaning of their own: RFC 7519 section 4.1."""


class IdentitySettings(Environment):
    """Which tokens prove who a client is, and what they say. Secrets are checked here, those of a subclass too."""

    auth: Literal["none", "jwt"] = Field(
        "none",
        description="Who may connect: with none everybody, anonymously; with jwt who brings a valid token (JWT) of "
        "your identity provider. Web processes with jwt need BUS_AUTH_SECRET, BUS_AUTH_PUBLIC_KEY or BUS_AUTH_JWKS, or "
        "several of them.",
    )
    auth_secret: SecretStr | None = Field(
        None,
        description="The secret that signs tokens with HS256, at least 32 characters; HS384 with 48, HS512 with 64. "
        "busctl token signs with it.",
    )
    auth_secret_previous: SecretStr | None = Field(
        None, description="Another one that is accepted too, while BUS_AUTH_SECRET is changed."
    )
    auth_public_key: str | None = Field(
        None,
        description="File with public keys or certificates, PEM, one or several, whose private keys sign tokens; or "
        "that text itself. RSA: RS256 to RS512 and PS256 to PS512; P-256, P-384, P-521: ES256, ES384, ES512; Ed25519 "
        "and Ed448: EdDSA.",
    )
    auth_jwks: str | None = Field(
        None,
        description="JSON Web Key Set with public keys: a file, or an https:// URL (http:// on this machine alone). It "
        "is read again for a key id that is not in it, and when it is an hour old, at most every 10 s.",
    )
    auth_issuer: str | None = Field(None, description="What the claim iss of a token has to be; unset, anything.")
    auth_audience: str | None = Field(
        None,
        description="What the claim aud of a token has to be, or to have. Unset, a token that has the claim is "
        "refused: it is meant for somebody.",
    )
    auth_cookie: str | None = Field(
        None,
        pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$",
        description="Name of a cookie that may bring the token, for pages of the same site. BUS_ALLOWED_ORIGINS cannot "
        "be * then.",
    )
    auth_groups_claim: str = Field(
        "groups",
        min_length=1,
        description="The claim that lists the groups of a user; dots lead into objects, as in realm_access.roles.",
    )
    auth_operator_claim: str = Field(
        "role",
        min_length=1,
        validate_default=True,
        description="The claim that makes a user an operator; dots lead into objects.",
    )
    auth_operator_value: str = Field(
        "operator", min_length=1, description="What BUS_AUTH_OPERATOR_CLAIM has to be, or to have, for an operator."
    )

    @field_validator("secret", "secret_previous", "auth_secret", "auth_secret_previous", check_fields=False)
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < SHORTEST_SECRET:
            raise ValueError(
                f"at least {SHORTEST_SECRET} characters are needed, for example from 'openssl rand -hex 32'"
            )
        return value

    @field_validator("secret_previous", "auth_secret_previous", check_fields=False)
    @classmethod
    def _behind_another(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        current = str(info.field_name).removesuffix("_previous")
        if value is not None and info.data.get(current, value) is None:
            raise ValueError(f"is the one before {cls.variable(current)}, which is not set: set that one")
        return value

    @field_validator(*ONLY_WITH_JWT)
    @classmethod
    def _means_something(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("auth") == "none":
            raise ValueError("means nothing while BUS_AUTH is none and everybody may connect: set BUS_AUTH=jwt")
        return value

    @field_validator("auth_groups_claim", "auth_operator_claim")
    @classmethod
    def _is_a_claim_of_its_own(cls, value: str, info: ValidationInfo) -> str:
        names = claim_names(value)
        if names[0] in REGISTERED:
            raise ValueError(f"is within the claim {names[0]}, which says something else: name another")
        groups = claim_names(info.data.get("auth_groups_claim", value))
        if groups != names and groups[: len(names)] == names[: len(groups)]:
            raise ValueError("must neither lie within BUS_AUTH_GROUPS_CLAIM nor hold it: one is a list, and no object")
        return value

    @field_validator("auth_jwks")
    @classmethod
    def _is_fetched_safely(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            web_address(value)
        return value


def claim_names(path: str) -> list[str]:
    """The names that lead to a claim, one in the other. A URL is one name, whatever dots it has."""
    return [path] if "://" in path else path.split(".")


def web_address(value: str) -> SplitResult:
    """The parts of an address that keys may be fetched from.

    Raises:
        ValueError: keys that come from there could be anybody's; or it is no address.
    """
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no URL, such as https://id.example.com/keys") from None
    if parts.scheme not in ("http", "https") or not host or port == 0 or not value.isascii() or not value.isprintable():
        raise ValueError("is neither a file nor an https:// URL, such as https://id.example.com/keys")
    if " " in value:
        raise ValueError("must have no space: write %20")
    host_name.require(host)
    if parts.username is not None or parts.fragment:
        raise ValueError("must have no user, password or fragment")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ValueError("must be https://, or anybody on the way could put keys of their own in: use that")
    return parts
