"""Who a token names: of every algorithm, and only when the right one has signed it, for here and now."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import pytest
from jwt.utils import base64url_encode
from structlog.testing import capture_logs

from bus import Settings, SettingsError, client_ids
from quart_app.errors import KeysUnavailable, Unauthorized
from quart_app.identity import claims as identity_claims
from quart_app.identity.authenticator import Authenticator
from quart_app.identity.identity import Identity
from quart_app.sparse_log import SparseLog
from testbed.planted import PLANTED
from tests.tokens import AUDIENCE, ISSUER, SHARED, claims, jwk, jwks, pem, private_key, token

ALGORITHMS = [
    *((algorithm, "RSA") for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    *(("ES256", "P-256"), ("ES384", "P-384"), ("ES512", "P-521"), ("EdDSA", "Ed25519"), ("EdDSA", "Ed448")),
]


def authenticator(**settings: Any) -> Authenticator:
    given = {"auth": "jwt", "auth_issuer": ISSUER, "auth_audience": AUDIENCE}
    return Authenticator(Settings.load(**given | settings))


SECRET = authenticator(auth_secret=SHARED)
RSA = authenticator(auth_public_key=pem("RSA"))


async def refusal(verifier: Authenticator, given: str | None) -> str:
    with pytest.raises(Unauthorized) as refused:
        await verifier.identify(given)
    reason = str(refused.value)
    assert len(reason.encode()) <= 123  # what a close frame has room for
    assert PLANTED not in reason
    return reason


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_token_signed_with_the_secret_names_a_user(algorithm: str) -> None:
    identity = await SECRET.identify(token(algorithm=algorithm))
    assert (identity.user, identity.client_id) == ("alice", "user-alice")


async def test_a_secret_signs_only_what_it_is_long_enough_for() -> None:
    verifier = authenticator(auth_secret="s" * 32)
    assert await verifier.identify(token("s" * 32))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        too_weak = token("s" * 32, "HS512")
    assert "no key allows" in await refusal(verifier, too_weak)


@pytest.mark.parametrize(("algorithm", "kind"), ALGORITHMS)
async def test_a_token_signed_with_a_private_key_names_a_user(tmp_path: Path, algorithm: str, kind: str) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(jwks(jwk(kind, kid="1")))
    given = token(kind, algorithm, headers={"kid": "1"})
    for verifier in (authenticator(auth_public_key=pem(kind)), authenticator(auth_jwks=str(file))):
        assert (await verifier.identify(given)).user == "alice"


async def test_several_keys_of_one_file_are_all_good(tmp_path: Path) -> None:
    file = tmp_path / "keys.pem"
    file.write_text(f"The old one\n{pem('RSA')}\nand the new one:\n{pem('RSA#2')}{pem('Ed25519')}")
    verifier = authenticator(auth_public_key=str(file))
    for kind, algorithm in (("RSA", "RS256"), ("RSA#2", "RS256"), ("Ed25519", "EdDSA")):
        assert await verifier.identify(token(kind, algorithm))
    assert "signature" in await refusal(verifier, token("RSA#3", "RS256"))


async def test_a_shared_secret_is_changed_in_two_steps() -> None:
    old, new = "o" * 32, "n" * 32
    changing, after = authenticator(auth_secret=new, auth_secret_previous=old), authenticator(auth_secret=new)
    for key in (old, new):
        assert await changing.identify(token(key))
    assert await after.identify(token(new))
    assert "signature" in await refusal(after, token(old))


def parts(header: object, payload: object, key: bytes | None = None) -> str:
    """A token of any header and payload at all, signed as HS256 says, or not at all."""
    texts = [part if isinstance(part, str) else json.dumps(part) for part in (header, payload)]
    signing = b".".join(base64url_encode(text.encode()) for text in texts)
    signature = hmac.digest(key, signing, "sha256") if key is not None else b""
    return b".".join([signing, base64url_encode(signature)]).decode()


FORGED: dict[str, Callable[[], str]] = {
    "alg none": lambda: jwt.encode(claims(), None, algorithm="none"),
    "alg None": lambda: parts({"alg": "None"}, claims()),
    "no signature": lambda: token().rpartition(".")[0] + ".",
    "another secret": lambda: token("x" * 64),
    "HS256 with the public key as its secret": lambda: parts({"alg": "HS256"}, claims(), pem("RSA").encode()),
    "HS256 with the public key's bare text": lambda: parts({"alg": "HS256"}, claims(), pem("RSA").strip().encode()),
    "HS256 with an empty secret": lambda: parts({"alg": "HS256"}, claims(), b""),
    "another private key": lambda: token("RSA#2", "RS256"),
    "a key that the token brings itself": lambda: token("RSA#2", "RS256", headers={"jwk": jwk("RSA#2")}),
    "an address that the token brings itself": lambda: token("RSA#2", "RS256", headers={"jku": "http://127.0.0.1:1"}),
    "another payload": lambda: ".".join([token().split(".")[0], token(sub="bob").split(".")[1], token().split(".")[2]]),
    "an algorithm that is none": lambda: parts({"alg": ["HS256"]}, claims(), SHARED.encode()),
    "no algorithm": lambda: parts({}, claims(), SHARED.encode()),
    "a critical extension": lambda: parts({"alg": "HS256", "crit": ["exp"]}, claims(), SHARED.encode()),
    "an unencoded payload": lambda: parts({"alg": "HS256", "b64": False, "crit": ["b64"]}, claims(), SHARED.encode()),
    "a deep header": lambda: parts("[" * 5000, claims()),
    "a deep payload": lambda: parts({"alg": "HS256"}, '{"a":' * 1500, SHARED.encode()),
    "a payload that is a list": lambda: parts({"alg": "HS256"}, "[]", SHARED.encode()),
    "a payload that is no JSON": lambda: parts({"alg": "HS256"}, "\x00", SHARED.encode()),
    "nothing": lambda: "",
    "dots": lambda: "..",
    "other characters": lambda: "é.é.é",
    "too many": lambda: "a." * 40_000,
}


@pytest.mark.parametrize("how", FORGED)
@pytest.mark.parametrize("verifier", [SECRET, RSA], ids=["secret", "public key"])
async def test_a_forged_token_names_nobody(verifier: Authenticator, how: str) -> None:
    await refusal(verifier, FORGED[how]())


class Ahead(NamedTuple):
    """A time so many seconds after the test has begun."""

    seconds: float


def at(changed: dict[str, Any]) -> dict[str, Any]:
    now = time.time()
    return {name: now + value.seconds if isinstance(value, Ahead) else value for name, value in changed.items()}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": Ahead(-31)}, "has expired"),
        ({"exp": None}, "has no exp"),
        *(({"exp": value}, "exp is no") for value in ("soon", "1790000000", True, [1790000000], {})),
        ({"exp": -1}, "has expired"),
        ({"nbf": Ahead(100)}, "not good yet"),
        ({"iat": Ahead(100)}, "not good yet"),
        ({"nbf": "x"}, "nbf is no number"),
        ({"iss": "https://evil.example/"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"iss": [ISSUER]}, "another issuer"),
        ({"aud": "another"}, "another audience"),
        ({"aud": []}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"aud": {"busctl": 1}}, "another audience"),
        ({"sub": None}, "names no user"),
        ({"sub": ""}, "names no user"),
        ({"sub": 7}, "names no user"),
        ({"sub": ["alice"]}, "names no user"),
    ],
)
async def test_a_token_that_is_not_for_here_and_now_names_nobody(changed: dict[str, Any], reason: str) -> None:
    assert reason in await refusal(SECRET, parts({"alg": "HS256"}, claims(**at(changed)), SHARED.encode()))


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": Ahead(-20)},
        {"exp": Ahead(0.5)},
        {"exp": 10**18},
        {"nbf": Ahead(20)},
        {"iat": Ahead(20)},
        {"aud": ["another", AUDIENCE]},
    ],
)
async def test_clocks_may_differ_and_a_token_may_be_for_several(changed: dict[str, Any]) -> None:
    assert (await SECRET.identify(token(**at(changed)))).user == "alice"


@pytest.mark.parametrize("number", ["1e999", "NaN", "Infinity", "9" * 5000])
async def test_an_expiry_that_is_no_time_is_refused(number: str) -> None:
    await refusal(SECRET, parts({"alg": "HS256"}, f'{{"sub":"alice","exp":{number}}}', SHARED.encode()))


async def test_a_name_that_is_no_text_is_refused() -> None:
    await refusal(
        SECRET, parts({"alg": "HS256"}, f'{{"sub":"\\ud83d","exp":{int(time.time()) + 60}}}', SHARED.encode())
    )


async def test_without_an_audience_of_its_own_a_server_takes_no_token_that_is_for_somebody() -> None:
    anywhere = authenticator(auth_secret=SHARED, auth_audience=None, auth_issuer=None)
    assert (await anywhere.identify(token(aud=None, iss="anybody"))).user == "alice"
    assert "BUS_AUTH_AUDIENCE is not set" in await refusal(anywhere, token())


async def test_a_token_is_needed_or_else_refused() -> None:
    assert await refusal(SECRET, None) == "a token is needed, and none came"
    anonymous = Authenticator(Settings.load())
    assert "takes no tokens" in await refusal(anonymous, token())
    somebody, other = await anonymous.identify(None), await anonymous.identify(None)
    assert somebody.user is None
    assert somebody.client_id != other.client_id
    assert not client_ids.is_user(somebody.client_id)


@pytest.mark.parametrize(
    ("settings", "said", "groups", "operator"),
    [
        ({}, {}, (), False),
        (
            {},
            {"groups": ["admins", "eu-1", "admins", 7, "a.b", ">", None, "x" * 65], "role": "operator"},
            ("admins", "eu-1"),
            True,
        ),
        ({}, {"groups": "admins", "role": ["viewer", "operator"]}, ("admins",), True),
        ({}, {"groups": {"admins": 1}, "role": {"operator": 1}}, (), False),
        ({}, {"role": "Operator"}, (), False),
        (
            {"auth_groups_claim": "realm_access.roles", "auth_operator_claim": "realm_access.roles"},
            {"realm_access": {"roles": ["admins", "operator"]}},
            ("admins", "operator"),
            True,
        ),
        ({"auth_groups_claim": "realm_access.roles"}, {"realm_access": ["roles"]}, (), False),
        (
            {"auth_groups_claim": "https://example.com/groups", "auth_operator_value": "root"},
            {"https://example.com/groups": ["admins"], "role": "root"},
            ("admins",),
            True,
        ),
    ],
)
async def test_claims_say_groups_and_role(
    settings: dict[str, str], said: dict[str, Any], groups: tuple[str, ...], operator: bool
) -> None:
    identity = await authenticator(auth_secret=SHARED, **settings).identify(token(**said))
    assert (identity.groups, identity.operator) == (groups, operator)


async def test_names_that_can_be_no_groups_are_counted_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity_claims, "no_groups", SparseLog("left out"))
    with capture_logs() as logged:
        identity = await SECRET.identify(token(groups=["/admins", "Team A", "eu-1", "eu-1", "eu-2"]))
        await SECRET.identify(token(groups=["eu-1", "eu-1"]))
    assert identity.groups == ("eu-1", "eu-2")
    [line] = [line for line in logged if line["log_level"] == "warning"]
    assert (line["client_id"], line["listed"], line["left_out"]) == ("user-alice", 4, 2)


@pytest.mark.parametrize("sub", ["auth0|x", "alice@example.com", "ålice \u202e", "*", ">", "a.b c", "x" * 500, "cli"])
async def test_a_user_may_be_called_anything(sub: str) -> None:
    identity = await SECRET.identify(token(sub=sub))
    assert identity == Identity(client_ids.of_user(sub), user=sub, expires_at=identity.expires_at)


def broken(**settings: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        authenticator(**settings)
    said = str(refused.value)
    assert "\n" not in said
    assert PLANTED not in said
    return said


def test_keys_that_cannot_be_used_are_said_at_start(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    file = tmp_path / "keys"
    private = private_key("RSA").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert "nothing says which tokens are valid" in broken()
    assert "BUS_AUTH_PUBLIC_KEY cannot be used: the file cannot be read" in broken(auth_public_key=str(file))
    assert "BUS_AUTH_JWKS cannot be used: the file cannot be read" in broken(auth_jwks=str(file))
    for content, reason in (
        (PLANTED, "no public key"),
        (private, "there is a private key"),
        (pem("short RSA"), "has 1024 bits, and 2048 are needed"),
        (pem("secp256k1"), "of another kind"),
        (pem("RSA").replace("A", "B"), "the public key number 1 cannot be read"),
        ("x" * 600_000, "more than"),
    ):
        file.write_text(content)
        assert reason in broken(auth_public_key=str(file))
    for data, reason in (
        (PLANTED.encode(), "no JSON Web Key Set"),
        (b"[" * 5000, "no JSON Web Key Set"),
        (b"[]", "no JSON Web Key Set"),
        (b'{"keys":{}}', "no list"),
        (jwks(*[{}] * 101), "no list of at most 100"),
        (jwks(), "no public key that can be used"),
        (jwks(jwk("short RSA")), "no public key that can be used"),
    ):
        file.write_bytes(data)
        assert reason in broken(auth_jwks=str(file))


async def test_while_no_key_is_known_nobody_is_told_that_a_token_is_wrong() -> None:
    verifier = authenticator(auth_jwks="http://127.0.0.1:1/keys")
    await verifier.start()
    for call in (verifier.identify(token("RSA", "RS256")), verifier.ping()):
        with pytest.raises(KeysUnavailable, match="cannot be read"):
            await call
    await refusal(verifier, token())  # a secret that nobody has is no matter of keys that are away
    both = authenticator(auth_jwks="http://127.0.0.1:1/keys", auth_public_key=pem("RSA"))
    assert await both.identify(token("RSA", "RS256", headers={"kid": "x"}))
    await both.ping()
    await verifier.close()
    await both.close()
