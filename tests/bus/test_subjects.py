"""Subjects: what is spelled is read back, and what cannot be a token is refused."""

import pytest

from bus import InvalidName, subjects
from bus.subjects import Address


def test_what_is_spelled_is_read_back() -> None:
    assert subjects.parse(subjects.job("c1", "j1")) == Address(client_id="c1", job_id="j1")
    assert subjects.parse(subjects.client_event("c1")) == Address(client_id="c1")
    assert subjects.parse(subjects.group("system")) == Address(group="system")
    assert subjects.parse(subjects.live(subjects.group("system"))) == Address(group="system")
    assert subjects.parse(subjects.progress("c1", "j1")) == Address(client_id="c1", job_id="j1", progress=True)


@pytest.mark.parametrize(
    "subject",
    ["", "bus", "bus.client.c1", "bus.client.c1.job.j1.x", "live.client.c1.progress.j1", "other.group.system"],
)
def test_foreign_subjects_are_for_nobody(subject: str) -> None:
    assert subjects.parse(subject) is None


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", ">", "ä", "x" * 65, "a\n", None, 5])
def test_names_that_are_no_token_are_refused(name: object) -> None:
    with pytest.raises(InvalidName, match="group"):
        subjects.token("group", name)
