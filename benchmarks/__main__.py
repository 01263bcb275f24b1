"""`python -m benchmarks [TOPIC ...] [--quick] [--rounds N] [--write]`: measure, and print what was found."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from benchmarks import page, report
from benchmarks.figure import Invalid
from benchmarks.noise import Watch
from benchmarks.results import Results

TOPICS = ("fan_out", "stalled", "connections", "redeploy", "jobs", "streaming")
ROUNDS = 2


def main() -> int:
    """Run the topics. Returns the exit status: 1 when a topic proves nothing, whatever the figures of the others."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that servers are stopped then, too
    if asked.results:
        results, failed = Results.load(asked.results), False
    else:
        results, failed = _run(asked.topics, asked.rounds, asked.quick)
    targets = [target for topic in results.topics for target in _topic(topic).TARGETS]
    for title, rows in report.tables(results.figures):
        print(f"\n{title}\n{report.plain(rows)}")
    print(f"\n{report.plain(report.targets(targets, results.figures))}")
    saved: Path = asked.results or results.save()
    print(f"\nevery round is in {saved}")
    for sentence in results.noisy:
        print(f"these figures cannot be trusted: {sentence}", file=sys.stderr)
    if asked.write and failed:
        print("nothing is written: a topic has failed; see above", file=sys.stderr)
    elif asked.write and results.noisy:
        print("nothing is written: run this again when the machine has nothing else to do", file=sys.stderr)
        failed = True
    elif asked.write:
        page.write(results, saved, targets)
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What this system costs.")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of {', '.join(TOPICS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="one round and a small load, for a first look")
    parser.add_argument("--rounds", type=int, help=f"how often everything is measured; {ROUNDS} by default")
    parser.add_argument("--write", action="store_true", help="write docs/reference/performance.md and its plots")
    parser.add_argument("--results", type=Path, metavar="FILE", help="measure nothing, show this earlier run")
    asked = parser.parse_args()
    if unknown := set(asked.topics) - set(TOPICS):
        parser.error(f"no topic of that name: {', '.join(sorted(unknown))}; there are {', '.join(TOPICS)}")
    return asked


def _run(topics: Sequence[str], rounds: int | None, quick: bool) -> tuple[Results, bool]:
    results, failed = Results(rounds or (1 if quick else ROUNDS)), False
    for name in topics or TOPICS:
        topic = _topic(name)
        print(f"\n{topic.TITLE}", flush=True)
        watch = Watch()
        try:
            results.topics[name] = topic.run(results.rounds, quick)
        except Invalid as error:
            print(f"this run proves nothing: {error}", file=sys.stderr, flush=True)
            failed = True
        results.noise[name] = watch.noise()
    return results, failed


def _topic(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.{name}")


if __name__ == "__main__":
    sys.exit(main())
