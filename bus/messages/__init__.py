"""Every message on the wire, one pydantic model each.

A frame is `{"action": ..., "payload": ...}` plus optional flat keys, in that order. To add a message, add a
class to one of the modules below and a handler in a channel; routing, the docs page and the AsyncAPI document follow.
"""

from bus.messages.events import (
    Event,
    JobCancelled,
    JobEvent,
    JobFailed,
    JobOutput,
    JobProgress,
    JobQueued,
    JobRequeued,
    JobResult,
    JobStarted,
    State,
    StoredJobEvent,
    SystemNotification,
)
from bus.messages.from_clients import (
    CancelJob,
    ClientMessage,
    Connect,
    ConnectPayload,
    Cursor,
    GetJob,
    JobPayload,
    Key,
    Ping,
    SystemMessage,
    TaskPayload,
)
from bus.messages.message import (
    Message,
    Ref,
)
from bus.messages.replies import (
    Error,
    ErrorItem,
    JobStatus,
    JobStatusPayload,
    Pong,
    Reply,
    ResumeToken,
    ResumeTokenPayload,
    Welcome,
    WelcomePayload,
)

__all__ = [
    "CancelJob",
    "ClientMessage",
    "Connect",
    "ConnectPayload",
    "Cursor",
    "Error",
    "ErrorItem",
    "Event",
    "GetJob",
    "JobCancelled",
    "JobEvent",
    "JobFailed",
    "JobOutput",
    "JobPayload",
    "JobProgress",
    "JobQueued",
    "JobRequeued",
    "JobResult",
    "JobStarted",
    "JobStatus",
    "JobStatusPayload",
    "Key",
    "Message",
    "Ping",
    "Pong",
    "Ref",
    "Reply",
    "ResumeToken",
    "ResumeTokenPayload",
    "State",
    "StoredJobEvent",
    "SystemMessage",
    "SystemNotification",
    "TaskPayload",
    "Welcome",
    "WelcomePayload",
]
