"""A batch: what one turn of the event loop brought, chosen once for each view."""

from __future__ import annotations

from bus.messages import JobProgress, JobResult, JobStarted, SystemNotification
from quart_app.channel import Channel, event_handler
from quart_app.delivery.batch import Batch, Encoded, View
from quart_app.delivery.prepared import PreparedFrames, text_frame


class Passing(Channel):
    passthrough_events = (SystemNotification, JobStarted, JobProgress, JobResult)


class Shouting(Channel):
    passthrough_events = (JobResult,)

    @event_handler
    async def shout(self, event: SystemNotification) -> SystemNotification:
        """Say it louder."""
        return SystemNotification(payload=event.payload.upper())


NEWS = [SystemNotification(payload=f"news {number}", seq=number) for number in range(1, 5)]
RESULT = JobResult(payload="done", job_id="j", seq=9)


def batch(*events: tuple[int, SystemNotification | JobResult | JobStarted | JobProgress]) -> Batch:
    made = Batch("system")
    for seq, event in events:
        made.add(Encoded.of(seq, event))
    return made


def texts(*events: SystemNotification | JobResult) -> bytes:
    return b"".join(text_frame(event.encode()) for event in events)


def test_events_that_go_as_they_are_leave_as_one_entry() -> None:
    (frames,) = batch(*enumerate(NEWS, 1)).shown(View(Passing, v1=True))
    assert isinstance(frames, PreparedFrames)
    assert frames.data == texts(*NEWS)
    assert frames.texts == tuple(event.encode() for event in NEWS)


def test_an_event_with_a_handler_keeps_its_place() -> None:
    mixed = batch((1, RESULT), (2, NEWS[0]), (3, RESULT), (4, RESULT))
    before, handled, after = mixed.shown(View(Shouting, v1=False))
    assert isinstance(before, PreparedFrames)
    assert isinstance(after, PreparedFrames)
    assert (before.data, handled, after.data) == (texts(RESULT), NEWS[0], texts(RESULT, RESULT))


def test_plain_clients_are_not_shown_what_only_the_subprotocol_has() -> None:
    started = JobStarted(payload="started", attempt=1, job_id="j", seq=1)
    events = batch((1, started), (2, NEWS[0]))
    (plain,) = events.shown(View(Passing, v1=False))
    (v1,) = events.shown(View(Passing, v1=True))
    assert isinstance(plain, PreparedFrames)
    assert isinstance(v1, PreparedFrames)
    assert (len(plain.texts), len(v1.texts)) == (1, 2)


def test_what_was_seen_is_left_out_and_with_it_progress() -> None:
    progress = JobProgress(payload=0.5, job_id="j")
    events = batch((7, NEWS[0]), (0, progress), (8, NEWS[1]), (12, NEWS[2]))
    (frames,) = events.shown_after(8, View(Passing, v1=True))
    assert isinstance(frames, PreparedFrames)
    assert frames.texts == (NEWS[2].encode(),)
    assert (events.first, events.last, len(events)) == (7, 12, 4)


def test_what_nobody_is_shown_is_nothing() -> None:
    assert batch((1, JobStarted(payload="started", attempt=1, job_id="j", seq=1))).shown(View(Shouting, v1=True)) == ()


def test_each_audience_is_encoded_for_once() -> None:
    events = batch((1, NEWS[0]))
    view = View(Passing, v1=True)
    assert events.shown(view) is events.prepared[view]
