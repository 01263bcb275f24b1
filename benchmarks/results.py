"""What one run has found: every round of every figure, when and where; kept as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.noise import Noise

PLACE = Path(__file__).parent / "results"
LOCKS = (Path(__file__).parent / "requirements.lock", Path(__file__).parent / "package-lock.json")


PEERS = ("chanx", "fast-channels", "fastapi", "uvicorn")


@dataclass
class Results:
    """The figures of a run, by topic.

    Args:
        rounds: how often each was measured.
        noise: what others used of the machine meanwhile, by topic.
        machine: what ran it, in words, by what it is.
        date: the day, as ISO 8601 has it.
    """

    rounds: int
    topics: dict[str, list[Figure]] = field(default_factory=dict)
    noise: dict[str, Noise] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=lambda: machine())
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())

    @property
    def figures(self) -> list[Figure]:
        """Those of all topics."""
        return [figure for figures in self.topics.values() for figure in figures]

    @property
    def noisy(self) -> list[str]:
        """Of each topic during which the machine had too much else to do, or of which that is not known, a sentence."""
        heard = {topic: self.noise.get(topic) for topic in self.topics}
        return [
            f"{topic}: {noise or 'it is not known what others did meanwhile'}"
            for topic, noise in heard.items()
            if noise is None or not noise.quiet
        ]

    def save(self, place: Path = PLACE) -> Path:
        """Write a file of this run's own. Returns it."""
        place.mkdir(parents=True, exist_ok=True)
        file = place / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return file

    @classmethod
    def load(cls, file: Path) -> Results:
        """Read a file that `save` wrote."""
        data = json.loads(file.read_text())
        topics = {
            topic: [Figure(**figure | {"rounds": tuple(figure["rounds"])}) for figure in figures]
            for topic, figures in data.pop("topics").items()
        }
        noise = {topic: Noise(**shares) for topic, shares in data.pop("noise", {}).items()}
        return cls(topics=topics, noise=noise, **data)


def machine() -> dict[str, str]:
    """The processor, the system, and the versions of everything that was measured."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    python, node = LOCKS[0].read_text(), json.loads(LOCKS[1].read_text())
    peers = {name: pin for name, pin in re.findall(r"^(\S+)==(\S+)", python, re.MULTILINE) if name in PEERS}
    return {
        "processor": f"{os.cpu_count()} cores, {found[1] if found else platform.machine()}",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": platform.python_version(),
        **{name: version(name) for name in ("hypercorn", "quart", "celery", "nats-py", "websockets")},
        **peers,
        "nats-server": _said(str(Path(sys.executable).parent / "nats-server"), "--version"),
        "node": _said("node", "--version"),
        "ws": node["packages"]["node_modules/ws"]["version"],
    }


def _said(*command: str) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "none"
    return answer.strip().rpartition(" ")[2].removeprefix("v")
