"""What the four example jobs answer."""

import pytest

from workers.registry import JobContext, discover
from workers.testing import run

JOBS = discover()
CONTEXT = JobContext(job_id="j", client_id="c", delay_scale=0)


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("hello", "🌍 Translated: 'hello' → 'hola'"),
        ("Good Morning", "🌍 Translated: 'Good Morning' → 'buenos días'"),
        ("castle", "🌍 Translated: 'castle' → '[TRANSLATED: castle]'"),
        ("", "🌍 Translated: '' → '[TRANSLATED: ]'"),
    ],
)
def test_translate(content: str, answer: str) -> None:
    assert JOBS["translate"](content, CONTEXT) == answer


def test_analyze() -> None:
    assert JOBS["analyze"]("Hello wide World!", CONTEXT) == (
        "📊 Analysis of 'Hello wide World!':\n• Characters: 17\n• Words: 3\n• Vowels: 5\n• Consonants: 9"
    )


@pytest.mark.parametrize(
    ("content", "part"),
    [("The WEATHER?", "forecast"), ("what to eat", "soup"), ("food", "soup"), ("help!", "Of course"), ("x", "'x'")],
)
def test_generate(content: str, part: str) -> None:
    done = run(JOBS["generate"], content)
    first, _, rest = done.result.partition("\n")
    assert len(done.output) >= len(done.result.split())
    assert first == f"🤖 AI Response to '{content}':"
    assert part in rest


def test_default() -> None:
    assert JOBS["default"]("straße", CONTEXT) == "✅ Processed: STRASSE"
