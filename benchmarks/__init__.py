"""Benchmarks: what this system costs, beside others that do the same, measured by one driver in one run.

`make bench` runs them all; `python -m benchmarks fan_out --quick` one of them, briefly. Each topic is a module with

* `TITLE`: a line that says what it is about;
* `run(rounds: int, quick: bool) -> list[Figure]`: start the servers it needs on free ports of 127.0.0.1, measure
  `rounds` times with the contestants taking turns (A B C A B C ...), stop the servers; `quick` means a small load for
  a first look. A run that loses a message raises `Invalid`;
* `TARGETS: tuple[Target, ...]`: what its figures should reach.

`Figure` and `Target` are in `figure.py`; starting servers and reading their CPU and memory is in `processes.py`.
"""
