"""Whether there are workers and web processes, and whether they agree with each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from cli.doctor.check import Check, bad, good, unsure
from workers.state.processes import Process, Processes

WORKERS, WEB, JOBS, SECRET, AGREEMENT = "workers", "web", "job types", "secret", "agreement"

ASK = "see whether its NATS user may subscribe $SRV.> and publish to the inbox of who asks"
MOST_NAMED = 5
"""Processes, job types or settings that are named in one line."""


def check_workers(workers: Processes) -> Iterator[Check]:
    """Whether somebody runs jobs."""
    if workers.error is not None:
        yield unsure(WORKERS, f"could not be asked: {workers.error}", 'let this user publish "$SRV.STATS.*"')
    elif not workers.found:
        yield bad(WORKERS, "none answers, so no job runs", f"start one: busctl worker. If one runs, {ASK}")
    else:
        room = sum(worker.concurrency for worker in workers.found)
        names = _named([worker.name for worker in workers.found])
        yield good(WORKERS, f"{names} for {room} job{'s' if room != 1 else ''} at a time")


def check_web(web: Processes) -> Iterator[Check]:
    """Whether somebody serves clients."""
    if web.error is not None:
        yield unsure(WEB, f"could not be asked: {web.error}", 'let this user publish "$SRV.STATS.*"')
    elif not web.found:
        yield unsure(
            WEB, "no web process answers, so no browser is served", f"start one: busctl serve. If one runs, {ASK}"
        )
    else:
        yield good(WEB, _named([process.name for process in web.found]))


def check_jobs(web: Sequence[Process], workers: Sequence[Process]) -> Iterator[Check]:
    """Whether every job type that web processes accept is run by each worker of its queue, as they know it."""
    if not workers or not web:
        return
    faults = 0
    known = {name for worker in workers for name in worker.jobs}
    accepted = {name: code for process in web for name, code in process.jobs.items()}
    if nobody := sorted(accepted.keys() - known):
        faults += 1
        yield bad(
            JOBS,
            f"web processes accept {_named(nobody)}, which no worker knows",
            "install the same packages with jobs for web processes and workers, with the same BUS_EXAMPLE_JOBS, and "
            "restart both",
        )
    versions: dict[str, set[str]] = defaultdict(set)
    for process in (*web, *workers):
        for name, code in process.jobs.items():
            versions[name].add(code)
    if differing := sorted(name for name, codes in versions.items() if len(codes) > 1):
        faults += 1
        yield bad(
            JOBS,
            f"processes know different versions of {_named(differing)}: {_who_differs(differing[0], web, workers)}",
            "deploy the same version everywhere and restart: workers first, then web processes",
        )
    if some := sorted(
        f"{name} on {worker.name}" for worker in workers for name in accepted.keys() & known - worker.jobs.keys()
    ):
        faults += 1
        yield bad(
            JOBS,
            f"not every worker knows every job type; missing is {_named(some)}",
            "install the same packages on all workers that take from one queue, or give such jobs a queue of their own",
        )
    if not faults:
        yield good(JOBS, f"workers and web processes know the same {len(accepted)}")


def _who_differs(name: str, *processes: Sequence[Process]) -> str:
    by_code: dict[str, list[str]] = defaultdict(list)
    for process in (each for kind in processes for each in kind):
        if name in process.jobs:
            by_code[process.jobs[name]].append(process.name)
    return " against ".join(_named(names) for names in by_code.values())


def check_secret(web: Sequence[Process], fingerprint: str) -> Iterator[Check]:
    """Whether a client may resume at each web process.

    Args:
        fingerprint: of this shell's secret; empty where it has none.
    """
    if not web:
        return
    codes = _by_fact(web, "secret")
    without = codes.pop("", [])
    if len(codes) > 1:
        sides = " against ".join(_named(names) for names in codes.values())
        yield bad(
            SECRET, f"web processes have different secrets: {sides}", "give all of them one BUS_SECRET, and restart"
        )
    elif without and len(web) > 1:
        yield bad(
            SECRET,
            f"BUS_SECRET is not set for {_named(without)}, so no client can resume at another process",
            "give all web processes one BUS_SECRET, from: openssl rand -hex 32",
        )
    elif without:
        yield unsure(
            SECRET,
            "BUS_SECRET is not set, so no client can resume after a restart",
            "set BUS_SECRET, from: openssl rand -hex 32",
        )
    elif fingerprint and fingerprint not in codes:
        yield unsure(SECRET, "this shell has another BUS_SECRET than the web processes", "give both the same")
    else:
        yield good(SECRET, "the same for every web process")


def check_agreement(processes: Sequence[Process], own: Mapping[str, str], own_version: str) -> Iterator[Check]:
    """Whether versions and settings are the same everywhere, where they have to be.

    Args:
        own: what this shell would tell of itself, were it a process of the system.
    """
    if not processes:
        return
    names = sorted({name for process in processes for name in process.found.metadata if name.startswith("BUS_")})
    if differing := [name for name in names if len(_by_fact(processes, name)) > 1]:
        for name in differing[:MOST_NAMED]:
            sides = ", ".join(
                f"{value or 'empty'} at {_named(who)}" for value, who in _by_fact(processes, name).items()
            )
            yield bad(AGREEMENT, f"{name} is {sides}", f"give every process the same {name}, and restart them")
        return
    here = [name for name in names if name in own and own[name] not in _by_fact(processes, name)]
    for name in here[:MOST_NAMED]:
        value = next(iter(_by_fact(processes, name)))
        text = f"{name} is {own[name] or 'empty'} in this shell, and {value or 'empty'} for every process"
        yield unsure(AGREEMENT, text, f"set {name} here as it is there: what busctl does goes by it too")
    if here:
        return
    versions = {process.found.version for process in processes}
    if versions != {own_version}:
        told = ", ".join(sorted(versions | {own_version}))
        yield unsure(AGREEMENT, f"different versions of busctl run: {told}", "finish the upgrade: workers first")
        return
    yield good(AGREEMENT, "every process has the same version and the settings that must agree")


def _by_fact(processes: Sequence[Process], name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for process in processes:
        found[process.found.metadata.get(name, "")].append(process.name)
    return dict(found)


def _named(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
