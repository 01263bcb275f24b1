"""NATS as `deploy/nats/` configures it: a user for each role, with a password that has whatever a password may have."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from testbed.planted import PLANTED
from testbed.servers import Nats, Web, Worker
from testbed.system import System

DEPLOY = Path(__file__).parent.parent / "deploy"
ROLES = ("web", "worker", "cli", "operator", "notify", "monitor")
PASSWORDS = {role: f"{role} {PLANTED} p@ss/#1%:,é?" for role in ROLES}


def copied(directory: Path) -> Path:
    """The configuration as an operator copies it: with passwords, and with this directory in place of the system's."""
    here = directory / "etc"
    shutil.copytree(DEPLOY / "nats", here)
    for file in here.iterdir():
        text = file.read_text().replace("/etc/nats", str(here)).replace("/var/lib/nats", str(directory / "data"))
        file.write_text(text)
    write_passwords(here, PASSWORDS)
    return here


def add_tls(here: Path, certificate: Path, key: Path) -> None:
    """Put the files where tls.conf and cluster.conf look for them; the certificate is its own authority."""
    (here / "tls").mkdir(exist_ok=True)
    for name, source in (("server.crt", certificate), ("server.key", key), ("ca.crt", certificate)):
        shutil.copy(source, here / "tls" / name)


def write_passwords(here: Path, passwords: Mapping[str, str]) -> None:
    """Write the file of passwords, one for each role."""
    lines = [f'{role}_password: "{password}"' for role, password in passwords.items()]
    (here / "passwords.conf").write_text("\n".join(lines) + "\n")


class RolesNats(Nats):
    """A server that reads one of these files.

    Args:
        directory: where the copy is made.
        file: which one.
        options: of its command line, besides.
    """

    def __init__(self, directory: Path, file: str = "single.conf", *options: str) -> None:
        self.etc = copied(directory)
        super().__init__(directory, "-c", str(self.etc / file), *options, jetstream=False)

    def login(self, role: str) -> dict[str, str]:
        """The environment of a process of this role."""
        return {"NATS_URL": self.url, "NATS_USER": role, "NATS_PASSWORD": PASSWORDS[role]}


class RolesSystem(System):
    """A system in which each process logs in as what it is."""

    def __init__(self, directory: Path, file: str = "single.conf", **settings: str) -> None:
        super().__init__(directory, **settings)
        self.nats: RolesNats = RolesNats(directory, file)

    def of(self, role: str) -> dict[str, str]:
        """The environment of a process of this role."""
        return self.env | self.nats.login(role)

    def worker(self, *arguments: str, meets: bool = False, **settings: str) -> Worker:
        return super().worker(*arguments, meets=meets, **self.nats.login("worker"), **settings)

    def web(self, *command: str, **settings: str) -> Web:
        return super().web(*command, **self.nats.login("web"), **settings)
