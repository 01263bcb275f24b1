"""Client ids: each fits into a subject, and belongs to one client of one kind."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import client_ids, subjects

ODD = [
    "auth0|x",
    "alice@example.com",
    "x" * 500,
    "ålice\u202e",
    "a.b",
    "a b",
    "*",
    ">",
    "bus.client.*.>",
    "",
    "cli",
    "nobody",
    "-",
    "user-alice",
    "x" * 40,
    "x" * 41,
    "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}",
]


@pytest.mark.parametrize("subject", ODD)
def test_the_id_of_any_user_fits_into_a_subject_and_is_always_the_same(subject: str) -> None:
    made = client_ids.of_user(subject)
    assert subjects.token("client id", made) == made == client_ids.of_user(subject)
    assert client_ids.is_user(made)


def test_a_plain_name_can_be_read_in_the_id() -> None:
    assert client_ids.of_user("alice") == "user-alice"


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60), unique=True))
def test_no_two_users_have_one_id(subjects_: list[str]) -> None:
    made = [client_ids.of_user(subject) for subject in subjects_]
    assert len(set(made)) == len(made)


def test_a_user_that_is_called_like_the_id_of_another_is_not_that_one() -> None:
    digest = client_ids.of_user("auth0|x").removeprefix("user-")
    assert client_ids.of_user(digest) != client_ids.of_user("auth0|x")


def test_neither_somebody_anonymous_nor_the_command_line_is_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not client_ids.is_user(client_ids.COMMAND_LINE)
    made = iter(["user-0123456789abcdefg", "0123456789abcdefghijkl"])
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: next(made))
    assert client_ids.anonymous() == "0123456789abcdefghijkl"
