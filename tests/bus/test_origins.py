"""Origins and hosts: one form each, and a list can only hold what can match."""

import pytest

from bus.origins import Origin, hosts, listed, origins, split_host


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("https://App.Example.com:443", "https://app.example.com"),
        ("https://app.example.com/", "https://app.example.com"),
        ("https://app.example.com.", "https://app.example.com"),
        ("http://app.example.com:443", "http://app.example.com:443"),
        ("wss://app.example.com:443", "https://app.example.com"),
        ("ws://app.example.com:8000", "http://app.example.com:8000"),
        ("HTTP://[0:0::1]:80", "http://[::1]"),
        ("http://127.0.0.1:080", "http://127.0.0.1"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://*.Example.com:8443", "https://*.example.com:8443"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("*", "*"),
    ],
)
def test_an_origin_has_one_form(text: str, form: str) -> None:
    assert origins(text) == (form,)


@pytest.mark.parametrize(
    "text",
    [
        "app.example.com",
        "//app.example.com",
        "https://",
        "https://app.example.com/path",
        "https://app.example.com?x",
        "https://app.example.com#x",
        "https://user:hunter2@app.example.com",
        "'https://app.example.com'",
        '["https://app.example.com"]',
        "null",
        "https,//app.example.com",
        "https://a.example;https://b.example",
        "https://a.example https://b.example",
        "https://app.example.com:",
        "https://app.example.com:0",
        "https://app.example.com:99999",
        "https://app.example.com:port",
        "https://a..example",
        "https://-.example",
        "https://127.1",
        "https://0x7f.0.0.1",
        "https://256.0.0.1",
        "https://[::1",
        "https://[::g]",
        "https://faß.example",
        "https://\u0000.example",
        "https://*",
        "https://*.*.example",
        "https://app.*",
        "https://*example.com",
        "https://*.127.0.0.1",
        "*://app.example.com",
        "https://" + "a" * 64 + ".example",
        "https://" + "a." * 200 + "example",
        ",",
    ],
)
def test_what_can_never_match_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        origins(f"https://fine.example,{text}" if text != "," else text)
    assert "hunter2" not in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_star_is_one_label_or_more_and_not_the_domain_itself() -> None:
    allowed = origins("https://*.example.com, https://*.example.org:8443")
    for origin in ("https://a.example.com", "https://a.b.example.com", "https://a.example.org:8443"):
        assert listed(str(Origin.parse(origin)), allowed)
    for origin in (
        "https://example.com",
        "https://evilexample.com",
        "http://a.example.com",
        "https://a.example.com:8443",
        "https://a.example.org",
        "https://a.example.com.evil.example",
    ):
        assert not listed(str(Origin.parse(origin)), allowed)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("App.Example.com.", ("app.example.com",)),
        ("::1, [::2], 127.0.0.1", ("[::1]", "[::2]", "127.0.0.1")),
        ("*.example.com,*", ("*.example.com", "*")),
        ("localhost", ("localhost",)),
    ],
)
def test_a_host_has_one_form(text: str, form: tuple[str, ...]) -> None:
    assert hosts(text) == form


@pytest.mark.parametrize("text", ["a.example:80", "[::1]:80", "https://a.example", "a/b", "a b", "*.::1", "127.1", "@"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="can never match"):
        hosts(text)


def test_the_port_of_a_host_header_is_split_off() -> None:
    assert split_host("App.example:8000") == ("app.example", 8000)
    assert split_host("[::1]:8000") == ("[::1]", 8000)
    assert split_host("app.example.") == ("app.example", None)
    for header in ("", ":80", "a:b", "a:80:80", "a@b", "a,b", "a b", "[::1", "a/b"):
        with pytest.raises(ValueError):
            split_host(header)
