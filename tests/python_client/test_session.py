"""Sessions: which events are new, where a client begins when it comes back, and what it is told of history."""

from __future__ import annotations

from typing import Any

import pytest
from busctl_client.session import MOST_SCOPES, Session


def welcome(
    client_id: str = "ann", epoch: str = "one", *, replayed: int = 0, recovered: bool = True, **cursors: int
) -> Any:
    return {
        "client_id": client_id,
        "resume": f"resume of {client_id}",
        "epoch": epoch,
        "recovered": recovered,
        "replayed": replayed,
        "cursors": {"client": 0, "system": 0} | cursors,
    }


def cursors(session: Session) -> dict[str, int]:
    found: dict[str, int] = session.connect(None)["payload"]["cursors"]
    return found


def hear(session: Session, *sequences: int, group: str | None = None) -> list[bool]:
    scope = {} if group is None else {"group": group}
    return [session.is_new({"action": "x", "seq": seq} | scope) for seq in sequences]


def test_a_new_client_asks_for_all_of_its_own_events_and_for_what_groups_are_told_from_now_on() -> None:
    session = Session()
    assert session.connect("a token") == {
        "action": "connect",
        "payload": {"cursors": {"client": 0}, "token": "a token"},
    }
    told = session.welcome(welcome(recovered=False))
    assert (told.first, told.same_client, told.recovered) == (True, True, True)


def test_an_event_is_new_once_for_each_scope() -> None:
    session = Session()
    session.welcome(welcome(client=4, system=4))
    assert hear(session, 4, 5, 5, 7, 7) == [False, True, False, True, False]
    assert hear(session, 4, 6, 6, group="system") == [False, True, False]
    assert cursors(session) == {"client": 7, "system": 6}


def test_one_that_comes_late_is_new_too() -> None:
    session = Session()
    session.welcome(welcome())
    assert hear(session, 9, 8, 9, 8) == [True, True, False, False]


def test_what_is_neither_stored_nor_counted_is_always_new() -> None:
    session = Session()
    session.welcome(welcome())
    assert session.is_new({"action": "pong"})
    assert session.is_new({"action": "pong"})


def test_a_connection_lost_in_the_middle_of_a_replay_costs_no_event() -> None:
    session = Session()
    session.welcome(welcome(replayed=3, client=30, system=30))
    assert hear(session, 10, 20) == [True, True]
    assert session.replaying
    assert cursors(session)["client"] == 20
    session.welcome(welcome(replayed=1, client=30, system=30))
    assert hear(session, 30) == [True]
    assert not session.replaying
    assert cursors(session) == {"client": 30, "system": 30}


def test_a_replay_with_an_event_that_is_known_ends_all_the_same() -> None:
    session = Session()
    session.welcome(welcome())
    hear(session, 9, 8)  # so that it comes back after 8
    session.welcome(welcome(replayed=1, client=9))
    assert hear(session, 9) == [False]
    assert not session.replaying


def test_another_stream_is_another_history_whose_sequences_begin_again() -> None:
    session = Session()
    session.welcome(welcome(client=4))
    hear(session, 5)
    told = session.welcome(welcome(epoch="two"))
    assert (told.same_client, told.recovered) == (True, False)
    assert hear(session, 5) == [True]


def test_a_stream_that_was_put_back_gives_its_sequences_again() -> None:
    session = Session()
    session.welcome(welcome(client=4, system=4))
    hear(session, 50)
    session.welcome(welcome(client=40, system=40))
    assert cursors(session)["client"] == 40
    assert hear(session, 50) == [True]


def test_of_a_group_that_it_is_not_in_any_more_it_keeps_no_place() -> None:
    session = Session()
    session.welcome(welcome(client=4, system=4, admins=4))
    hear(session, 5, group="admins")
    assert session.saved()["groups"] == {"system": 4, "admins": 5}
    session.welcome(welcome(client=6, system=6))
    assert cursors(session) == {"client": 6, "system": 6}
    session.welcome(welcome(client=8, system=8, admins=8))
    assert cursors(session) == {"client": 8, "system": 8, "admins": 8}


def test_of_groups_that_it_joins_it_keeps_no_more_places_than_a_server_takes() -> None:
    session = Session()
    session.welcome(welcome(client=4, system=4))
    for seq in range(5, 500):
        assert hear(session, seq, seq, group=f"room-{seq}") == [True, False]
    assert len(cursors(session)) == MOST_SCOPES
    assert hear(session, 500) == [True]
    assert cursors(session) | {"client": 500, "system": 4, "room-5": 5} == cursors(session)


def test_a_stranger_has_no_history() -> None:
    session = Session()
    session.welcome(welcome(client=4, system=4))
    told = session.welcome(welcome("bob", client=6, system=6))
    assert (told.first, told.same_client, told.recovered) == (False, False, False)
    assert session.client_id == "bob"


def test_a_later_process_is_the_same_client_and_hears_of_its_jobs_again() -> None:
    session = Session()
    session.welcome(welcome(client=4, system=4))
    hear(session, 5)
    hear(session, 6, group="system")
    session.renew("newer")
    later = Session(session.saved())
    assert later.connect(None)["payload"] == {"cursors": {"client": 0, "system": 6}, "resume": "newer"}
    assert later.welcome(welcome(client=6, system=6, recovered=False)).recovered is False


@pytest.mark.parametrize(
    "saved", [{}, {"client_id": "ann"}, {"client_id": "a", "epoch": "e", "resume": "r", "groups": 3}]
)
def test_what_is_no_saved_session_is_named(saved: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"give what Client\.saved\(\) returned"):
        Session(saved)
