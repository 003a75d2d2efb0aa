# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the gates over a clean copy of the working tree; `make check` calls this in its environment.

All gates run, whatever the others say. A gate fails on a non-zero exit status and, because some tools only warn
where they could not look, on a line of output that its pattern calls a complaint. Arguments choose gates by name.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
COLLECTIONS = CACHE / "check"
PACKAGE = "ansible_collections/leaderelection/s3"  # ansible-test insists on this place
COPY = COLLECTIONS / PACKAGE
ARTIFACT = CACHE / "artifact"
BUILD = f"ansible-galaxy collection build --force --output-path {ARTIFACT} . && cd {ARTIFACT}"
MYPY = f"mypy --config-file {PACKAGE}/pyproject.toml"
NOTHING = "(?!)"  # matches no line
OURS = [f"tests/{folder}/" for folder in ("integration", "linearizability", "model", "simulation", "support", "system")]
"""With tools/, what neither ships nor is run by ansible-test. ruff looks at it."""


class Gate(t.NamedTuple):
    """A shell command, which of its lines are complaints, which are worth a note, and where it runs."""

    command: str
    complaint: str = NOTHING
    note: str = NOTHING
    folder: pathlib.Path = COPY


GATES = {
    "ruff": Gate("ruff check --output-format=concise"),
    "format": Gate("ruff format --check --diff"),
    "mypy-plugins": Gate(f"{MYPY} {PACKAGE}/plugins {PACKAGE}/extensions/eda", folder=COLLECTIONS),
    "mypy-tools": Gate(
        f"{MYPY} --python-version 3.11 {PACKAGE}/tools {PACKAGE}/tests/model/search.py", folder=COLLECTIONS
    ),
    "imports": Gate(
        "PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=. lint-imports --no-cache ../../pyproject.toml",
        folder=COPY / "plugins" / "module_utils",
    ),
    "licences": Gate("reuse lint --lines"),
    "changelog": Gate("antsibull-changelog lint"),
    "docs": Gate("antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=all ."),
    "site": Gate("python tools/site.py"),
    # A collection whose requirements it does not find has no boto3 in an execution environment.
    "execution-environment": Gate(f"ansible-builder introspect {COLLECTIONS}", complaint=r"^python: \[\]"),
    "ansible-lint": Gate("ansible-lint --nocolor --offline --profile production", r"^WARNING"),
    # Without its own ansible-lint, which it stops after 180 seconds: too few on a busy machine.
    "galaxy-importer": Gate(f"{BUILD} && python -m galaxy_importer.main *.tar.gz", r"^(WARNING|ERROR)"),
    # The older releases that Automation Hub's certification has pinned, and the importer's own call of ansible-lint
    # but for changelog.yaml, which antsibull-changelog writes.
    "certification": Gate(
        f"{BUILD} && export PATH={ROOT}/.venv/certification/bin:$PATH && python -m galaxy_importer.main *.tar.gz"
        f" && mkdir -p {PACKAGE} && tar -C {PACKAGE} -xf *.tar.gz && cd {PACKAGE}"
        " && ansible-lint --offline --nocolor --parseable --profile production"
        " --exclude tests/integration/ --exclude tests/unit/ --exclude changelogs/changelog.yaml",
        r"^(WARNING|ERROR)",
    ),
    # A sanity test that lacks what it needs is skipped with a warning; a Python that is not here is only worth a note.
    "sanity": Gate(
        "${ANSIBLE_TEST:-ansible-test} sanity --venv --color no"
        + "".join(f" --exclude {folder}" for folder in (*OURS, "tools/")),
        complaint=r"^WARNING: (Required program|Skipping (?!.* because it (could not be found|is unsupported)))",
        note=r"^WARNING: (Skipping .* because it could not be found.*)",
    ),
}


def copy_working_tree() -> None:
    """Copy what git tracks or would track to COPY, as a repository of its own, since several tools ask git."""
    shutil.rmtree(COLLECTIONS, ignore_errors=True)
    shutil.rmtree(ARTIFACT, ignore_errors=True)
    listing = subprocess.check_output(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).exists():  # git lists what was deleted but not committed, too
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, COPY / name, follow_symlinks=False)
    subprocess.run("git init --quiet && git add --all", shell=True, cwd=COPY, check=True)


def run(name: str, gate: Gate, environment: t.Mapping[str, str]) -> bool:
    """Run one gate, print its verdict, and everything that it said where it failed."""
    started = time.monotonic()
    result = subprocess.run(
        gate.command,
        shell=True,
        cwd=gate.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    complaint = re.search(f"{gate.complaint}.*", result.stdout, re.MULTILINE)
    reason = complaint.group() if complaint else f"exit status {result.returncode}" if result.returncode else ""
    verdict = f"{'FAILED' if reason else 'ok':8}{name:18}{time.monotonic() - started:6.1f} s"
    print(f"{verdict}  {reason}".rstrip(), flush=True)
    for note in dict.fromkeys(re.findall(gate.note, result.stdout, re.MULTILINE)):
        print(f"        note: {note}")
    if reason:
        print(f"\n$ {gate.command}\n{result.stdout}", flush=True)
    return not reason


def main() -> int:
    """Run the chosen gates, or all; the exit status says whether they passed."""
    chosen = sys.argv[1:] or list(GATES)
    unknown = [name for name in chosen if name not in GATES]
    if unknown:
        print(f"No such gate: {', '.join(unknown)}. There are: {', '.join(GATES)}.")
        return 2
    copy_working_tree()
    environment = dict(
        os.environ,
        ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS),
        GALAXY_IMPORTER_CHECK_REQUIRED_TAGS="true",
        GALAXY_IMPORTER_RUN_ANSIBLE_LINT="false",
        MYPYPATH=f"{COLLECTIONS}:{COPY}/tools:{COPY}/tests",
        MYPY_CACHE_DIR=str(CACHE / "mypy"),
        RUFF_CACHE_DIR=str(CACHE / "ruff"),
    )
    failed = [name for name in chosen if not run(name, GATES[name], environment)]
    print(f"Failed: {', '.join(failed)}." if failed else f"All {len(chosen)} gates passed.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
