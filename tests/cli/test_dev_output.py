"""What `busctl dev` shows of what its processes write, and what it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.dev_output import LARGEST_FILE, DevOutput, worth_showing

AT = "2026-11-26T22:46:43.646664Z"
HIDDEN = [
    ("valkey", "16886:M 26 Nov 2026 22:46:41.849 # WARNING Memory overcommit must be enabled!"),
    ("nats", "[16885] 2026/11/26 22:46:41.866875 [INF] Server is ready"),
    ("nats", "[16885] 2026/11/26 22:46:41.866875 [WRN] Invalid JetStream request '$G > $JS.API.X': unexpected EOF"),
    ("nats", '[16885] 2026/11/26 22:46:41.866875 [WRN] Healthcheck failed: "failed to be ready after 1ms: server"'),
    ("web", f"{AT} [info     ] connection opened client_id=x path=/ws/system"),
    ("worker", f"{AT} [debug    ] x"),
    ("worker", f"{AT} [info     ] job started attempt=1 client_id=cli job_id=c996b0da19069fd8 type=translate"),
    ("worker", "worker: Warm shutdown (MainProcess)"),
]
SHOWN = [
    ("nats", "[16885] 2026/11/26 22:46:41.866875 [WRN] Slow consumer", "Slow consumer"),
    ("web", f"{AT} [warning  ] NATS is away reason='it left'", "NATS is away reason='it left'"),
    ("worker", f"{AT} [error    ] the job raised job_id=a", "the job raised job_id=a"),
    ("worker", "Traceback (most recent call last):", "Traceback (most recent call last):"),
    ("worker", "printed by a job\x1b[2J", "printed by a job\\x1b[2J"),
    (
        "web",
        f"{AT} [info     ] job accepted client_id=cli job_id=c996b0da19069fd8 type=translate waits=False",
        "→ translate c996b0da accepted, of cli",
    ),
    (
        "worker",
        f"{AT} [info     ] job ended attempt=1 job_id=c996b0da19069fd8 seconds=2.016 state=job_result type=tea",
        "✓ tea c996b0da done after 2.016 s",
    ),
    (
        "worker",
        f"{AT} [info     ] job ended job_id=c99 seconds=1 state=job_failed type=tea",
        "✗ tea c99 failed after 1 s",
    ),
]


@pytest.mark.parametrize(("name", "line"), HIDDEN)
def test_what_nobody_needs_is_not_shown(name: str, line: str) -> None:
    assert worth_showing(name, line) is None


@pytest.mark.parametrize(("name", "line", "shown"), SHOWN)
def test_what_matters_is(name: str, line: str, shown: str) -> None:
    text = worth_showing(name, line)
    assert text is not None
    assert text.plain == shown


def test_every_line_is_kept_and_shown_if_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verbose in (False, True):
        output = DevOutput(tmp_path / "logs", verbose=verbose, on_unread=lambda: None)
        for name, line in HIDDEN:
            output.hear(name, line)
        output.close()
        assert capsys.readouterr().err.count("│") == (len(HIDDEN) if verbose else 0)
    lines = [line for path in sorted((tmp_path / "logs").iterdir()) for line in path.read_text().splitlines()]
    assert sorted(lines) == sorted([line for _, line in HIDDEN] * 2)
    assert (tmp_path / "logs").stat().st_mode & 0o077 == 0


def test_the_files_do_not_grow_without_bound(tmp_path: Path) -> None:
    output = DevOutput(tmp_path, verbose=False, on_unread=lambda: None)
    for _ in range(4 * LARGEST_FILE // 100_000):
        output.hear("nats", "[1] 2026/11/26 22:46:41.8 [INF] " + "x" * 100_000)
    output.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nats.log", "nats.log.1"]
    assert all(path.stat().st_size <= LARGEST_FILE for path in tmp_path.iterdir())


def test_of_one_that_died_the_last_lines_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = DevOutput(tmp_path, verbose=False, on_unread=lambda: None)
    for number in range(100):
        output.hear("valkey", f"line {number}")
    output.show_last_words("valkey")
    output.close()
    shown = capsys.readouterr().err.splitlines()
    assert (len(shown), shown[-1]) == (20, "valkey │ line 99")
