"""The reference page of the command line, from the Typer application."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from cli.commands import COMMANDS, command
from cli.errors import FAILED, INTERRUPTED, USAGE
from cli.help import EXAMPLE, PANEL

INTRODUCTION = f"""# busctl

The command line. `qbusctl` is the same program, for machines where `busctl` is that of systemd. `busctl --help` and
`busctl COMMAND --help` (`-h`) say what stands here too, `busctl --version` says the version.

| exit status | means |
|---|---|
| 0 | done |
| {FAILED} | it failed, and standard error says why and what to do next |
| {USAGE} | wrong usage: the command line cannot be understood, or asks for what cannot be |
| {INTERRUPTED} | interrupted by Ctrl+C |

`busctl --install-completion` teaches bash, zsh or fish the commands, options, job types and ids of jobs. zsh comes with
a completion for systemd's busctl, and prefers it: there put `eval "$(busctl --show-completion)"` into `~/.zshrc`,
below `compinit`.

What each command means by *done* stands below. Output for people and for programs (`--json`) goes to standard output,
everything else to standard error.

Commands read the same environment variables as processes do: [settings](settings.md). They need `NATS_URL` and a login
([roles](../how-to/nats-roles.md)); `submit`, `retry`, `status`, `top` and `doctor` also `REDIS_URL`. Besides:

| variable | means |
|---|---|
| `NO_COLOR` | no colours, as with `--no-color` |
| `FORCE_COLOR` | colours and the layout of a terminal, though standard output is none |
| `COLUMNS` | the width of the terminal, where it is not the one that the terminal says |
| `TRACEPARENT` | the trace, of W3C Trace Context, that a job belongs to which `submit` or `retry` submits |
"""


def cli_page() -> str:
    """Every command, with its arguments and options."""
    commands = {name: command(name) for name in COMMANDS}
    shared = {}
    for one in commands.values():
        shared |= {option.opts[-1]: option for option in one.params if is_shared(option)}
    lines = [INTRODUCTION, "## Options of many commands", "", "Each command says below which of them it has.", ""]
    lines += ["| option | means |", "|---|---|"]
    lines += [f"| {spelt(option)} | {escaped(option.help)} |" for option in shared.values()]
    for panel, names in groupby(COMMANDS, key=COMMANDS.__getitem__):
        lines += ["", f"## {panel}"]
        for name in names:
            lines += ["", *section(name, commands[name])]
    return "\n".join(lines) + "\n"


def section(name: str, command: Any) -> Iterator[str]:
    """What there is to say of one command."""
    yield from (f"### busctl {name}", "")
    text, _, example = command.help.partition(EXAMPLE)
    yield from (text.strip(), "", "```sh", example.strip(), "```")
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    own = [one for one in command.params if one not in arguments and not is_shared(one)]
    if arguments:
        yield from ("", "| argument | means |", "|---|---|")
        yield from (f"| `{one.metavar}` | {escaped(one.help)} |" for one in arguments)
    if own:
        yield from ("", "| option | default | means |", "|---|---|---|")
        yield from (f"| {spelt(one)} | {default(one)} | {meaning(one)} |" for one in own)
    also = [
        f"`{one.opts[-1]}`" + ("" if one.default in (None, False) else f" ({one.default:g} if not given)")
        for one in command.params
        if is_shared(one)
    ]
    if also:
        yield from ("", f"Also {', '.join(also)}.")


def is_shared(option: Any) -> bool:
    """Whether it is one of the options that are described once for all commands."""
    return getattr(option, "rich_help_panel", None) == PANEL


def spelt(option: Any) -> str:
    """An option and what follows it, as one writes it."""
    value = f" {escaped(option.metavar)}" if option.metavar else ""
    return ", ".join(f"`{name}{value}`" for name in option.opts)


def default(option: Any) -> str:
    """What an option is when it is not given."""
    if option.required:
        return "has to be given"
    if option.default is None or option.default is False or option.default == []:
        return ""
    return f"`{option.default}`"


def meaning(option: Any) -> str:
    """What an option does, and between what its value may be."""
    least, most = getattr(option, "min", None), getattr(option, "max", None)
    if least is None:
        return escaped(option.help)
    return f"{escaped(option.help)} {least} {'or more' if most is None else f'to {most}'}."


def escaped(text: str) -> str:
    """Text for the cell of a table."""
    return text.replace("|", "\\|")
