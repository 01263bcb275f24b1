"""Valkey with the users of `deploy/redis/users.acl`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

import redis

from testbed.planted import PLANTED
from testbed.roles import DEPLOY
from testbed.servers import Valkey

USERS = ("web", "worker", "operator")
PASSWORDS = {user: f"{user} {PLANTED}#/@:%?é" for user in USERS}


class UsersValkey(Valkey):
    """A server that knows a user for each kind of process, and one of the test's own that may do everything."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.file = directory / "users.acl"
        text = (DEPLOY / "redis" / "users.acl").read_text()
        for user, password in PASSWORDS.items():
            text = text.replace(f"{user.upper()}_PASSWORD_SHA256", hashlib.sha256(password.encode()).hexdigest())
        self.file.write_text(f"{text}user test on nopass ~* &* +@all\n")

    def command(self) -> list[str]:
        return [*super().command(), "--aclfile", str(self.file)]

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=2, username="test", password="x")

    def url_of(self, user: str) -> str:
        """The URL of a process of this user."""
        return f"redis://{user}:{quote(PASSWORDS[user], safe='')}@127.0.0.1:{self.port}/0"
