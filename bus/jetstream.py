"""JetStream's answers as JSON, with every field that the server sent, also those that no client library knows."""

from __future__ import annotations

import json
from typing import Any

STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058
MESSAGE_NOT_FOUND = 10037


class ApiError(Exception):
    """JetStream refused a request.

    Args:
        code: its `err_code`, which names the reason (`server/errors.json` of the NATS server).
        description: its text.
    """

    def __init__(self, code: int, description: str) -> None:
        self.code = code
        self.description = description
        super().__init__(f"{description} (NATS error {code})")


def read_answer(data: bytes) -> dict[str, Any]:
    """The answer to a request to `$JS.API`, or to an append.

    Raises:
        ApiError: it is a refusal.
        ValueError: it is no answer of JetStream.
    """
    answer = json.loads(data)
    if not isinstance(answer, dict):
        raise ValueError("JetStream answers with a JSON object")
    error = answer.get("error")
    if isinstance(error, dict):
        raise ApiError(int(error.get("err_code") or error.get("code") or 0), str(error.get("description", "")))
    return answer
