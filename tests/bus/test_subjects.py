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


@pytest.mark.parametrize("subject", ["bus.group.x", "*.a.*", ">", "bus.>", "$SRV.PING", "bus.group.ä"])
def test_subjects_that_can_be_heard_may_have_wildcards(subject: str) -> None:
    assert subjects.audible(subject) == subject


@pytest.mark.parametrize(
    "subject",
    ["", "bus..x", "bus.group.", ".bus", "bus.a b", "bus.x*", "bus.>.x", "a\n", "a\0", "\ud800", "x" * 1025],
)
def test_subjects_on_which_nothing_can_be_heard_are_refused(subject: str) -> None:
    with pytest.raises(InvalidName, match="is no subject to hear: use tokens"):
        subjects.audible(subject)


@pytest.mark.parametrize(
    ("subject", "permission"),
    [
        (subjects.job("ann", "j"), "bus.client.*.job.*"),
        (subjects.output("ann", "j"), "bus.client.*.job.*.output"),
        (subjects.client_event("ann"), "bus.client.*.event"),
        (subjects.live(subjects.client("ann")), "live.client.*.>"),
        (subjects.live(subjects.job("ann", "j")), "live.client.*.job.*"),
        (subjects.progress("ann", "j"), "progress.client.*.*"),
        (subjects.instance("i"), "instance.*"),
        (subjects.lease("i"), "$KV.busctl-leases.*"),
        (subjects.group("system"), "bus.group.system"),
        (f"_inbox.web.{'a' * 22}.*", "_INBOX.web.>"),
        (f"_INBOX.{'a' * 22}", "_INBOX.>"),
        ("$JS.API.STREAM.INFO.EVENTS", "$JS.API.STREAM.INFO.EVENTS"),
    ],
)
def test_a_permission_is_for_all_subjects_that_are_alike(subject: str, permission: str) -> None:
    assert subjects.permission(subject) == permission


def test_a_permission_for_what_an_account_maps_names_what_it_is_mapped_to() -> None:
    asked, refused = "$JS.API.STREAM.PURGE.EVENTS", "$js.system.api.stream.purge.events"
    assert subjects.as_asked(refused) == asked.lower()
    assert subjects.permission_for(asked, refused) == "$JS.SYSTEM.API.STREAM.PURGE.EVENTS"
    assert subjects.permission_for(asked, asked.lower()) == asked
