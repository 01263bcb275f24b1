"""Ask a web server something, as a load balancer does."""

from __future__ import annotations

import urllib.error
import urllib.request

from testbed.system import METRICS_TOKEN


def get(url: str, timeout: float = 20.0) -> tuple[int, str]:
    """Status and text of what a URL answers with; for metrics with the token that a system has for them."""
    request = urllib.request.Request(url)  # noqa: S310 - always http
    if url.endswith("/metrics"):
        request.add_header("Authorization", f"Bearer {METRICS_TOKEN}")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 - always http
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
