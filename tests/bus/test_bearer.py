"""Authorization: Bearer, and who brings what is asked for."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from bus.bearer import brings


@pytest.mark.parametrize("token", ["", " "])
@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Bearer x"])
def test_an_empty_token_is_brought_by_nobody(token: str, given: str) -> None:
    assert not brings(SecretStr(token), given)
    assert brings(None, given)
