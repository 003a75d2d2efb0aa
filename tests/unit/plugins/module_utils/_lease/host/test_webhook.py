# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a webhook is told, by a real server that fails in every way."""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import durations
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock, NotStarted, Overdue
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import command, webhook
from support.documents import role_options
from support.server import Answer, LoopbackServer

HOOK = dict(S3_LEADER_NAME="db", S3_LEADER_TERM="7", S3_LEADER_HOLDER="web-1")
OK = Answer(204)


class Receiver(LoopbackServer):
    """Gives these answers, one after the other; the last one again and again. None is no answer."""

    def __init__(self, *answers, **options):
        super().__init__(**options)
        self.answers = list(answers)

    def handle(self, exchange):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            exchange.hold()
        else:
            exchange.reply(answer)


class QuickClock(Clock):
    """Pauses take no time, and are noted."""

    def __init__(self):
        self.pauses = []

    def now(self):
        return super().now() + sum(self.pauses)

    def sleep(self, seconds):
        self.pauses.append(seconds)


class HungServer(Clock):
    """A clock that only waiting moves; and every request waits in vain."""

    def __init__(self):
        self.time, self.pauses = 0.0, []

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.time += seconds

    def bounded(self, call, seconds):
        self.time += seconds
        raise Overdue


@pytest.fixture
def receiver():
    started = []

    def start(*answers, **options):
        started.append(Receiver(*answers, **options))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def clock():
    return QuickClock()


@pytest.fixture
def post(clock, capsys):
    """Posts to a URL: the exit status, and what is said."""

    def post(url, *words, event="acquired", environment=None):
        order = webhook.parse([event, "--url", url, *words], HOOK if environment is None else environment)
        return webhook.run(order, clock), capsys.readouterr().err

    return post


@pytest.fixture
def headers(tmp_path):
    file = tmp_path / "headers"
    file.write_text("# for the hook\n\nAuthorization: Bearer the-secret\nX-Team:ops\n")
    return f"--headers-file={file}"


# -- What it posts


def test_a_hook_posts_what_it_was_told_as_json(receiver, post, headers):
    there = receiver(OK)
    status, said = post(f"{there.url}/leases?token=hidden", headers)
    assert (status, said) == (0, f"s3-leader: the webhook at {there.url} answered 204\n")
    (request,) = there.requests
    assert (request.method, request.path) == ("POST", "/leases?token=hidden")
    assert {name: request.headers[name] for name in ("Content-Type", "Authorization", "X-Team")} == {
        "Content-Type": "application/json",
        "Authorization": "Bearer the-secret",
        "X-Team": "ops",
    }
    told = json.loads(request.body)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("at"))
    assert len(told.pop("id")) == 32
    assert told == dict(
        type="leader_acquired",
        host=os.uname().nodename,
        name="db",
        holder="web-1",
        term=7,
        slot=None,
        error=None,
    )


@pytest.mark.parametrize(
    ("event", "more", "told"),
    [
        ("lost", dict(S3_LEADER_SLOT="2"), dict(type="leader_lost", term=7, slot=2, error=None)),
        (
            "error",
            dict(S3_LEADER_TERM="", S3_LEADER_ERROR="it answered 503"),
            dict(type="store_error", term=None, slot=None, error="it answered 503"),
        ),
    ],
)
def test_each_hook_has_its_event(event, more, told):
    document = webhook.document(event, {**HOOK, **more})
    assert {name: document[name] for name in told} == told


def test_without_a_hooks_environment_there_is_nothing_to_post(capsys, monkeypatch):
    monkeypatch.delenv("S3_LEADER_NAME", raising=False)
    assert command.main(["webhook", "acquired", "--url=http://127.0.0.1:1"]) == command.UNUSABLE
    assert capsys.readouterr().err == (
        "s3-leader: S3_LEADER_NAME is not set: the hooks of the role heartbeat have it: run this command as one\n"
    )


# -- What is tried again


@pytest.mark.parametrize(("event", "seconds"), [("acquired", 8), ("error", 8), ("lost", 3)])
def test_the_next_host_does_not_wait_for_long_and_systemd_kills_no_hook(event, seconds):
    order = webhook.parse([event, "--url=http://h"], HOOK)
    assert order.keeps_trying == seconds < durations.parsed(role_options()[1]["hook_timeout"]["default"])


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again_with_the_same_bytes(receiver, post, status):
    there = receiver(Answer(status), Answer(status), OK)
    done, said = post(there.url)
    assert done == 0
    assert said.splitlines() == [
        *[f"s3-leader: the webhook at {there.url} answered {status}. Trying again"] * 2,
        f"s3-leader: the webhook at {there.url} answered 204",
    ]
    assert len({request.body for request in there.requests}) == 1


def test_it_gives_up_in_time_and_says_so(receiver, post, clock):
    there = receiver(Answer(503))
    before = clock.now()
    status, said = post(there.url, "--for=1h")
    assert status == 1
    assert said.endswith(f"the webhook at {there.url} answered 503. Given up\n")
    assert clock.now() - before < 3600
    assert 400 < len(there.requests) < 1000


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_would_be_refused_again_is_not_tried_again(receiver, post, status):
    there = receiver(Answer(status))
    assert post(there.url) == (1, f"s3-leader: the webhook at {there.url} answered {status}. Given up\n")
    assert len(there.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_another_place_gets_neither_the_event_nor_the_headers(receiver, post, headers, status):
    elsewhere = receiver(OK)
    there = receiver(Answer(status, headers=(("Location", f"{elsewhere.url}/stolen"),)))
    done, said = post(there.url, headers)
    assert done == 1
    assert f"answered {status}: it is somewhere else, and redirects are not followed. Given up" in said
    assert (len(there.requests), elsewhere.requests) == (1, [])


@pytest.mark.parametrize(
    ("status", "headers"),
    [(300, (("Location", "/a"),)), (304, ()), (304, (("Location", "/a"),)), (305, (("Location", "/a"),)), (302, ())],
)
def test_an_answer_that_is_no_redirect_is_not_called_one(receiver, post, status, headers):
    there = receiver(Answer(status, headers=headers))
    assert post(there.url) == (1, f"s3-leader: the webhook at {there.url} answered {status}. Given up\n")
    assert len(there.requests) == 1


def test_a_server_that_hangs_is_left_and_asked_again(receiver, post):
    there = receiver(None, OK)
    status, said = post(there.url, "--timeout=1s")
    assert status == 0
    assert "did not answer within 1 s. Trying again" in said or "(timed out). Trying again" in said
    assert len(there.requests) == 2


def test_a_server_that_answers_a_byte_at_a_time_is_left_as_well(receiver, post, monkeypatch):
    there = receiver(OK)
    monkeypatch.setattr(there, "handle", lambda exchange: exchange.reply(OK, byte_interval=0.5))
    status, said = post(there.url, "--timeout=1s", "--for=1s")
    assert status == 1
    assert "did not answer within 1 s. Given up" in said


def test_a_server_that_hangs_gets_the_time_of_each_request_but_no_more_than_there_is_left(capsys):
    clock = HungServer()
    order = webhook.parse(["acquired", "--url=http://h", "--for=8s", "--timeout=3s"], HOOK)
    assert webhook.run(order, clock) == 1
    assert clock.time == pytest.approx(8)
    *others, last = capsys.readouterr().err.splitlines()
    assert others == ["s3-leader: the webhook at http://h did not answer within 3 s. Trying again"] * 2
    assert last.endswith("Given up")


def test_pauses_grow_from_half_a_second_to_eight_and_no_two_hosts_keep_in_step():
    clock = HungServer()
    webhook.run(webhook.parse(["acquired", "--url=http://h", "--for=1h", "--timeout=1s"], HOOK), clock)
    longest = [0.5, 1, 2, 4, *[8] * (len(clock.pauses) - 4)]
    assert [most for most, pause in zip(longest, clock.pauses) if not most / 2 <= pause <= most] == []
    assert (min(clock.pauses[4:]) < 5, max(clock.pauses[4:]) > 7) == (True, True)


def test_a_port_where_nobody_listens_is_tried_again(post, clock):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        status, said = post(f"http://127.0.0.1:{taken.getsockname()[1]}", "--for=2s")
    assert status == 1
    assert "could not be reached ([Errno 111] Connection refused). Trying again" in said
    assert len(clock.pauses) >= 1


def test_what_is_no_http_is_tried_again(receiver, post, monkeypatch):
    there = receiver(OK)
    handle, broken = there.handle, []

    def handle_once(exchange):
        if broken:
            handle(exchange)
        else:
            broken.append(exchange)
            exchange.close()

    monkeypatch.setattr(there, "handle", handle_once)
    status, said = post(there.url)
    assert status == 0
    assert said.count("Trying again") == 1


def test_where_no_thread_can_be_started_it_is_tried_again(receiver, post, clock, monkeypatch):
    there = receiver(OK)
    bounded, refused = clock.bounded, []

    def refuse_once(call, seconds):
        if not refused:
            refused.append(seconds)
            raise NotStarted
        return bounded(call, seconds)

    monkeypatch.setattr(clock, "bounded", refuse_once)
    status, said = post(there.url)
    assert (status, said.count("there was no thread for a request. Trying again")) == (0, 1)


# -- TLS


def test_a_certificate_that_nobody_trusts_gets_nothing(receiver, post, certificate):
    there = receiver(OK, certificate=certificate)
    status, said = post(there.url)
    assert status == 1
    assert "has no certificate that can be trusted (self-signed certificate). Given up" in said.replace(
        "self signed", "self-signed"
    )
    assert (there.requests, said.count("\n")) == ([], 1)


def test_a_certificate_of_the_bundle_is_trusted(receiver, post, certificate):
    there = receiver(OK, certificate=certificate)
    assert post(there.url, f"--ca-bundle={certificate}")[0] == 0


# -- What is refused, and what is never shown


def test_a_url_from_a_file_is_not_on_the_command_line_and_not_in_the_output(receiver, clock, tmp_path, capsys):
    there = receiver(Answer(503), Answer(404))
    (tmp_path / "url").write_text(f"{there.url}/services/T0/the-secret\n")
    order = webhook.parse(["lost", f"--url-file={tmp_path}/url"], HOOK)
    assert webhook.run(order, clock) == 1
    assert there.requests[0].path == "/services/T0/the-secret"
    assert "the-secret" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--url", "ftp://the-secret"], "--url is ***: use a URL like https://"),
        (["--url", "the-secret"], "--url is ***: use a URL like https://"),
        (["--url", "http://h:port/the-secret"], "--url is ***: use a URL like https://"),
        (["--url", "http://h/the-secret\n"], "--url is ***: use a URL like https://"),
        (["--url", "http://me:the-secret@h/"], "--url is ***: it contains a user or password. Put Authorization into"),
        (["--url-file", "/none"], '--url-file is "/none": it cannot be read: No such file or directory'),
        (
            ["--url", "http://h", "--headers-file", "/none"],
            '--headers-file is "/none": it cannot be read: No such file',
        ),
        (["--url", "http://h", "--ca-bundle", "/none"], '--ca-bundle is "/none": it cannot be used: No such file'),
        (["--url", "http://h", "--for", "2h"], "--for is 7200: use 1 to 3600 seconds"),
        (["--url", "http://h", "--timeout", "0"], "--timeout is 0: use 1 to 60 seconds"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name(words, told):
    with pytest.raises(BadOption, match=re.escape(told)) as refused:
        webhook.parse(["acquired", *words], HOOK)
    assert "the-secret" not in str(refused.value)


@pytest.mark.parametrize(
    "line", [b"the-secret", b"Bad name: the-secret", b"Name: the-\x00secret", "Näme: the-secret".encode(), b": x"]
)
def test_a_line_that_is_no_header_is_named_and_not_shown(tmp_path, line):
    file = tmp_path / "headers"
    file.write_bytes(b"X-Good: yes\n" + line + b"\n")
    with pytest.raises(BadOption, match=re.escape(f'"{file}": its line 2 is no header')) as refused:
        webhook.parse(["acquired", "--url=http://h", f"--headers-file={file}"], HOOK)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("again", ["X-Team: the-secret", "x-team:the-secret", "X-TEAM:"])
def test_a_header_that_stands_there_twice_is_refused(tmp_path, again):
    file = tmp_path / "headers"
    file.write_text(f"X-Team: ops\n# more\nX-Other: 1\n{again}\n")
    told = f'"{file}": its line 4 has the same header as line 1. Keep one of them'
    with pytest.raises(BadOption, match=re.escape(told)) as refused:
        webhook.parse(["acquired", "--url=http://h", f"--headers-file={file}"], HOOK)
    assert "secret" not in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "headers").write_bytes(b"\xff")
    with pytest.raises(BadOption, match="it is no text"):
        webhook.parse(["acquired", "--url=http://h", f"--headers-file={tmp_path}/headers"], HOOK)


@pytest.mark.parametrize("words", [[], ["acquired"], ["moved", "--url=http://h"], ["lost", "--url=a", "--url-file=b"]])
def test_a_command_line_that_is_not_whole_is_refused(words):
    with pytest.raises(SystemExit) as refused:
        webhook.parse(words, HOOK)
    assert refused.value.code == 2


def test_a_file_that_is_no_certificate_is_refused(tmp_path):
    (tmp_path / "bundle").write_text("none")
    with pytest.raises(BadOption, match=r"--ca-bundle is .*: it cannot be used"):
        webhook.parse(["acquired", "--url=http://h", f"--ca-bundle={pathlib.Path(tmp_path, 'bundle')}"], HOOK)


@pytest.mark.parametrize("url", ["http://a..b/", f"http://{'a' * 64}.example/"])
def test_a_host_that_no_name_server_could_know_is_refused(url):
    with pytest.raises(BadOption, match="--url is"):
        webhook.parse(["acquired", f"--url={url}"], HOOK)


def test_a_pipe_is_no_file_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadOption, match="no regular file"):
        webhook.parse(["acquired", f"--url-file={tmp_path}/pipe"], HOOK)


def test_a_file_that_is_too_long_is_not_cut(tmp_path):
    (tmp_path / "url").write_text("https://hooks.example.com/" + "x" * webhook.MOST)
    with pytest.raises(BadOption, match="more than 65536 characters"):
        webhook.parse(["acquired", f"--url-file={tmp_path}/url"], HOOK)


def test_headers_that_say_how_long_the_request_is_are_refused(tmp_path):
    (tmp_path / "headers").write_text("Authorization: secret\nContent-Length: 3\n")
    with pytest.raises(BadOption, match="line 2 has Content-Length"):
        webhook.parse(["acquired", "--url=https://hooks.example.com", f"--headers-file={tmp_path}/headers"], HOOK)
