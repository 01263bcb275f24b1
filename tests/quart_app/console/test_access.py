"""Who is on this machine."""

from __future__ import annotations

import pytest
from werkzeug.datastructures import Headers

from quart_app.console.access import PASSED_ON, is_local


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1"])
@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "a.localhost", "127.0.0.1:8000", "[::1]:8000", "[::1]"]
)
def test_a_request_from_this_machine_for_this_machine_is_local(address: str, host: str) -> None:
    assert is_local(address, Headers({"Host": host}))


@pytest.mark.parametrize("address", [None, "", "10.0.0.1", "::2", "localhost", "::ffff:10.0.0.1"])
def test_another_address_is_not(address: str | None) -> None:
    assert not is_local(address, Headers({"Host": "localhost"}))


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "["]
)
def test_a_name_that_leads_here_is_not(host: str) -> None:
    assert not is_local("127.0.0.1", Headers({"Host": host}))


def test_a_request_without_a_host_is_not() -> None:
    assert not is_local("127.0.0.1", Headers())


@pytest.mark.parametrize("name", PASSED_ON)
def test_what_a_proxy_has_passed_on_is_not(name: str) -> None:
    assert not is_local("127.0.0.1", Headers({"Host": "localhost", name.lower(): "for=10.0.0.1"}))
