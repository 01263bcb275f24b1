"""Why a frame or an HTTP request is refused: one table of types, what they mean, and whether the same may do later.

Types that are not in it are pydantic's, of a frame that does not have the form of a message.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorType:
    """The `type` of an error, what it means, and whether the same frame may be accepted later, as it is.

    `status` is that of the answer, where the same was asked for by HTTP.
    """

    type: str
    meaning: str
    again: bool = False
    status: int = 422


OF_FRAMES = (
    ErrorType("binary_frame", "the frame is binary; send JSON in a text frame"),
    ErrorType("json_invalid", "the frame is no JSON (RFC 8259: no `NaN`, no lone surrogates)", status=400),
    ErrorType("union_tag_not_found", "the frame has no `action`"),
    ErrorType("union_tag_invalid", "there is no such `action`"),
    ErrorType("not_a_time", "a time is none, or has no time zone"),
    ErrorType("not_before_and_delay", "`not_before` and `delay` stand together; give one"),
    ErrorType("too_many_errors", "last of several items: more is wrong with `content` than is listed"),
)
"""What is wrong with a frame itself. The first four are of any frame, pydantic's own names among them."""

OF_REQUESTS = (
    ErrorType(
        "bus_unavailable", "NATS is away. What was asked for may have been done: use a `key`", again=True, status=503
    ),
    ErrorType(
        "internal_error",
        "the server failed, and its log says how. Nothing is known of the outcome",
        again=True,
        status=500,
    ),
    ErrorType("stream_full", "the stream has no room for another job", again=True, status=503),
    ErrorType("busy", "Redis is away, and too many jobs wait for it in this process", again=True, status=503),
    ErrorType(
        "too_many_jobs", "the client has `BUS_CLIENT_OPEN_JOBS` jobs that have not ended", again=True, status=429
    ),
    ErrorType("too_many_bytes", "its open jobs take `BUS_CLIENT_STREAM_SHARE` of the stream", again=True, status=429),
    ErrorType("too_fast", "more was read for this client than `BUS_CLIENT_READ_RATE` allows", again=True, status=429),
    ErrorType(
        "too_large",
        "the content is larger than NATS takes, or a request than `BUS_MAX_FRAME_BYTES`; the text has the limit",
        status=413,
    ),
    ErrorType("too_far_ahead", "the job would begin more than 366 days from now"),
    ErrorType("unknown_task_type", "there is no such job type, and no `default` either"),
    ErrorType("unfit_content", "the content of the job that is to be done again does not fit its type any more"),
    ErrorType("unknown_job", "the client has no job of that id, or not any more", status=404),
    ErrorType("job_not_ended", "only a job that has ended can be done again", again=True, status=409),
    ErrorType("token_refused", "the newer token is not valid, or another user's; the one before it stays"),
    ErrorType("keys_unavailable", "it cannot be known now whether the newer token is valid", again=True, status=503),
    ErrorType("bad_group", "that cannot be the name of a group"),
    ErrorType("not_allowed", "the client may not join that group"),
    ErrorType("not_joined", "the connection has not joined that group"),
    ErrorType("too_many_groups", "the connection has joined as many groups as it may"),
)
"""Why what a frame asks for is not done. The last four are of channels that let clients join groups."""

OF_HTTP = (
    ErrorType("invalid", "the request does not have the right form; `items` say what is wrong, as of a frame"),
    ErrorType("unauthorized", "no token proves whose request it is", status=401),
    ErrorType("forbidden", "the page's origin may not ask (`BUS_ALLOWED_ORIGINS`), or the client not here", status=403),
    ErrorType("not_found", "there is nothing at that path", status=404),
    ErrorType("method_not_allowed", "there is something, and another method is for it; see `Allow`", status=405),
    ErrorType("not_json", "the body is not said to be JSON, in `Content-Type`", status=415),
    ErrorType("too_many_requests", "the client, or its address, asks too often", again=True, status=429),
    ErrorType("no_room", "the process has no room for another connection, or is stopping", again=True, status=503),
    ErrorType("bad_position", "`last_event_id` in an address cannot be read; an item of `invalid`"),
    ErrorType("bad_request", "the request is no good HTTP; its status says more", status=400),
)
"""Of HTTP alone. All that may do later is answered with `Retry-After`."""

OF_CONSOLE = (
    ErrorType("jobs_or_filter", "neither jobs nor a filter, or both"),
    ErrorType("expected_with_filter", "a filter without the number of jobs that the operator was told, or the reverse"),
    ErrorType("empty_text", "an announcement says nothing"),
    ErrorType("one_audience", "an announcement is for several of a group, a client and a user"),
    ErrorType("bad_name", "that cannot be the id of a client, a job or a process, or the name of a group"),
    ErrorType("acting_already", "the operator's jobs are being cancelled or retried already", again=True),
    ErrorType("changed", "other jobs fit the filter than the operator was told; look again"),
    ErrorType("not_listed", "not all jobs are listed yet", again=True),
    ErrorType("gone", "that web process is not there any more, or of another version"),
)
"""Of the operator's console alone, which no other program speaks to: the page of the wire leaves them out."""
