"""Ask a web server something, as a load balancer does."""

from __future__ import annotations

import urllib.error
import urllib.request


def get(url: str) -> tuple[int, str]:
    """Status and text of what a URL answers with."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - always http
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
