# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaks the decisions of the core in every small way, and asks who notices: unit tests or simulation.

Each mutant meets the unit tests of its file, those of the other files, the seeds of the simulation's corpus, and
fresh schedules, until one fails. Those that nothing kills must stand in tests/simulation/survivors.txt, with reasons.
Results are kept, so that an interrupted run goes on where it was; after a change of code or tests, whatever killed a
mutant before is tried first.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import hashlib
import importlib.util
import json
import multiprocessing
import os
import pathlib
import resource
import signal
import sys
import typing as t
from importlib.machinery import ModuleSpec

import pytest
from simulation import mutations
from simulation.mutations import CORE, FILES, SURVIVORS, Mutant

ROOT = pathlib.Path(__file__).resolve().parent.parent
UNIT = ROOT / "tests" / "unit" / "plugins" / "module_utils" / "_lease"
PACKAGE = "ansible_collections.leaderelection.s3.plugins.module_utils._lease"
CORPUS = ROOT / "tests" / "simulation" / "corpus.txt"
RESULTS = ROOT / ".cache" / "mutants" / "results.jsonl"

CHUNK = 100
"""Schedules in a process."""
MOST_CPU = 10
MOST_TIME = 30
"""Seconds after which a mutant counts as killed by an endless loop. Tests and schedules take two at most."""
MEMORY = 2**31
ENDLESS = "an endless loop"


# -- Killers, each in a forked process --------------------------------------------------------------------------------


def in_child(work: t.Callable[[], str]) -> str:
    """Return what the work returns in a process of its own, which takes this one's modules with it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            signal.setitimer(signal.ITIMER_PROF, MOST_CPU)
            signal.setitimer(signal.ITIMER_REAL, MOST_TIME)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(nowhere, stream)
            os.write(writer, work().encode()[:4000])
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    status = os.waitpid(child, 0)[1]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what its tests have started
    with os.fdopen(reader, "rb") as said:
        if os.WIFSIGNALED(status):
            return ENDLESS
        return said.read().decode() if status == 0 else "an error that ends the process"


class FirstFailure:
    """A plugin of pytest."""

    def __init__(self) -> None:
        self.name = ""

    def pytest_runtest_logreport(self, report: t.Any) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid

    def pytest_collectreport(self, report: t.Any) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid


def run_pytest(tests: t.Sequence[str], *options: str) -> str:
    first = FirstFailure()
    cache = ROOT / ".cache" / "mutants" / "pytest"
    quiet = ["-qqq", "--exitfirst", "--no-summary", f"--override-ini=cache_dir={cache}"]
    status = pytest.main([*quiet, *options, *tests], plugins=[first])
    return "" if status == 0 else first.name or f"pytest ended with {status}"


def fail_a_test(mutant: Mutant, tests: t.Sequence[str]) -> str:
    """Return the first of the tests that fails when they import the mutant."""
    file = mutant.name.partition(" ")[0]
    name = f"{PACKAGE}.{file.removesuffix('.py').replace('/', '.')}"
    parent, _dot, child = name.rpartition(".")
    module = importlib.util.module_from_spec(t.cast(ModuleSpec, importlib.util.find_spec(name)))
    sys.modules[name] = module
    setattr(sys.modules[parent], child, module)
    try:
        exec(compile(mutant.source, str(CORE / file), "exec"), module.__dict__)
    except Exception as error:
        return f"import {name}: {error!r}"
    return run_pytest(tests)


def violate(mutant: Mutant, seeds: t.Iterable[int]) -> str:
    """Return the first of the schedules that the mutant does not stand."""
    from simulation import core, draw

    file = mutant.name.partition(" ")[0]
    change = core.Change(file, (CORE / file).read_text(encoding="ascii"), mutant.source)
    try:
        mutated = core.load("a mutant", [change])
    except Exception as error:  # whatever it is, somebody will notice
        return f"seed 0: {error!r}"
    for seed in seeds:
        violation = draw.caught(seed, mutated)
        if violation:
            return f"seed {seed}: {violation}"
    return ""


def forget_the_project() -> None:
    """Let tests and what they test be imported anew; all else stays loaded."""
    for name, module in list(sys.modules.items()):
        file = os.path.realpath(getattr(module, "__file__", None) or "")
        if file.startswith((f"{ROOT}/plugins/", f"{ROOT}/tests/")) and module is not mutations:
            del sys.modules[name]


def tests_of(file: str) -> list[str]:
    folder, _slash, name = file.rpartition("/")
    return sorted(map(str, (UNIT / folder).glob(f"test_{name}*.py")))


def all_tests() -> list[str]:
    return [path for file in FILES for path in tests_of(file)]


def corpus() -> list[int]:
    lines = CORPUS.read_text(encoding="utf-8").splitlines()
    return sorted({int(line.split()[0]) for line in lines if line and not line.startswith("#")})


def killers(mutant: Mutant, known: str, schedules: int) -> t.Iterator[t.Callable[[], str]]:
    """Yield whoever may kill it, the one that did before and the fast ones first."""
    seed = known.partition(":")[0].removeprefix("seed ")
    if known.startswith("seed "):
        yield functools.partial(violate, mutant, [int(seed)])
    elif "::" in known:
        yield functools.partial(fail_a_test, mutant, [known])
    own = tests_of(mutant.name.partition(".")[0])
    yield functools.partial(fail_a_test, mutant, own)
    yield functools.partial(fail_a_test, mutant, [path for path in all_tests() if path not in own])
    yield functools.partial(violate, mutant, corpus())
    for first in range(0, schedules, CHUNK):
        yield functools.partial(violate, mutant, range(first, min(first + CHUNK, schedules)))


class Task(t.NamedTuple):
    mutant: Mutant
    known: str
    """What killed it last time."""
    schedules: int


def examine(task: Task) -> tuple[Mutant, str]:
    """Return the mutant with what killed it, or ''."""
    return task.mutant, next(filter(None, map(in_child, killers(*task))), "")


# -- Results ----------------------------------------------------------------------------------------------------------


def digest(schedules: int) -> str:
    """Return what stays the same as long as all that decides over mutants does."""
    text = hashlib.sha256(str(schedules).encode())
    folders = (CORE, ROOT / "tests" / "simulation", ROOT / "tests" / "support")
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    for path in [*paths, *map(pathlib.Path, all_tests()), CORPUS]:
        text.update(path.read_bytes())
    return text.hexdigest()


def load_results() -> dict[str, tuple[str, str]]:
    """Return for each mutant the digest of the code and tests, and what killed it then."""
    if not RESULTS.exists():
        return {}
    lines = map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())
    return {line["mutant"]: (line["digest"], line["killer"]) for line in lines}


def report(found: dict[str, str], made: dict[str, Mutant], everything: set[str]) -> int:
    """Print what became of the mutants; return 1 if one is not accounted for, or one that is should not be."""
    reasons = mutations.survivors()
    survived = [name for name, killer in found.items() if not killer]
    unexplained = [name for name in survived if name not in reasons]
    for name in unexplained:
        file, rest = name.split(" ", 1)
        function, change = rest.split(": ", 1)
        before, after = change.split(" => ", 1)
        print(f"\n{CORE.relative_to(ROOT) / file}:{made[name].line} in {function} survives:\n- {before}\n+ {after}")
    unknown = [name for name in reasons if name not in everything]
    stale = [name for name in reasons if found.get(name)]
    for name in unknown:
        print(f"\n{SURVIVORS.name} explains what is no mutant (any more): {name}")
    for name in stale:
        print(f"\n{SURVIVORS.name} explains a mutant that is killed by {found[name]}: {name}")
    print()
    for file in FILES:
        killed = collections.Counter(_kind(killer) for name, killer in found.items() if name.startswith(f"{file}.py "))
        if killed:
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(killed.items()))
            print(f"{file}.py: {sum(killed.values())} mutants: {counts}")
    print(
        f"{len(found)} mutants, {len(found) - len(survived)} killed, {len(survived)} survive, "
        f"{len(unexplained)} of them without a reason in {SURVIVORS.relative_to(ROOT)}."
    )
    return int(bool(unexplained or unknown or stale))


def _kind(killer: str) -> str:
    if not killer:
        return "survive"
    if killer == ENDLESS:
        return "killed by an endless loop"
    return "killed by the simulation" if killer.startswith("seed ") else "killed by unit tests"


# -- All of it --------------------------------------------------------------------------------------------------------


def warm_up() -> None:
    """Load what tests and simulation need, and see that nothing fails without a mutation."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        run_pytest(all_tests(), "--collect-only")
    forget_the_project()
    for file in FILES:
        unchanged = Mutant(f"{file}.py", 0, (CORE / f"{file}.py").read_text(encoding="ascii"))
        failed = examine(Task(unchanged, "", 0))[1]
        if failed:
            raise SystemExit(f"Nothing is broken yet, and this fails already: {failed}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help=f"of {', '.join(FILES)} (default: all)")
    parser.add_argument("-k", metavar="TEXT", default="", help="only mutants whose name contains this")
    parser.add_argument("--list", action="store_true", help="only print the mutants")
    parser.add_argument("--schedules", type=int, default=1000, help="for each mutant (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: one for each core")
    parser.add_argument(
        "--trust", action="store_true", help="skip what was killed before, be it with other code or tests"
    )
    arguments = parser.parse_args()
    wrong = set(arguments.files) - set(FILES)
    if wrong:
        parser.error(f"no such file: {', '.join(sorted(wrong))}")
    made = mutations.mutants()
    files = tuple(f"{file}.py " for file in arguments.files or FILES)
    chosen = {one.name: one for one in made if one.name.startswith(files) and arguments.k in one.name}
    if arguments.list:
        print("\n".join(chosen))
        return 0

    state = digest(arguments.schedules)
    results = load_results()
    found: dict[str, str] = {}
    for name in chosen:
        of, killer = results.get(name, ("", ""))
        if of == state or (arguments.trust and killer):
            found[name] = killer
    tasks = [
        Task(one, results.get(name, ("", ""))[1], arguments.schedules)
        for name, one in chosen.items()
        if name not in found
    ]
    print(f"{len(chosen)} mutants; {len(found)} have met this code and these tests before.", flush=True)
    if tasks:
        warm_up()
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        with multiprocessing.get_context("fork").Pool(arguments.processes) as pool, RESULTS.open("a") as kept:
            for turn, (mutant, killer) in enumerate(pool.imap_unordered(examine, tasks), 1):
                found[mutant.name] = killer
                kept.write(json.dumps({"mutant": mutant.name, "digest": state, "killer": killer}) + "\n")
                kept.flush()
                if turn % 100 == 0:
                    print(f"  {turn} of {len(tasks)}", flush=True)
    return report({name: found[name] for name in chosen}, chosen, {one.name for one in made})


if __name__ == "__main__":
    sys.exit(main())
