"""Settings: read from the environment or a file, checked when they are loaded, and a bad value names its variable."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr

from bus import Settings, SettingsError

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BUS_") or name in ("NATS_URL", "REDIS_URL")]:
        monkeypatch.delenv(name)


def refusal(monkeypatch: pytest.MonkeyPatch, **env: str) -> str:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    assert "\n" not in str(refused.value)
    return str(refused.value).partition("start again: ")[2]


def test_every_field_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://example:1")
    monkeypatch.setenv("BUS_MAX_FRAME_BYTES", "1000")
    monkeypatch.setenv("BUS_ALLOWED_ORIGINS", "https://a.example/, http://b.example:81 ,")
    settings = Settings.load()
    assert settings.nats_url == "nats://example:1"
    assert settings.max_frame_bytes == 1000
    assert settings.allowed_origins == ("https://a.example", "http://b.example:81")


def test_an_empty_variable_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUS_MAX_FRAME_BYTES", "")
    assert Settings.load().max_frame_bytes == 65536


@pytest.mark.parametrize(
    ("variable", "value", "field", "meant"),
    [
        ("BUS_FRAME_RATE", " 10 ", "frame_rate", 10),
        ("BUS_FRAME_RATE", "1e2", "frame_rate", 100),
        ("BUS_LOG_LEVEL", " WARNING", "log_level", "warning"),
        ("BUS_LOG_FORMAT", "JSON", "log_format", "json"),
        ("BUS_WEBSOCKET_DEFLATE", "yes", "websocket_deflate", True),
        ("BUS_DRAIN_DELAY", "0", "drain_delay", 0),
        ("BUS_STREAM_MAX_AGE", "3.15e9", "stream_max_age", 3.15e9),
        ("BUS_BACKLOG", str(2**31 - 1), "backlog", 2**31 - 1),
    ],
)
def test_a_value_is_taken_as_it_is_meant(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, meant: object
) -> None:
    monkeypatch.setenv(variable, value)
    assert getattr(Settings.load(), field) == meant


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("BUS_MAX_FRAME_BYTES", "many", "must be a plain whole number"),
        ("BUS_MAX_FRAME_BYTES", "64k", "must be a plain whole number"),
        ("BUS_MAX_FRAME_BYTES", "0", "must be at least 1"),
        ("BUS_MAX_FRAME_BYTES", "1.5", "whole number"),
        ("BUS_MAX_FRAME_BYTES", str(2**40), "must be at most"),
        ("BUS_MAX_FRAME_BYTES", "   ", "must be a plain whole number"),
        ("BUS_MAX_FRAME_BYTES", '"1000"', "stands in quotes"),
        ("BUS_MAX_CONNECTIONS", "9" * 5000, "whole number"),
        ("BUS_FRAME_BURST", "9" * 400, "must be at most"),
        ("BUS_SOCKET_MODE", "rw-rw----", "must be permissions in three octal digits"),
        ("BUS_BACKLOG", str(10**10), "must be at most 2147483647"),
        ("BUS_FRAME_RATE", "10/s", "must be a plain number, without unit"),
        ("BUS_FRAME_RATE", "1e400", "must be a finite number"),
        ("BUS_JOB_DELAY_SCALE", "-1", "must be at least 0"),
        ("BUS_APPEND_TIMEOUT", "inf", "must be a finite number"),
        ("BUS_APPEND_TIMEOUT", "nan", "must be a finite number"),
        ("BUS_APPEND_TIMEOUT", "10s", "must be a plain number, without unit"),
        ("BUS_APPEND_TIMEOUT", "1e-300", "must be at least"),
        ("BUS_PING_INTERVAL", "1e-9", "must be at least"),
        ("BUS_STREAM_MAX_AGE", "1e300", "must be at most"),
        ("BUS_STREAM_MAX_AGE", "1e-9", "must be at least 1"),  # none at all, for NATS
        ("BUS_STREAM_MAX_BYTES", str(2**63), "must be at most"),
        ("BUS_STREAM_REPLICAS", "6", "must be at most 5"),
        ("BUS_VISIBILITY_TIMEOUT", "5.5", "whole number"),
        ("BUS_VISIBILITY_TIMEOUT", "99999999999999999999", "must be at most 31536000"),
        ("BUS_WEBSOCKET_DEFLATE", "maybe", "must be true or false"),
        ("BUS_METRICS_BIND", "9100", "must be host:port"),
        ("BUS_WORKER_METRICS_BIND", "9101", "must be host:port"),
        ("BUS_WORKER_METRICS_BIND", "::1:9101", "must be host:port"),
        ("BUS_WORKER_METRICS_BIND", "127.0.0.1:99999", "must be host:port"),
        ("BUS_LOG_LEVEL", "loud", "must be 'debug', 'info', 'warning' or 'error'"),
        ("BUS_SECRET", SECRET, "at least 32 characters are needed"),
        ("BUS_SECRET", f"'{SECRET * 9}'", "stands in quotes"),
        ("BUS_SECRET", SECRET * 9 + "\udcff", "must be valid UTF-8"),
        ("BUS_KEYFILE_PASSWORD", "\udcff", "must be valid UTF-8"),
        ("NATS_URL", "nats://\udcff", "must be valid UTF-8"),
        ("BUS_PING_INTERVAL", "60", "BUS_READ_TIMEOUT: must be more than BUS_PING_INTERVAL"),
        ("BUS_READ_TIMEOUT", "20", "must be more than BUS_PING_INTERVAL"),
    ],
)
def test_a_bad_value_names_its_variable_and_says_why(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    said = refusal(monkeypatch, **{variable: value})
    assert variable in said
    assert reason in said


@pytest.mark.parametrize("host", ["id..example.com", ".example.com", f"{'a' * 64}.example.com"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NATS_URL", "nats://{}:4222"),
        ("REDIS_URL", "redis://{}:6379/0"),
        ("REDIS_URL", "sentinel://a:1;sentinel://{}:1/0?master_name=m"),
        ("BUS_METRICS_BIND", "{}:9100"),
        ("BUS_WORKER_METRICS_BIND", "{}:9101"),
        ("BUS_AUTH_JWKS", "https://{}/keys"),
    ],
)
def test_a_host_that_cannot_be_looked_up_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, host: str
) -> None:
    said = refusal(monkeypatch, BUS_AUTH="jwt", **{variable: value.format(host)})
    assert said.startswith(f"{variable}: its host is no name, whose parts between dots have 1 to 63 characters")


def test_settings_that_contradict_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(monkeypatch, BUS_STREAM_MAX_BYTES=str(2**20), BUS_JOB_RESULT_MAX_BYTES=str(2**21))
    assert said == "BUS_JOB_RESULT_MAX_BYTES: must not be more than BUS_STREAM_MAX_BYTES, or a result finds no room"


JWT = {"BUS_AUTH": "jwt"}
CLAIM_IN_CLAIM = "BUS_AUTH_OPERATOR_CLAIM: must neither lie within BUS_AUTH_GROUPS_CLAIM nor hold it"


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"BUS_SECRET_PREVIOUS": SECRET * 9}, "BUS_SECRET_PREVIOUS: is the one before BUS_SECRET, which is not set"),
        (JWT | {"BUS_AUTH_SECRET_PREVIOUS": SECRET * 9}, "is the one before BUS_AUTH_SECRET, which is not set"),
        ({"BUS_SECRET": "x" * 32, "BUS_SECRET_PREVIOUS": SECRET}, "BUS_SECRET_PREVIOUS: at least 32 characters"),
        (JWT | {"BUS_AUTH_SECRET": SECRET}, "BUS_AUTH_SECRET: at least 32 characters"),
        ({"BUS_AUTH": "oauth"}, "BUS_AUTH: must be 'none' or 'jwt'"),
        ({"BUS_AUTH_SECRET": SECRET * 9}, "BUS_AUTH_SECRET: means nothing while BUS_AUTH is none"),
        ({"BUS_AUTH_JWKS": "/keys.json"}, "BUS_AUTH_JWKS: means nothing while BUS_AUTH is none"),
        ({"BUS_AUTH_ISSUER": "x"}, "BUS_AUTH_ISSUER: means nothing while BUS_AUTH is none"),
        ({"BUS_AUTH_COOKIE": "x"}, "BUS_AUTH_COOKIE: means nothing while BUS_AUTH is none"),
        (JWT | {"BUS_AUTH_COOKIE": "a b"}, "BUS_AUTH_COOKIE: "),
        (JWT | {"BUS_AUTH_COOKIE": "x", "BUS_ALLOWED_ORIGINS": "*"}, "BUS_ALLOWED_ORIGINS: must name origins"),
        (JWT | {"BUS_AUTH_JWKS": "http://id.example.com/keys"}, "BUS_AUTH_JWKS: must be https://"),
        (JWT | {"BUS_AUTH_JWKS": "ftp://id.example.com/keys"}, "is neither a file nor an https:// URL"),
        (JWT | {"BUS_AUTH_JWKS": f"https://a:{SECRET}@id.example.com/"}, "must have no user, password or fragment"),
        (JWT | {"BUS_AUTH_JWKS": "https://id.example.com:port/"}, "is no URL"),
        (JWT | {"BUS_AUTH_JWKS": "https://id.example.com/my keys"}, "must have no space: write %20"),
        ({"BUS_AUTH_GROUPS_CLAIM": "sub.groups"}, "BUS_AUTH_GROUPS_CLAIM: is within the claim sub, which says"),
        ({"BUS_AUTH_OPERATOR_CLAIM": "exp"}, "BUS_AUTH_OPERATOR_CLAIM: is within the claim exp, which says"),
        ({"BUS_AUTH_GROUPS_CLAIM": "realm", "BUS_AUTH_OPERATOR_CLAIM": "realm.roles"}, CLAIM_IN_CLAIM),
        ({"BUS_AUTH_GROUPS_CLAIM": "role.groups"}, CLAIM_IN_CLAIM),
        (JWT | {"BUS_AUTH_JWKS": "https:///keys"}, "is neither a file nor an https:// URL"),
    ],
)
def test_settings_of_identity_that_cannot_be_meant_are_refused(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], reason: str
) -> None:
    assert reason in refusal(monkeypatch, **env)


def test_settings_of_identity_that_go_together_are_taken() -> None:
    Settings.load(auth="JWT", auth_secret="x" * 32, auth_secret_previous="y" * 32, auth_cookie="id", auth_issuer="i")
    Settings.load(auth_groups_claim="realm.groups", auth_operator_claim="realm.role")
    Settings.load(auth_groups_claim="https://example.com/groups", auth_operator_claim="https://example.com")
    for url in ("https://id.example.com/keys?tenant=1", "http://127.0.0.1:8080/", "http://[::1]/", "keys/jwks.json"):
        assert Settings.load(auth="jwt", auth_jwks=url).auth_jwks == url


def test_origins_in_a_program_are_checked_like_those_of_the_environment() -> None:
    assert Settings.load(allowed_origins=["https://App.example:443"]).allowed_origins == ("https://app.example",)
    with pytest.raises(SettingsError, match="BUS_ALLOWED_ORIGINS"):
        Settings.load(allowed_origins=("app.example",))


def test_all_bad_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(monkeypatch, BUS_FRAME_RATE="x", BUS_SECRET=SECRET, BUS_LOG_FORMAT="xml", BUS_ALLOWED_ORIGINS="x")
    for variable in ("BUS_FRAME_RATE", "BUS_SECRET", "BUS_LOG_FORMAT", "BUS_ALLOWED_ORIGINS"):
        assert said.count(f"{variable}: ") == 1


def test_a_file_may_have_the_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {"BUS_SECRET": "s" * 40, "NATS_URL": "nats://elsewhere:1", "BUS_ALLOWED_HOSTS": "A.example,::1"}
    for variable, value in values.items():
        (tmp_path / variable).write_text(value + "\n")
        monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / variable))
    settings = Settings.load()
    assert settings.secret is not None
    assert settings.secret.get_secret_value() == "s" * 40
    assert settings.nats_url == "nats://elsewhere:1"
    assert settings.allowed_hosts == ("a.example", "[::1]")
    monkeypatch.setenv("NATS_URL", "nats://here:1")
    assert Settings.load().nats_url == "nats://here:1"


def test_a_variable_that_names_a_file_may_be_written_in_any_case(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s" * 40)
    monkeypatch.setenv("bus_secret_file", str(tmp_path / "secret"))
    assert Settings.unknown() == []
    assert Settings.load().secret == SecretStr("s" * 40)


def test_a_file_that_cannot_be_used_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "short").write_text(SECRET)
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    os.mkfifo(tmp_path / "pipe")
    said = refusal(
        monkeypatch,
        BUS_SECRET_FILE=str(tmp_path / "short"),
        NATS_URL_FILE=str(tmp_path / "missing"),
        BUS_KEYFILE_PASSWORD_FILE=str(tmp_path / "large"),
        REDIS_URL_FILE=str(tmp_path / "pipe"),
    )
    assert "BUS_SECRET: at least 32 characters" in said
    assert "NATS_URL: the file that NATS_URL_FILE names cannot be read: No such file or directory" in said
    assert "BUS_KEYFILE_PASSWORD: the file that BUS_KEYFILE_PASSWORD_FILE names has more than 65536 bytes" in said
    assert "REDIS_URL: the file that REDIS_URL_FILE names is no regular file" in said


@pytest.mark.parametrize("variable", ["BUS_METRICS_TOKEN", "NATS_CA", "BUS_AUTH_ISSUER", "BUS_ALLOWED_HOSTS"])
@pytest.mark.parametrize("written", ["", "\n", " \r\n"])
def test_a_blank_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, written: str) -> None:
    (tmp_path / "blank").write_text(written)
    said = refusal(monkeypatch, **{"BUS_AUTH": "jwt", f"{variable}_FILE": str(tmp_path / "blank")})
    assert f"{variable}: the file that {variable}_FILE names is blank: write a value into it" in said


def test_a_blank_value_is_refused_where_none_means_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for field, info in Settings.model_fields.items():
        if info.default is None and field not in ("nats_password", "keyfile_password"):  # which may be anything
            said = refusal(monkeypatch, **{"BUS_AUTH": "jwt", Settings.variable(field): " \t"})
            assert f"{Settings.variable(field)}: " in said
            monkeypatch.delenv(Settings.variable(field))


def test_settings_that_are_shown_show_no_secret() -> None:
    settings = Settings.load(nats_url=f"nats://u:{SECRET}@h", redis_url=f"redis://:{SECRET}@h", secret=SECRET * 9)
    assert SECRET not in f"{settings!r} {settings}"


def test_variables_that_are_no_settings_are_found_with_what_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("BUS_FRAMERATE", "BUS_ROUTE", "BUS_FRAME_RATE", "BUS_SECRET_FILE", "NATS_URL_FILE"):
        monkeypatch.setenv(variable, SECRET)
    assert Settings.unknown() == ["BUS_FRAMERATE (is BUS_FRAME_RATE meant?)", "BUS_ROUTE"]


def test_the_reference_page_has_every_variable() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text()
    for field, info in Settings.model_fields.items():
        assert f"`{Settings.variable(field)}`" in page
        assert info.description is not None
        assert info.description in page
