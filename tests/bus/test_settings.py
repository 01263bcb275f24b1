"""Settings: read from the environment, and a bad value names its variable."""

from pathlib import Path

import pytest

from bus import Settings, SettingsError


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
    ("variable", "value"),
    [
        ("BUS_MAX_FRAME_BYTES", "many"),
        ("BUS_MAX_FRAME_BYTES", "0"),
        ("BUS_JOB_DELAY_SCALE", "-1"),
        ("BUS_APPEND_TIMEOUT", "inf"),
        ("BUS_LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        Settings.load()


def test_the_reference_page_has_every_variable() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text()
    for field, info in Settings.model_fields.items():
        assert f"`{Settings.variable(field)}`" in page
        assert info.description is not None
        assert info.description in page
