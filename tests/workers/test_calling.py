"""submit() from Python that is not async, in a process of its own, as a script calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from testbed.system import System
from tests import own_project
from tests.cli.command import DEADLINE
from workers import calling

SCRIPT = """
import json
import threading
from datetime import UTC, datetime, timedelta

from busctl import NoResult, submit
from workers import calling
from workers.errors import Misfit, UnknownTaskType

told = {"result": submit("shout", "hello you").wait(timeout=30)}
told["ids"] = [submit("shout", "once", key="k").job_id for _ in range(2)]
told["again"] = submit("shout", "once", key="k").wait()
calling.close()
told["after a close"] = submit("shout", "once", key="k").wait()
calling.close()
told["threads"] = [thread.name for thread in threading.enumerate()]
later = submit("shout", "x", not_before=datetime.now(UTC) + timedelta(hours=1))
try:
    later.wait(timeout=0.2)
except TimeoutError as error:
    told["late"] = str(error)
try:
    submit("fail", "x").wait(timeout=30)
except NoResult as error:
    told["failed"] = str(error), error.event.action
try:
    submit("shuot", "x")
except UnknownTaskType as error:
    told["unknown"] = str(error)
told["refused"] = []
for content, options in [
    ("caf\\udce9", {}),
    (object(), {}),
    ("x", {"key": "\\udce9"}),
    ("x", {"not_before": datetime.now() + timedelta(hours=1)}),
    ("x", {"client": "a b"}),
]:
    try:
        submit("shout", content, **options)
    except (Misfit, ValueError) as error:
        told["refused"].append(f"{type(error).__name__}: {error}")
print(json.dumps(told))
"""

FAIL = """
from busctl import Fail


@job
def fail(content: str, job: JobContext) -> str:
    \"\"\"Fail.\"\"\"
    raise Fail("the shop is closed")
"""


REFUSED = [
    "Misfit: the content does not fit: Input should be a valid string, without lone surrogates",
    "Misfit: the content does not fit: Unable to serialize unknown type",
    "ValueError: '\\udce9' is no key: it has lone surrogates",
    "has no time zone: give not_before one",
    "InvalidName: 'a b' is no client id",
]
"""What `submit` says to arguments that it does not take, in the order in which the script tries them."""


def test_threads_that_begin_at_once_share_one_connection() -> None:
    with ThreadPoolExecutor(8) as threads:
        buses = {used.bus for used in threads.map(lambda _: calling._used(), range(8))}
    assert len(buses) == 1
    calling.close()
    assert calling._used().bus not in buses
    calling.close()


def test_a_script_submits_and_waits(fresh: System, tmp_path: Path) -> None:
    with open(own_project.write(tmp_path) / "jobs.py", "a") as jobs:
        jobs.write(FAIL)
    env = own_project.ENV | {"PYTHONPATH": str(tmp_path)}
    fresh.worker(**env)
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(
        command, env=os.environ | fresh.env | env, capture_output=True, text=True, check=False, timeout=DEADLINE
    )
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["result"], told["again"], told["after a close"]) == ("HELLO YOU ", "ONCE ", "ONCE ")
    assert told["threads"] == ["MainThread"]
    assert told["ids"][0] == told["ids"][1]
    assert "has not ended within 0.2 s; it goes on" in told["late"]
    assert told["failed"][0].endswith(" failed: the shop is closed")
    assert told["failed"][1] == "job_failed"
    assert told["unknown"].startswith("there is no job type 'shuot'; there is ")
    for refused, reason in zip(told["refused"], REFUSED, strict=True):
        assert reason in refused
