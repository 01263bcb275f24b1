"""Log lines: whoever logs, nobody forges a line, and none tells a secret or what clients wrote."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from bus.escape import escaped
from testbed.planted import PLANTED

LOUD = Path(__file__).with_name("loud.py")
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def run(log_format: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bus.loud", log_format],
        cwd=LOUD.parents[2],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")  # its last error is not caught
    return done.stderr.decode()


@pytest.fixture(scope="module")
def console() -> str:
    return run("console")


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("json").splitlines()]


def texts(value: object) -> list[str]:
    """Every key and text of a record."""
    match value:
        case dict():
            return [text for key, one in value.items() for text in [key, *texts(one)]]
        case list():
            return [text for one in value for text in texts(one)]
        case str():
            return [value]
    return []


def hidden(text: str, allowed: str = "") -> str:
    return "".join(c for c in text if unicodedata.category(c) in HIDDEN and c not in allowed)


JOINERS = "\u200c\u200d"


def test_nothing_from_outside_makes_a_line_or_controls_a_terminal(console: str, records: list[dict[str, Any]]) -> None:
    assert hidden(console, "\n" + JOINERS) == ""
    kinds = r"[A-Z]\w*|gaierror|herror"
    begins = re.compile(rf'\d{{4}}-\d\d-\d\dT|Traceback|  File "|  The above|  During|  The exception|  …|{kinds}')
    for line in console.splitlines():
        assert begins.match(line), line
        assert "FORGED" not in line or not line.startswith("2026-01-01T00:00:00Z")
    for text in texts(records):
        assert hidden(text, JOINERS) == "", text


def test_no_line_tells_a_message_a_local_variable_or_a_body(console: str, records: list[dict[str, Any]]) -> None:
    assert PLANTED not in console
    assert all(PLANTED not in text for text in texts(records))


def test_what_needs_joiners_is_shown_as_it_is(console: str, records: list[dict[str, Any]]) -> None:
    assert "👩‍👩‍👧 ❤️ می‌خواهم" in console
    [shown] = [record for record in records if record["event"] == "shown whole"]
    assert shown["path"] == r"C:\new"


def test_a_traceback_has_types_and_places(console: str, records: list[dict[str, Any]]) -> None:
    [ours] = [record for record in records if record["event"] == "ours"]
    validation, lookup = ours["exception"]
    assert validation["exception"] == "ValidationError: int_parsing"
    assert lookup["exception"] == "LookupError"
    assert "direct cause" in lookup["relation"]
    assert lookup["frames"][-1] == {"file": str(LOUD), "line": lookup["frames"][-1]["line"], "function": "raising"}
    assert f'  File "{LOUD}", line {lookup["frames"][-1]["line"]}, in raising\nLookupError\n' in console


def test_a_deep_recursion_and_a_group_are_bounded(records: list[dict[str, Any]]) -> None:
    [deep] = [record for record in records if record["event"] == "recursion"]
    assert len(deep["exception"][0]["frames"]) == 40
    assert deep["exception"][0]["frames_left_out"] > 500
    [group] = [record for record in records if record["event"] == "group"]
    assert [one["exception"] for one in group["exception"]] == [
        "ExceptionGroup",
        "ValueError",
        "OSError: No space left on device",
    ]


def test_an_error_of_this_project_is_told_whole(records: list[dict[str, Any]]) -> None:
    [known] = [record for record in records if record["event"] == "known"]
    assert known["exception"][0]["exception"] == "BusUnavailable: NATS is away"


def test_whatever_an_exception_holds_its_traceback_is_told_and_nothing_that_somebody_wrote(
    records: list[dict[str, Any]],
) -> None:
    chains = [record["exception"] for record in records if record["event"] == "odd"]
    assert all(chain[-1]["frames"] for chain in chains)
    *told, of_tls = [chain[-1]["exception"] for chain in chains]
    assert told == [
        "OSError",
        "OSError",
        "SSLCertVerificationError",
        "gaierror: EAI_NONAME",
        "herror",
        "WithoutText",
        "ValidationError: int_parsing; extra_forbidden",
    ]
    assert re.fullmatch(r"SSLError: [a-z ]+", of_tls)  # in words of OpenSSL


def test_of_an_object_that_may_hold_something_its_type_is_told(records: list[dict[str, Any]]) -> None:
    [record] = [record for record in records if record["event"] == "objects"]
    assert record["path"] == str(LOUD.with_name("loud.py"))
    assert (record["data"], record["settings"], record["secret"]) == ("15 bytes", "<Settings>", "**********")
    assert record["nested"] == ["<Stored>", {"event": "<Model>"}]


def test_libraries_are_told_in_one_line_without_what_they_quote(records: list[dict[str, Any]]) -> None:
    events = [record["event"] for record in records]
    for event in (
        "Received unregistered task of type KeyError. …",
        "Received invalid task message: ValueError …",
        "Can't decode message body …",
        "Received and deleted unknown message.  Wrong destination?!? …",
        "Task handler raised error: ValueError",
        "%d of %s",
        "Task jobs.x[1] raised: …",
        "Header format invalid! …",
        "Retrying after ConnectionError: /v1/traces",
        "Task exception was never retrieved …",
        "Exception in callback …",
        "a log record of a.job could not be shown: TypeError",
    ):
        assert event in events, events


def test_headers_for_a_collector_are_told_by_no_program(capfd: pytest.CaptureFixture[str]) -> None:
    prepare = "from bus import Settings, traces; traces.require(Settings.load(traces='otlp'))"
    env = os.environ | {"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization: Bearer {PLANTED}"}
    subprocess.run([sys.executable, "-c", prepare], cwd=LOUD.parents[2], env=env, check=True, timeout=60)
    assert capfd.readouterr().err == "Header format invalid! …\n"


def test_errors_that_nobody_caught_are_lines_too(records: list[dict[str, Any]]) -> None:
    events = [record["event"] for record in records]
    assert "an error that could not be raised" in events
    assert "an error ended a thread" in events
    assert events[-1] == "an error ends this process"
    assert records[-1]["exception"][-1]["exception"] == "LookupError"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ~", "plain ~"),
        ("grüße 👩‍🚀 ✓ ❤️ 👍🏽 日本\u00a0x", "grüße 👩‍🚀 ✓ ❤️ 👍🏽 日本\u00a0x"),
        ("می‌خواهم क्‍ष", "می‌خواهم क्‍ष"),
        ("a\u200db\u200cc日\u200d本", r"a\u200db\u200cc日\u200d本"),
        ("\u200d👩\u200d", r"\u200d👩\u200d"),
        ("x\n\r\t\x00\x1b\x7f\x9b", r"x\n\r\t\x00\x1b\x7f\x9b"),
        ("\u2028\u2029\u200b\ufeff\u00ad", r"\u2028\u2029\u200b\ufeff\xad"),
        ("\u061c\u200e\u202e\u2066\u2069", r"\u061c\u200e\u202e\u2066\u2069"),
        ("\U000e0041\U000e0100\ufe00 \ufe0f", r"\U000e0041\U000e0100\ufe00 \ufe0f"),
        ("\ud83d\ue000\uffff\u3164", r"\ud83d\ue000\uffff\u3164"),
        ("\U0001fae8\u200d\U0001fae8", "\U0001fae8\u200d\U0001fae8"),
    ],
)
def test_what_is_not_simply_seen_is_written_visibly(text: str, shown: str) -> None:
    assert escaped(text) == shown
