"""The one name that projects import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import busctl
from tests.cli.command import DEADLINE


def test_every_name_is_there_and_is_what_type_checkers_are_told() -> None:
    tree = ast.parse(Path(busctl.__file__).read_text())
    [typed] = [node for node in tree.body if isinstance(node, ast.If)]
    told = {name.name: node.module for node in typed.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert sorted(told) == sorted(busctl.__all__)
    assert told == busctl._HOME_OF
    for name in busctl.__all__:
        assert getattr(busctl, name) is not None


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, busctl; assert not {'bus', 'workers', 'quart_app'} & set(sys.modules);"
        "from busctl import job; assert not {'celery', 'quart'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE)


def test_a_name_that_is_not_there_is_said_as_python_says_it() -> None:
    with pytest.raises(AttributeError, match="module 'busctl' has no attribute 'Jobs'"):
        _ = busctl.Jobs
