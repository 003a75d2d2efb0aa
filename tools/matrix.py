# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Play the same playbooks with every supported ansible-core, on its Pythons and on those of hosts, and print a table.

For each ansible-core, that is the oldest and the newest Python that it and this machine have: first as the
controller's, then as that of a host. Every pair has an environment below .venv/matrix/, which later runs use again.
With --corners, it is only the oldest ansible-core with its oldest Pythons, and the newest one with its newest.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv" / "matrix"
Minor = tuple[int, int]


class Core(t.NamedTuple):
    """The Pythons that an ansible-core runs on, the oldest and the newest: on the controller, and on hosts."""

    controller: tuple[Minor, Minor]
    host: tuple[Minor, Minor]


LEAST_ON_HOSTS = (3, 8)
"""Of the collection, whatever ansible-core says."""
CORES = {
    "2.16": Core(((3, 10), (3, 12)), ((3, 6), (3, 12))),
    "2.17": Core(((3, 10), (3, 12)), ((3, 7), (3, 12))),
    "2.18": Core(((3, 11), (3, 13)), ((3, 8), (3, 13))),
    "2.19": Core(((3, 11), (3, 13)), ((3, 8), (3, 13))),
    "2.20": Core(((3, 12), (3, 14)), ((3, 9), (3, 14))),
    "2.21": Core(((3, 12), (3, 14)), ((3, 9), (3, 14))),
}
"""Source: docs.ansible.com/ansible/latest/reference_appendices/release_and_maintenance.html"""
ON_CONTROLLER = ("tests/integration/test_both_ways.py", "tests/integration/test_patterns.py")
ON_HOST = ("tests/integration/test_patterns.py",)


def pythons() -> dict[Minor, pathlib.Path]:
    """The Pythons of this machine: on the PATH, and those of pyenv."""
    root = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    found: dict[Minor, pathlib.Path] = {}
    for minor in range(LEAST_ON_HOSTS[1], 20):
        name = f"python3.{minor}"
        on_path = shutil.which(name)
        for path in (*root.glob(f"versions/3.{minor}.*/bin/{name}"), *([pathlib.Path(on_path)] if on_path else [])):
            # A shim of pyenv is there for every version, and works for those that are switched on.
            if subprocess.run([path, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
                found[3, minor] = path
                break
    return found


def ends(there: t.Iterable[Minor], least: Minor, most: Minor) -> list[Minor]:
    """The oldest and the newest of them within these bounds."""
    within = sorted(one for one in there if max(least, LEAST_ON_HOSTS) <= one <= most)
    return sorted({*within[:1], *within[-1:]})


def environment(name: str, python: pathlib.Path, *packages: str) -> pathlib.Path:
    """The bin folder of the environment, made if it is not there."""
    folder = FOLDER / name
    ready = folder / "ready"
    if not ready.exists():
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        pip = str(folder / "bin" / "pip")
        subprocess.run([pip, "install", "--quiet", "--quiet", "--disable-pip-version-check", *packages], check=True)
        ready.touch()
    return folder / "bin"


def play(tests: t.Sequence[str], **variables: str) -> bool:
    """Run the tests with these variables, quietly unless they fail."""
    command = [sys.executable, "-m", "pytest", "--quiet", "--numprocesses=2", *tests]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
    return done.returncode == 0


def text(python: Minor) -> str:
    return f"{python[0]}.{python[1]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cores", nargs="*", default=list(CORES), metavar="CORE", help=f"of {', '.join(CORES)}")
    parser.add_argument("--corners", action="store_true", help="only the oldest of all, and the newest of all")
    given = parser.parse_args()
    cores = given.cores
    if unknown := [core for core in cores if core not in CORES]:
        parser.error(f"no such ansible-core here: {', '.join(unknown)}")
    there = pythons()
    kept = {core: slice(None) for core in cores}
    if given.corners:
        runnable = [core for core in cores if ends(there, *CORES[core].controller)]
        kept = {runnable[0]: slice(1), runnable[-1]: slice(-1, None)}
    failed = False
    print("| ansible-core | Python of | | plays |\n| --- | --- | --- | --- |", flush=True)
    for core, which in kept.items():
        controllers = ends(there, *CORES[core].controller)[which]
        wanted = f"ansible-core~={core}.0"
        for number, python in enumerate(controllers):
            with_it = environment(f"core-{core}-{text(python)}", there[python], wanted, "boto3")
            own = {"ANSIBLE_PLAYBOOK": str(with_it / "ansible-playbook")}
            rows: list[tuple[str, Minor, t.Sequence[str], dict[str, str]]] = [
                ("controller", python, ON_CONTROLLER, own)
            ]
            if number == len(controllers) - 1:
                for host in ends(there, *CORES[core].host)[which]:
                    host_python = environment(f"host-{text(host)}", there[host], "boto3") / "python"
                    rows.append(("host", host, ON_HOST, {**own, "HOST_PYTHON": str(host_python)}))
            for place, minor, tests, variables in rows:
                good = play(tests, **variables)
                failed = failed or not good
                print(f"| {core} | {place} | {text(minor)} | {'pass' if good else 'FAILED'} |", flush=True)
        if not controllers:
            print(f"| {core} | controller | none of {text(CORES[core].controller[0])} and newer is here | |")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
