# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many hosts pull the same play at once; the play is the one that the documents show."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess

import pytest
from support import playbook
from support.documents import ROOT

HOSTS = int(os.environ.get("PULLING_HOSTS", "5"))
"""Each takes some seconds of a processor: a hundred are for machines with many."""
MIGRATE = """\
#!/bin/sh
mkdir at_work || echo "overlaps $2" >>{did}
if ! [ -e migrated ]; then
    sleep 2
    touch migrated
    echo "migrated $2" >>{did}
fi
echo "led $2" >>{did}
rmdir at_work
"""


@pytest.fixture
def repository(tmp_path):
    """A repository with the play."""
    document = (ROOT / "docs/getting_started.md").read_text()
    [play] = re.findall(r"^## One host among many\n.*?^```yaml\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "local.yml").write_text(play)
    author = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    for command in (["init", "--quiet"], ["add", "local.yml"], [*author, "commit", "--quiet", "--message=Migrate"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def commands(tmp_path):
    """A folder with the command of the play, which has to be one at a time, and finds out what is left to do."""
    folder = tmp_path / "commands"
    folder.mkdir()
    script = folder / "migrate-db"
    script.write_text(MIGRATE.format(did=tmp_path / "did").replace("#!/bin/sh\n", f"#!/bin/sh\ncd {folder}\n"))
    script.chmod(0o755)
    return folder


@pytest.fixture
def pull(repository, commands, store, bucket, collections_path, tmp_path):
    """Starts ansible-pull as one of the hosts."""
    running = []

    def pull(number):
        place = tmp_path / f"host-{number}"
        place.mkdir()
        (place / "ansible.cfg").write_text("")
        path = f"{commands}:{os.environ['PATH']}"
        changes = dict(store.environment, S3_LEADER_BUCKET=bucket, PATH=path, ANSIBLE_CALLBACKS_ENABLED=None)
        environment = playbook.environment(place, collections_path, changes)
        program = playbook.ANSIBLE_PLAYBOOK.with_name("ansible-pull")
        with (place / "output").open("wb") as output:
            process = subprocess.Popen(
                [program, "--url", repository, "--directory", place / "checkout"],
                cwd=place,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        running.append(process)
        return process, place / "output"

    yield pull
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def bucket(store):
    """The play names none."""
    name = "of-ansible-pull"
    store.create_bucket(name)
    return name


def test_of_hosts_that_pull_at_once_one_migrates_and_all_come_through(pull, store, bucket, tmp_path):
    pulls = [pull(number) for number in range(HOSTS)]
    for process, output in pulls:
        assert process.wait() == 0, output.read_text()
    lines = [line.split() for line in pathlib.Path(tmp_path / "did").read_text().splitlines()]
    assert [what for what, _term in lines] == ["migrated", *["led"] * HOSTS]
    terms = [int(term) for _what, term in lines[1:]]
    assert terms == sorted(set(terms))
    lease = json.loads(store.client().get_object(Bucket=bucket, Key="jobs/migrate-db")["Body"].read())
    assert (lease["holderId"], lease["term"]) == ("", terms[-1])
