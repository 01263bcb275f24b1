"""Who is on this machine."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address

from werkzeug.datastructures import Headers

from bus.origins import split_host

PASSED_ON = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""Headers of a request that a proxy has passed on."""


def is_local(address: str | None, headers: Headers) -> bool:
    """Whether a request comes from this machine, and a person there meant to send it here.

    Behind a proxy on this machine that is not listed in `BUS_TRUSTED_PROXIES` everybody has its address; so what a
    proxy has passed on is not local. A page of another site can have its own name lead to this machine (DNS rebinding);
    so the request has to be for `localhost`, or for a loopback address.

    Args:
        address: of the other end, without its port.
        headers: of the request.
    """
    with suppress(ValueError):
        host, _ = split_host(headers.get("Host", ""))
        named = host == "localhost" or host.endswith(".localhost") or _is_loopback(host.strip("[]"))
        return named and _is_loopback(address or "") and not any(name in headers for name in PASSED_ON)
    return False


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
