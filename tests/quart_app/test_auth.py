"""Which origins may open a WebSocket."""

import pytest

from quart_app.auth import origin_allowed


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "example.org", ()),
        ("http://example.org", "example.org", ()),
        ("https://example.org", "example.org", ()),
        ("https://example.org", "example.org:443", ()),
        ("http://EXAMPLE.org:8000", "example.org:8000", ()),
        ("http://[::1]:8000", "[::1]:8000", ()),
        ("https://app.example", "example.org", ("https://app.example",)),
        ("https://anything", "example.org", ("*",)),
    ],
)
def test_own_and_listed_origins_and_programs_may(origin: str | None, host: str, allowed: tuple[str, ...]) -> None:
    assert origin_allowed(origin, host, allowed)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "example.org"),
        ("http://example.org.evil.example", "example.org"),
        ("http://example.org:8001", "example.org:8000"),
        ("http://example.org", "example.org:8000"),
        ("null", "example.org"),
        ("", "example.org"),
        ("file://example.org", "example.org"),
        ("http://[", "example.org"),
        ("http://example.org:port", "example.org"),
    ],
)
def test_others_may_not(origin: str, host: str) -> None:
    assert not origin_allowed(origin, host, ("https://app.example",))
