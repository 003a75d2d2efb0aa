# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the site from the documents and the plugins; `make docs` calls this. A warning is an error.

The documents are written to be read where they are, too: links to other documents lead to their pages on the site, and
links to files of the repository to GitHub.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import typing as t
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SITE = ROOT / ".cache" / "site"
SOURCE, PAGES = SITE / "source", SITE / "html"
README, INDEX = pathlib.Path("README.md"), pathlib.Path("index.md")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "roles/*/README.md")
GITHUB = "https://github.com/leaderelection/s3"
OURS = (f"{GITHUB}/blob/main/", f"{GITHUB}/tree/main/", "https://raw.githubusercontent.com/leaderelection/s3/main/")
"""What README writes before a path: Galaxy shows it without the other files."""
COLLECTION = "leaderelection.s3"
INTERNAL = ("heartbeat_code_module", "heartbeat_files_module", "heartbeat_plan_filter")
"""Pages of what only the role uses."""
ANSIBLE = {
    "action_plugins": ("plugins/action.html", "Action plugins"),
    "ansible_collections.ansible.builtin.copy_module": ("collections/ansible/builtin/copy_module.html", "copy"),
    "ansible_configuration_settings": ("reference_appendices/config.html", "Ansible Configuration Settings"),
    "common_return_values": ("reference_appendices/common_return_values.html", "Return Values"),
}
"""Pages of docs.ansible.com by their labels, each with the title of a link."""


def copy_documents() -> None:
    """Copy them to SOURCE, in their places, and what only the site has."""
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "site", SOURCE)
    shutil.copytree(ROOT / "docs" / "pictures", SOURCE / "docs" / "pictures")
    pages = {path.relative_to(ROOT): path.relative_to(ROOT) for place in DOCUMENTS for path in ROOT.glob(place)}
    pages[README] = INDEX
    for document, page in pages.items():
        place = SOURCE / page
        place.parent.mkdir(parents=True, exist_ok=True)
        contents = place.read_text() if place.exists() else ""  # of the site, below its first page
        place.write_text(f"{linked(document, pages)}\n{contents}")


def linked(document: pathlib.Path, pages: t.Mapping[pathlib.Path, pathlib.Path]) -> str:
    """The document's text, with links that lead to the right place from its page."""

    def link(match: re.Match[str]) -> str:
        target, hash_, heading = match["target"].partition("#")
        ours = next((prefix for prefix in OURS if target.startswith(prefix)), "")
        if not target or (re.match(r"\w+:", target) and not ours):
            return match[0]
        path = pathlib.Path(os.path.relpath(ROOT / ("" if ours else document.parent) / target.removeprefix(ours), ROOT))
        if path in pages or path.suffix == ".svg":
            return match["before"] + os.path.relpath(pages.get(path, path), document.parent) + hash_ + heading
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{match['before']}{GITHUB}/{kind}/main/{path}{hash_}{heading}"

    links = re.compile(r"(?P<before>\]\(|^\[[^\]\n]+\]: )(?P<target>[^)\s]+)", re.MULTILINE)
    return links.sub(link, (ROOT / document).read_text())


def describe_plugins() -> None:
    """Have antsibull-docs write a page for each module, plugin and role, and keep those that are of use to users."""
    folder = SOURCE / "plugins"
    folder.mkdir()
    folder.chmod(0o755)  # antsibull-docs insists
    flags = ["--use-current", "--fail-on-error", "--squash-hierarchy", "--no-breadcrumbs", "--dest-dir", str(folder)]
    # A page has the name of this folder; with an underscore at its end, that would be a link.
    with tempfile.TemporaryDirectory(suffix="collections") as collections:
        # Ansible finds no role where two folders of the path are called ansible_collections.
        place = pathlib.Path(collections, "ansible_collections", *COLLECTION.split("."))
        place.parent.mkdir(parents=True)
        place.symlink_to(ROOT)
        run("antsibull-docs", "collection", *flags, COLLECTION, ANSIBLE_COLLECTIONS_PATH=collections)
    shutil.rmtree(folder / "docsite")  # the guide tells what the documents do
    for page in ("index", *INTERNAL):
        (folder / f"{page}.rst").unlink()
    for file in folder.iterdir():
        # The theme has a table of contents beside each page.
        file.write_text(re.sub(r"^\.\. contents::\n(?:   .*\n)+", "", file.read_text(), flags=re.MULTILINE))


def write_inventory() -> None:
    """Write where Ansible's own documentation has what the pages refer to, so that the build fetches nothing."""
    head = "# Sphinx inventory version 2\n# Project: Ansible\n# Version: devel\n# zlib\n"
    lines = ""
    for label, (page, title) in ANSIBLE.items():
        lines += f"{label} std:label -1 {page}#{re.sub('[_.]', '-', label)} {title}\n"
    (SOURCE / "ansible.inv").write_bytes(head.encode() + zlib.compress(lines.encode()))


def run(*command: str | pathlib.Path, **environment: str) -> None:
    """Raises CalledProcessError."""
    subprocess.run(command, check=True, env={**os.environ, **environment})


def main() -> int:
    """Return the exit status."""
    copy_documents()
    describe_plugins()
    write_inventory()
    try:
        run("sphinx-build", "--quiet", "--fail-on-warning", "--keep-going", "--jobs=auto", SOURCE, PAGES)
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(f"The site is in {PAGES.relative_to(ROOT)}: open {(PAGES / 'index.html').relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
