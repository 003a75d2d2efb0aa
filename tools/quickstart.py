# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Play a scenario of leader election on a real S3 server, and check that every step ends as it should."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import typing as t

from support import playbook
from support.stores.seaweedfs import SeaweedFS

PLAY = pathlib.Path(__file__).with_suffix(".yml")
TIMEOUT = 60.0  # seconds that each step of the scenario may take


class Story:
    """The runs of the scenario, and what was seen of them."""

    def __init__(self, folder: pathlib.Path, environment: dict[str, str], at_the_end: contextlib.ExitStack) -> None:
        self.folder = folder
        self.environment = environment
        self.at_the_end = at_the_end
        self.seen: list[tuple[bool, str]] = []
        self._began = time.monotonic()

    def say(self, text: str = "") -> None:
        print(f"{time.monotonic() - self._began:5.1f} s  {text}" if text else "", flush=True)

    def check(self, true: bool, text: str) -> None:
        """Note for the summary whether something was as it should be."""
        self.seen.append((true, text))

    def start(self, who: str, wait_timeout: int = 0) -> playbook.RunningPlaybook:
        self.say(f"{who:6} ansible-playbook {PLAY.name} -e who={who}")
        (self.folder / who).mkdir()
        run = playbook.start(
            self.folder / who,
            PLAY.read_text(),
            env=self.environment,
            who=who,
            wait_timeout=wait_timeout,
            signals=str(self.folder / who),
        )
        self.at_the_end.callback(run.kill)
        return run

    def tell(self, who: str, run: playbook.RunningPlaybook, task: str) -> dict[str, t.Any]:
        """Wait for a task of a run, say how it ended, and return its result."""
        result: dict[str, t.Any] = run.wait_for(task, timeout=TIMEOUT).result
        self.say(f"{who:6} {task.lower()}: {result['reason']}")
        return result

    def let(self, who: str, step: str) -> None:
        (self.folder / who / step).touch()


def play(story: Story) -> None:
    story.say("Two runs start at the same moment. Only one may do the job.")
    runs = {who: story.start(who) for who in ("alice", "bob")}
    told = {who: story.tell(who, run, "Acquire") for who, run in runs.items()}
    leaders = [who for who, result in told.items() if result["is_leader"]]
    story.check(len(leaders) == 1, f"of two runs that started at the same moment, {len(leaders)} became leader")
    if len(leaders) != 1:
        return
    leader = leaders[0]
    other = next(who for who in runs if who != leader)
    term = told[leader]["term"]
    story.check(
        told[other]["lease"]["holder"] == leader and told[other]["lease"]["expires_in"] > 0,
        f"{other} learned that {leader} holds the lease, and when it expires",
    )
    skipped = runs[other].wait(TIMEOUT)
    story.check(
        skipped.returncode == 0 and not any(result.task == "Work" for result in skipped.results),
        f"{other} did not do the job, and its run did not fail",
    )

    story.say()
    story.say(f"{leader} is doing the job, and renews the lease meanwhile.")
    story.let(leader, "renew")
    renewed = story.tell(leader, runs[leader], "Renew")
    story.check(
        renewed["is_leader"] and renewed["term"] == term, f"{leader} renewed the lease, with the same term {term}"
    )

    story.say()
    story.say(f"{leader} crashes in the middle of the job (kill -9). Nobody releases the lease.")
    runs[leader].kill()
    carol = story.start("carol", wait_timeout=40)
    story.say("carol  waits until the lease has expired by the store's clock")
    taken = story.tell("carol", carol, "Acquire")
    story.check(
        taken["is_leader"] and taken["term"] > term,
        f"carol took the lease over after the crash, with the higher term {taken['term']}",
    )

    story.say()
    story.say("carol finishes the job and releases the lease.")
    story.let("carol", "renew")
    story.let("carol", "end")
    released = story.tell("carol", carol, "Release")
    story.check(
        released["lease"]["state"] == "released", "carol released the lease, so the next run does not have to wait"
    )
    story.check(carol.wait(TIMEOUT).returncode == 0, "carol's run succeeded")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="quickstart-"))
    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        print("Starting SeaweedFS, an S3 server, on loopback. Its data is deleted at the end.\n", flush=True)
        server = at_the_end.enter_context(SeaweedFS())
        server.create_bucket("leader-election")
        story = Story(folder, server.environment, at_the_end)
        try:
            play(story)
        except (LookupError, TimeoutError) as error:
            story.check(False, f"the scenario stopped early: {error}")
    print("\nResults:")
    for true, text in story.seen:
        print(f"  {'ok ' if true else 'NOT'} {text}")
    good = all(true for true, _text in story.seen)
    print(
        f"\nThe playbook is tools/{PLAY.name}. Continue with docs/getting_started.md."
        if good
        else "\nAt least one check failed."
    )
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
