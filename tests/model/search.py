# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Search the protocol's model, lease.pml, completely with spin, and see each of its mutants refuted."""

from __future__ import annotations

import argparse
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import typing as t

MODEL = pathlib.Path(__file__).with_name("lease.pml")
DEPTH = 1_000_000
"""Steps in one branch, for the depth-first search that the property of liveness needs."""


class Variant(t.NamedTuple):
    """What is searched: the symbols that the model is given, and in words."""

    what: str
    symbols: tuple[str, ...] = ()


VARIANTS = {
    "BASE": Variant("3 claimants, takeover by the store's clock (rule 15)"),
    "OBSERVED": Variant("3 claimants, takeover by observation (rule 14)", ("OBSERVED",)),
    "OPERATOR": Variant("2 claimants, an operator deletes the object", ("OPERATOR", "CLAIMANTS=2")),
    "CALM": Variant("3 claimants, the faults stop at some time", ("CALM",)),
    "DURATIONS": Variant("2 claimants, leases of 1 to 3 ticks (rule 24)", ("DURATIONS", "DURATION=3", "CLAIMANTS=2")),
}


class Mutant(t.NamedTuple):
    """What is broken, and the variant and the property that must refute it."""

    variant: str
    refuted_by: str
    what: str


class Search(t.NamedTuple):
    """What became of one search."""

    errors: int
    complete: bool
    states: int
    transitions: int
    depth: int
    seconds: float
    """Of processor time, the compiler's included."""
    megabytes: float
    refuted: str
    """The property that was refuted, by its name in the model."""
    steps: list[str]
    """How it was refuted, step by step."""
    output: str


def properties(model: str) -> dict[str, str]:
    """Return the sentences that the model states at its top."""
    return dict(re.findall(r"^ \* ([PL]\d): (.*)$", model, re.MULTILINE))


def mutants(model: str) -> dict[str, Mutant]:
    """Return the mutants that the model defines."""
    found = re.findall(r"^#define (RULE_\w+) \d+ /\* (\w+) ([PL]\d): (.*) \*/$", model, re.MULTILINE)
    return {name: Mutant(*rest) for name, *rest in found}


def search(model: str, symbols: t.Sequence[str], memory: int) -> Search:
    """Translate, compile and run one model. ``memory`` is in MB; raises CalledProcessError where a tool fails."""
    defines = [f"-D{symbol}" for symbol in symbols]
    liveness = "CALM" in symbols
    # A search in breadth finds the shortest way to an error; cycles are found in depth only.
    compiled = [f"-DMEMLIM={memory}", "-DNOFAIR", *(["-DCOLLAPSE"] if liveness else ["-DSAFETY", "-DBFS"])]
    options = ["-a", f"-m{DEPTH}"] if liveness else []
    started = processor_time()
    with tempfile.TemporaryDirectory(prefix="model-") as name:
        folder = pathlib.Path(name)
        (folder / MODEL.name).write_text(model, encoding="utf-8")

        def run(*command: str, check: bool = True) -> str:
            result = subprocess.run(
                command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            if check and result.returncode:
                raise subprocess.CalledProcessError(result.returncode, command, result.stdout)
            return result.stdout

        run("spin", *defines, "-a", MODEL.name)
        # A mutant is refuted sooner than an optimizer is through.
        optimize = "-O0" if any(symbol.startswith("MUTANT=") for symbol in symbols) else "-O2"
        run("gcc", "-w", optimize, *compiled, "-o", "pan", "pan.c")
        output = run("./pan", *options, check=False)
        trail = (folder / f"{MODEL.name}.trail").exists()
        steps = run("spin", *defines, "-T", "-t", MODEL.name, check=False) if trail else ""

    def figure(pattern: str) -> float:
        match = re.search(pattern, output, re.MULTILINE)
        return float(match.group(1)) if match else 0.0

    return Search(
        errors=int(figure(r"errors: (\d+)")),
        complete="errors:" in output
        and not re.search(r"not completed|too small|out of memory|memory limit|aborted", output, re.IGNORECASE),
        states=int(figure(r"^ *([\d.e+]+) states, stored")),
        transitions=int(figure(r"^ *([\d.e+]+) transitions")),
        depth=int(figure(r"depth reached (\d+)")),
        seconds=processor_time() - started,
        megabytes=figure(r"^ *([\d.]+)\s+total actual memory"),
        refuted=refuted(model, output, steps),
        steps=readable(steps),
        output=output,
    )


def processor_time() -> float:
    """Return the seconds that the programs started so far have taken."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def refuted(model: str, output: str, steps: str) -> str:
    """Return the name of the refuted property: the comment behind the assertion that failed, or L1 for a cycle."""
    if "acceptance cycle" in output:
        return "L1"
    failed = re.search(r"lease\.pml:(\d+), Error: assertion violated", steps)
    comment = re.search(r"/\* (P\d) \*/", model.splitlines()[int(failed.group(1)) - 1]) if failed else None
    return comment.group(1) if comment else ""


def readable(steps: str) -> list[str]:
    """Return what the model printed on its way to the error, each with the number of ticks until then."""
    lines, ticks = [], 0
    for line in map(str.strip, steps.splitlines()):
        ticks += line == "tick"
        if re.match(r"(claimant|the|an) |<<<<<START OF CYCLE", line):
            lines.append(f"{ticks:5}  {line}")
    return lines


def complaint(result: Search, mutant: Mutant | None) -> str:
    """Return why the outcome is not as it must be, or nothing. Without a mutant, all must hold."""
    found = result.refuted or "an error that is no property's"
    if mutant is None:
        return f"refuted by {found}" if result.errors else "" if result.complete else "the search is not complete"
    if not result.errors:
        return f"survives, and {mutant.refuted_by} must refute it"
    # What another property refutes shows nothing about the rule: the model may be broken elsewhere.
    return "" if result.refuted == mutant.refuted_by else f"refuted by {found}, not by {mutant.refuted_by}"


def row(name: str, result: Search, verdict: str) -> str:
    return (
        f"{name:29}{verdict:10}{result.states:11,}{result.transitions:13,}{result.depth:9,}"
        f"{result.seconds:8.1f} s{result.megabytes:7.0f} MB"
    )


def main() -> int:
    """Search what is named, or all; the exit status says whether the model holds and each mutant was refuted."""
    model = MODEL.read_text(encoding="utf-8")
    claims, broken = properties(model), mutants(model)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="variants or mutants; all without any")
    parser.add_argument("--trail", metavar="MUTANT", help="print the shortest way to the error of this mutant")
    parser.add_argument("--define", action="append", default=[], metavar="SYMBOL=VALUE", help="as DURATION=3")
    parser.add_argument("--memory", type=int, default=4000, metavar="MB", help="at most (default: %(default)s)")
    arguments = parser.parse_args()
    chosen: list[str] = [arguments.trail] if arguments.trail else arguments.names or [*VARIANTS, *broken]
    unknown = [name for name in chosen if name not in VARIANTS and name not in broken]
    if unknown:
        parser.error(f"no such variant or mutant: {', '.join(unknown)}. There are: {', '.join([*VARIANTS, *broken])}")
    if missing := [tool for tool in ("spin", "gcc") if not shutil.which(tool)]:
        print(f"{' and '.join(missing)} cannot be found. On Debian and Ubuntu: apt-get install spin gcc libc6-dev")
        return 2

    print("What must hold, in every state that can be reached:")
    for name, claim in claims.items():
        print(f"  {name}  {claim}")
    print(f"\n{'':29}{'':10}{'states':>11}{'transitions':>13}{'depth':>9}{'processor':>10}{'memory':>10}")
    failed = []
    for name in chosen:
        mutant = broken.get(name)
        variant = VARIANTS[mutant.variant if mutant else name]
        symbols = [*variant.symbols, *arguments.define, *([f"MUTANT={name}"] if mutant else [])]
        try:
            result = search(model, symbols, arguments.memory)
        except subprocess.CalledProcessError as error:
            print(f"{name}: {error.cmd[0]} failed:\n{error.output}")
            return 1
        wrong = complaint(result, mutant)
        if mutant:
            what = mutant.what + (f"; refuted in {len(result.steps)} steps" if result.errors else "")
        else:
            what = variant.what + "".join(f"; but with {symbol}" for symbol in arguments.define)
        verdict = f"by {result.refuted or '?'}" if result.errors else "complete" if result.complete else "INCOMPLETE"
        print(f"{row(name, result, verdict)}\n  {what}", flush=True)
        if wrong:
            failed.append(name)
            print(f"  FAILED: {wrong}\n{result.output}")
        if arguments.trail or (result.errors and (wrong or not mutant)):
            print("\n ticks", *result.steps, claims.get(result.refuted, ""), sep="\n")
    if failed:
        print(f"\nFailed: {', '.join(failed)}.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
