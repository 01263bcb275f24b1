"""nginx with the configuration of docs/how-to/deploy.md, as a process of whoever runs the tests."""

from __future__ import annotations

import getpass
import os
import re
import shutil
from pathlib import Path

import pytest

from testbed.ports import free_port
from testbed.servers import Server, Web, answers

PAGE = Path(__file__).parents[1] / "docs/how-to/deploy.md"
ELSEWHERE = "/usr/sbin/nginx"
"""Where Debian has it, which is not on everybody's PATH."""


def executable() -> str:
    """The system's nginx; without one the test is skipped, or fails where `CI=true`."""
    if (path := shutil.which("nginx") or shutil.which(ELSEWHERE)) is not None:
        return path
    missing = "no nginx on this machine; install it to run this test (Debian: nginx-light)"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def sample(port: int, webs: list[Web], certfile: Path, keyfile: Path) -> str:
    """The configuration as the page has it, with other ports and other paths."""
    [text] = re.findall(r"^```nginx\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    other = {
        "127.0.0.1:8000": f"127.0.0.1:{webs[0].port}",
        "127.0.0.1:8001": f"127.0.0.1:{webs[1].port}",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/app.pem": str(certfile),
        "/etc/ssl/app.key": str(keyfile),
    }
    for before, after in other.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


class Nginx(Server):
    """In front of two web processes.

    Args:
        certificate: paths of a certificate for 127.0.0.1 and its key.
    """

    name = "nginx"

    def __init__(self, directory: Path, webs: list[Web], certificate: tuple[Path, Path]) -> None:
        super().__init__(directory)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.ws_url = f"wss://127.0.0.1:{self.port}/ws/system"
        self._program = executable()
        self._file = directory / "nginx.conf"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {directory / kind}; " for kind in kinds)
        self._file.write_text(
            f"daemon off; pid {directory / 'nginx.pid'}; error_log stderr; worker_processes 1;\n"
            + (f"user {getpass.getuser()};\n" if os.geteuid() == 0 else "")
            + f"events {{}}\nhttp {{ access_log off; {paths}\n{sample(self.port, webs, *certificate)}}}\n"
        )

    def command(self) -> list[str]:
        return [self._program, "-c", str(self._file), "-p", str(self.directory), "-e", "stderr"]

    def ready(self) -> bool:
        return answers(self.port)
