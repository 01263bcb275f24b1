"""What a client has seen, beside what the stream has stored: each once, in order, and nothing missing."""

from __future__ import annotations

from typing import Any

Frame = dict[str, Any]

UNSHOWN = {"job_requeued", "job_carried"}
REPLACES = {"job_started", "job_result"}


def differences(seen: list[Frame], stored: list[Frame], *, whole: bool = True) -> list[str]:
    """What is wrong with what was seen of one scope, in words.

    Args:
        whole: whether nothing may be missing.
    """
    wrong = []
    sequences = [frame["seq"] for frame in seen]
    if sequences != sorted(sequences):
        wrong.append(f"out of order: {sequences}")
    if len(set(sequences)) != len(sequences):
        wrong.append(f"twice: {sorted({each for each in sequences if sequences.count(each) > 1})}")
    by_seq = {frame["seq"]: frame for frame in stored}
    for frame in seen:
        one = by_seq.get(frame["seq"])
        if one is None:
            if whole:
                wrong.append(f"never stored: {frame}")
        elif (frame["action"], frame["payload"]) != (one["action"], one["payload"]):
            wrong.append(f"other than stored: {frame} is {one}")
    if whole:
        wrong += [f"missing: {frame}" for frame in missing(set(sequences), stored)]
    return wrong


def missing(seen: set[int], stored: list[Frame]) -> list[Frame]:
    """What a client had to be shown and was not. Pieces that a later event replaces may be left out."""
    replaced: set[str] = set()
    lacking = []
    for frame in reversed(stored):
        job = frame.get("job_id", "")
        if frame["action"] == "job_output" and job in replaced:
            continue
        if frame["action"] in REPLACES:
            replaced.add(job)
        if frame["action"] not in UNSHOWN and frame["seq"] not in seen:
            lacking.append(frame)
    return lacking[::-1]
