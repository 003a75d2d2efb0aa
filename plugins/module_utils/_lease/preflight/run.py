# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Find out whether a store can be trusted with a lease, before anybody leads by it (rule 18).

Everything is tried on scratch objects beside the lease, under names that nobody else has; the lease itself is
neither read nor written. The requests are made, and judged, by what makes and judges those of leases.
"""

from __future__ import annotations

import base64
import math
import secrets
import zlib
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, TypeVar

from ..clock import Clock, Overdue
from ..connection import MOST_AT_ONCE, CannotSend, Connection, NoAnswer, Response
from ..driver import drive, fresh_nonce
from ..protocol import FIRST_RETRY, WRITES_APART, View, look, put, record_of
from ..record import MAX_BODY, Record, encode
from ..settings import BadOption, Endpoint
from ..store import Store, element
from ..types import (
    Found,
    Outcome,
    Refused,
    Seen,
    Step,
    Steps,
    StoreError,
    StoreRefused,
    StoreUnreachable,
    Unknown,
    Write,
    Written,
)
from . import bucket_settings, known_stores, store_clock
from .races import Race, at_once
from .recording import Log, Wiretap
from .report import FAIL, PASS, UNKNOWN, WARN, Check, Report

CONTENDERS = 8
ROUNDS, MOST_ROUNDS = 10, 1000
READS = 10
"""How often it is looked whether reads see the write before them."""
IN_VAIN = 3
"""Rounds in a row without a contest after which no more are tried."""
TRIES = 3
"""How often a write that has to be refused is sent, until the answer is a yes or a no."""
EXPECT_WAIT = 1.0
"""Seconds that SDKs wait for a 100-continue before they send the body all the same."""
NO_EXPECT = "Other programs may lose a second with each write, or fail: have them send none"
ENFORCE = "Use a store that enforces conditional writes"
T = TypeVar("T")


def preflight(
    endpoint: Endpoint,
    bucket: str,
    key: str,
    contenders: int = CONTENDERS,
    rounds: int = ROUNDS,
    dry_run: bool = False,
    clock: Optional[Clock] = None,
    connection: Optional[Connection] = None,
) -> Report:
    """Ask the store everything that a lease at this key depends on. A dry run writes nothing.

    So many contenders write at the same instant, in so many rounds each for create and for replace. Bucket and key
    are taken for checked. A connection to this key that is there already saves making one. Raises BadOption; or
    CannotSend, where there is nothing to send with.
    """
    for name, value, least, most in (
        ("contenders", contenders, 2, MOST_AT_ONCE),
        ("rounds", rounds, 1, MOST_ROUNDS),
    ):
        if not least <= value <= most:
            raise BadOption(name, value, "use %d to %d" % (least, most))
    connection = connection or Connection(endpoint, bucket, key)
    return _Preflight(connection, endpoint, bucket, key, clock or Clock()).run(contenders, rounds, dry_run)


def scratch_name(key: str) -> str:
    """Return what the names of all scratch objects begin with: the key, cut where they would get too long."""
    folder, slash, name = key.rpartition("/")
    # File systems take 255 bytes between two slashes, S3 takes 1024 in all; what is added needs less than 40.
    short = folder + slash + name.encode("utf-8")[:200].decode("utf-8", "ignore")
    return "%s.preflight-%s" % (short.encode("utf-8")[:984].decode("utf-8", "ignore"), secrets.token_hex(8))


class _Spot(NamedTuple):
    """A scratch object, by the end of its name."""

    name: str
    wire: Wiretap
    store: Store


class _Preflight:
    def __init__(self, connection: Connection, endpoint: Endpoint, bucket: str, key: str, clock: Clock) -> None:
        self._connection = connection
        self._timeout, self._patience = endpoint.request_timeout, endpoint.patience
        self._clock = clock
        self._bucket, self._key, self._scratch = bucket, key, scratch_name(key)
        self._location = "s3://%s/%s" % (bucket, self._scratch)
        self._log = Log()
        self._checks: List[Check] = []
        self._quoted = True
        self._habits = 0
        self._silent = False
        """The store answers no more: no use to ask on."""

    def run(self, contenders: int, rounds: int, dry_run: bool) -> Report:
        started = self._clock.now()
        usable = False
        try:
            usable = self._access()
            if usable and not dry_run:
                self._write_and_read(contenders, rounds)
        finally:
            self._clean_up()
        if usable and not self._silent:
            self._settings()
        self._latency()
        self._known_store()
        return Report(tuple(self._checks), len(self._log.sent), self._clock.now() - started)

    # -- The checks ---------------------------------------------------------------------------------------------------

    def _access(self) -> bool:
        """Read a key that is not there. Return whether it is of any use to go on."""
        spot = self._spot()
        try:
            found = self._look(spot).found
        except StoreError as error:
            denied = spot.wire.last is not None and element(spot.wire.last, "Code") == "AccessDenied"
            self._note("access", WARN if denied else _verdict_of(error, spot), *_split(str(error)))
            return denied
        if isinstance(found, Seen):
            self._note("access", UNKNOWN, "an object is found where nobody has put one", "Check endpoint_url")
        else:
            self._note("access", PASS, "a key that does not exist is reported as missing")
        return True

    def _write_and_read(self, contenders: int, rounds: int) -> None:
        spot = self._spot()
        first, second = self._draft(), self._draft()
        created = self._accepted("create", spot, first, None)
        if created is None:
            return
        standing = self._refused("create_again", spot, None, first, "a create of a key that exists (If-None-Match)")
        replaced = self._accepted("replace", spot, second, standing or created.etag)
        if replaced is None:
            return
        self._quoted = spot.store.quoted
        self._etag_form(spot)
        standing = self._refused(
            "stale_replace", spot, created.etag, second, "a replace of a version that is gone (If-Match)"
        )
        self._refused(
            "replace_missing", self._spot("-missing"), created.etag, None, "a replace of a missing key (If-Match)"
        )
        repeated = self._etag_repeats(spot, first, created.etag, standing or replaced.etag)
        if repeated:
            self._reads_and_clock(spot, repeated)
        if not self._silent:
            self._races(contenders, rounds)
        if not self._silent:
            self._checksums()
            self._expect()

    def _accepted(self, name: str, spot: _Spot, draft: Record, replaces: Optional[str]) -> Optional[Seen]:
        """Make a write whose condition holds, as a lease would."""
        try:
            result = self._drive(put(draft, replaces, self._until()), spot)
        except StoreError as error:
            verdict = _verdict_of(error, spot)
            seen, advice = _split(str(error))
            self._note(name, verdict, seen, advice or (ENFORCE if verdict == FAIL else ""))
            return None
        if isinstance(result, View):
            self._note(name, UNKNOWN, "something stands there that this run has not written", "Check endpoint_url")
            return None
        self._note(name, PASS, "a %s whose condition holds is carried out" % name)
        return result.seen

    def _refused(
        self, name: str, spot: _Spot, replaces: Optional[str], standing: Optional[Record], what: str
    ) -> Optional[str]:
        """Make a write whose condition does not hold. Return the ETag of what it left where it was carried out."""
        draft = self._draft()
        # Without s3:ListBucket a missing key is forbidden to be read; so may it be to be replaced.
        hidden = standing is None and any(check.name == "access" and check.verdict == WARN for check in self._checks)
        outcome: Outcome = Unknown("")
        for left in reversed(range(TRIES)):
            outcome = self._drive(_ask(Write(encode(draft), replaces, self._until())), spot)
            if isinstance(outcome, Written):
                self._note(name, FAIL, what + " is carried out, so several could lead at once", ENFORCE)
                return outcome.etag
            status = spot.wire.status
            if status in ((409, 412) if standing else (404, 409, 412)) or (status == 403 and hidden):
                break
            if isinstance(outcome, Refused):
                self._note(name, FAIL if status == 501 else UNKNOWN, *_split(outcome.why))
                return None
            throttled = isinstance(outcome, Unknown) and outcome.throttled
            if left:
                self._clock.sleep(WRITES_APART if throttled else FIRST_RETRY)
        else:
            self._note(name, UNKNOWN, *_split(outcome.why if isinstance(outcome, Unknown) else "no clean answer"))
            return None
        found: Optional[Found] = None
        try:
            found = self._look(spot).found
        except StoreError as error:
            if not hidden:
                self._note(name, UNKNOWN, *_split(str(error)))
                return None
        if isinstance(found, Seen) and _is_of(draft, found):
            self._note(name, FAIL, "%s is refused (%d), but carried out all the same" % (what, status), ENFORCE)
            return found.etag
        self._note(name, PASS, "%s is refused (%d)" % (what, status))
        return None

    def _etag_form(self, spot: _Spot) -> None:
        told = [answer.response.headers.get("etag", "") for answer in self._log.answered]
        form = "quoted" if any(etag.startswith('"') for etag in told) else "bare"
        takes = "quoted" if self._quoted else "only bare; leases send them so without being told"
        self._note("etag_form", PASS, "ETags come %s, and If-Match takes them %s" % (form, takes))

    def _etag_repeats(self, spot: _Spot, first: Record, etag: str, standing: str) -> Optional[Seen]:
        """Write the first body again. Return what stands now."""
        try:
            result = self._drive(put(first, standing, self._until()), spot)
        except StoreError as error:
            self._note("etag_repeats", UNKNOWN, *_split(str(error)))
            return None
        if isinstance(result, View):
            self._note("etag_repeats", UNKNOWN, "something stands there that this run has not written")
            return None
        seen = "the same body gets the same ETag again; leases never repeat a body"
        self._note("etag_repeats", PASS, seen if result.seen.etag == etag else "the same body gets another ETag")
        return result.seen

    def _reads_and_clock(self, spot: _Spot, standing: Seen) -> None:
        samples: List[store_clock.Sample] = []
        reads = stale = 0
        trouble = ""
        started = self._clock.now()
        try:
            for number in range(1, READS + 1):
                # Date and Last-Modified tell whole seconds, so the reads have to fall on all parts of one.
                self._clock.sleep((started + number / READS - self._clock.now()) % 1)
                draft = self._draft()
                result = self._drive(put(draft, standing.etag, self._until()), spot)
                if isinstance(result, View):
                    raise StoreError("a write was not carried out, because something else stood there")
                before, standing = standing, result.seen
                other = self._spot()
                other.wire.forget()
                view = self._look(other)
                found = view.found
                reads += 1
                if not _is_of(draft, found):
                    stale += 1
                elif isinstance(found, Seen) and spot.wire.landed is not None:
                    samples.append(
                        store_clock.Sample(
                            spot.wire.landed, result.at, view.asked, view.at, found.modified, found.store_time
                        )
                    )
                view = self._drive(look(self._until(), before), other)
                reads += 1
                stale += not _is_of(draft, view.found)
        except StoreError as error:
            trouble = str(error)
        if stale:
            self._note(
                "reads",
                FAIL,
                "%d of %d reads right after a write do not see it" % (stale, reads),
                "Look for a cache on the way, or use a store that is consistent at once",
            )
        elif trouble:
            self._note("reads", UNKNOWN, *_split(trouble))
        else:
            self._note("reads", PASS, "%d reads right after a write see it, over new connections" % reads)
        self._checks.append(store_clock.check(samples))

    def _races(self, contenders: int, rounds: int) -> None:
        creates: List[Race] = []
        replaces: List[Race] = []
        trouble = ""
        for number in range(1, rounds + 1):
            spot = self._spot("-%d" % number)
            try:
                creates.append(self._race(spot, None, contenders))
                created = creates[-1].found
                if isinstance(created, Seen):
                    if creates[-1].throttled:
                        self._clock.sleep(WRITES_APART)
                    replaces.append(self._race(spot, created.etag, contenders))
            except StoreError as error:
                trouble = str(error)
                break
            if any(race.fault for race in (creates[-1], *replaces[-1:])):
                break  # one is enough
            if number >= IN_VAIN and not any(race.decided for race in creates[-IN_VAIN:] + replaces[-IN_VAIN:]):
                break
        self._checks.append(_race_check("create_race", creates, contenders, len(creates), trouble))
        self._checks.append(_race_check("replace_race", replaces, contenders, len(creates), trouble))

    def _race(self, spot: _Spot, replaces: Optional[str], contenders: int) -> Race:
        drafts = [self._draft() for _number in range(contenders)]

        def write(draft: Record) -> Callable[[Callable[[], None]], Outcome]:
            own = self._spot(spot.name)

            def send(hold: Callable[[], None]) -> Outcome:
                own.wire.hold = hold
                return own.store.write(encode(draft), replaces)

            return send

        writes = [write(draft) for draft in drafts]
        started = self._clock.now()
        outcomes = at_once(writes, self._timeout * 2, self._clock)
        seconds = self._clock.now() - started
        found = self._look(spot).found
        record = record_of(found)
        nonces = [draft.nonce for draft in drafts]
        standing = nonces.index(record.nonce) if record and record.nonce in nonces else None
        return Race(outcomes, found, standing, seconds)

    def _checksums(self) -> None:
        """What leases do not send, but other programs may."""
        body = encode(self._draft())
        crc32 = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode("ascii")
        checked = self._create_with({"x-amz-checksum-crc32": crc32}, body)
        damaged = self._create_with({"Content-MD5": base64.b64encode(bytes(16)).decode("ascii")}, body)
        if checked == 400:
            self._note(
                "checksums",
                WARN,
                "a write with x-amz-checksum-crc32 is refused (400). Leases send Content-MD5, and work",
                "Set request_checksum_calculation = when_required for other programs",
            )
        elif checked != 200 or damaged not in (200, 400):
            self._note(
                "checksums",
                UNKNOWN,
                "a write with a checksum %s, one with a wrong checksum %s" % (_answered(checked), _answered(damaged)),
            )
        else:
            minded = "is refused" if damaged == 400 else "is accepted, so it is not checked"
            self._note("checksums", PASS, "CRC32 is understood; a wrong Content-MD5 %s" % minded)

    def _expect(self) -> None:
        """Nor do leases send this."""
        seconds = self._latencies()
        usual = seconds[len(seconds) // 2] if seconds else 0.0
        status = 0
        waited = True
        for _attempt in range(2):  # one alone may have been slow for another reason
            asked = self._clock.now()
            status = self._create_with({"Expect": "100-continue"}, encode(self._draft()), EXPECT_WAIT)
            waited = self._clock.now() - asked >= usual + EXPECT_WAIT * 0.9
            if not waited:
                break
        if status == 417:
            self._note("expect", WARN, "Expect: 100-continue is refused (417). Leases do not send it", NO_EXPECT)
        elif status != 200:
            self._note("expect", UNKNOWN, "a write with Expect: 100-continue %s" % _answered(status))
        elif waited:
            self._note("expect", WARN, "Expect: 100-continue is not answered. Leases do not send it", NO_EXPECT)
        else:
            self._note("expect", PASS, "Expect: 100-continue is answered")

    def _create_with(self, headers: Mapping[str, str], body: bytes, more_time: float = 0.0) -> int:
        """Create another scratch object by a request with these headers. Return the status; 0 for no answer."""
        self._habits += 1
        wire = self._spot("-habits-%d" % self._habits).wire
        wire.hold = _no_hold  # a body that is known as a whole goes at once, whatever Expect says
        create = {"Content-Type": "application/json", "If-None-Match": "*", **headers}
        response = self._exchange(wire, "PUT", create, body, more_time=more_time)
        return response.status if response else 0

    def _settings(self) -> None:
        checks: Dict[str, Check] = {}
        for name, setting in bucket_settings.SETTINGS.items():
            wire = Wiretap(self._connection.at("", setting.query), "", self._log, self._clock)
            response = self._exchange(wire, "GET", {}, b"", bucket_settings.MOST)
            if response is None:
                checks[name] = Check(name, UNKNOWN, "no answer to ?%s" % setting.query)
            else:
                checks[name] = bucket_settings.check(name, response, self._key, "s3://" + self._bucket)
        checks["versioning"] = bucket_settings.with_expiry(checks["versioning"], checks["lifecycle"])
        self._checks.extend(checks.values())

    def _latencies(self) -> List[float]:
        return sorted(answer.seconds for answer in self._log.answered if answer.alone)

    def _latency(self) -> None:
        seconds = self._latencies()
        if not seconds:
            return
        median, highest = seconds[len(seconds) // 2], seconds[math.ceil(len(seconds) * 0.99) - 1]
        which = "99th percentile of %d" if len(seconds) >= 100 else "the highest of %d"
        seen = "a request takes %.1f ms (median), %.1f ms (%s)" % (median * 1000, highest * 1000, which % len(seconds))
        if highest > self._timeout / 2:
            self._note("latency", WARN, seen, "Raise request_timeout, and lease_duration with it")
        else:
            self._note("latency", PASS, seen)

    def _known_store(self) -> None:
        if self._log.answered:
            server = self._log.answered[-1].response.headers.get("server", "")
            self._checks.append(known_stores.check(self._connection.origin, server))

    def _clean_up(self) -> None:
        """Remove what was written, and what may have been. That it cannot be is only told."""
        if not self._log.written:
            return
        names = list(dict.fromkeys(self._log.written))
        left = self._remove(names)
        late = [name for name in names if name in self._log.open]
        if late and not self._silent:
            # A write that got no answer may have been carried out since.
            self._clock.sleep(self._timeout)
            left.update(self._remove(late))
        left = {name: status for name, status in left.items() if status not in (200, 204, 404)}
        where = "%s*" % self._location
        if 0 in left.values():
            self._note(
                "cleanup", WARN, "the store did not answer, so scratch objects may be left at %s" % where, "Remove them"
            )
        elif left:
            told = ", ".join("%d" % status for status in dict.fromkeys(left.values()))
            number = "1 scratch object is" if len(left) == 1 else "%d scratch objects are" % len(left)
            advice = "Remove what is left"
            if not {401, 403}.isdisjoint(left.values()):
                advice = "Grant s3:DeleteObject on %s*, and remove what is left" % self._scratch_of_all
            self._note("cleanup", WARN, "%s left at %s (%s)" % (number, where, told), advice)
        elif any("x-amz-version-id" in answer.response.headers for answer in self._log.answered):
            seen = "the scratch objects were deleted; the bucket keeps their versions at %s" % where
            self._note("cleanup", PASS, seen)
        else:
            self._note("cleanup", PASS, "the scratch objects were removed")

    def _remove(self, names: List[str]) -> Dict[str, int]:
        """Delete these scratch objects, and try again what fails. Return the last status of each; 0 for none."""
        statuses = dict.fromkeys(names, 0)
        tries = 2
        for name in names:
            wire = Wiretap(self._connection.at(self._scratch + name), name, self._log, self._clock)
            for left in reversed(range(tries)):
                response = self._exchange(wire, "DELETE", {}, b"")
                statuses[name] = status = response.status if response else 0
                if (status and status != 429 and status < 500) or (not status and self._silent):
                    break
                if not left:
                    tries = 1  # it will not be better with the others
                elif status:
                    self._clock.sleep(WRITES_APART)
            if not statuses[name]:
                self._silent = True
                break
        return statuses

    # -- Their tools --------------------------------------------------------------------------------------------------

    def _note(self, name: str, verdict: str, seen: str, advice: str = "") -> None:
        self._checks.append(Check(name, verdict, seen, advice))

    def _until(self) -> float:
        return self._clock.now() + self._patience

    def _spot(self, name: str = "") -> _Spot:
        wire = Wiretap(self._connection.at(self._scratch + name), name, self._log, self._clock)
        return _Spot(name, wire, Store(wire, self._scratch_of_all + "*", self._quoted))

    @property
    def _scratch_of_all(self) -> str:
        """What the scratch objects of every run begin with, for a policy."""
        return "s3://%s/%s" % (self._bucket, self._scratch.rpartition("-")[0] + "-")

    def _draft(self) -> Record:
        return Record(
            holder="preflight",
            session="preflight",
            term=1,
            sequence=1,
            nonce=fresh_nonce(),
            lease_duration=1,
            acquired_at=0,
            renewed_at=0,
            lease_until=0,
            metadata={"note": "a scratch object of a preflight: remove it if it is still there after an hour"},
        )

    def _drive(self, steps: Steps[T], spot: _Spot) -> T:
        try:
            return drive(steps, spot.store, self._timeout, self._clock)
        except StoreUnreachable as error:
            self._silent = spot.wire.last is None
            if not self._silent:
                raise
            raise StoreUnreachable("%s. Check endpoint_url and the network, or raise request_timeout" % error) from None

    def _look(self, spot: _Spot) -> View:
        return self._drive(look(self._until()), spot)

    def _exchange(
        self,
        wire: Wiretap,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        most: int = MAX_BODY,
        more_time: float = 0.0,
    ) -> Optional[Response]:
        try:
            return self._clock.bounded(lambda: wire.send(method, headers, body, most), self._timeout + more_time)
        except (NoAnswer, CannotSend, Overdue):
            return None


def _ask(step: Step) -> Steps[Outcome]:
    """Make one request, and have its outcome as it is."""
    answer = yield step
    return answer.outcome


def _is_of(draft: Record, found: Found) -> bool:
    record = record_of(found)
    return record is not None and record.nonce == draft.nonce


def _answered(status: int) -> str:
    return "is answered with %d" % status if status else "got no answer"


def _no_hold() -> None:
    """Nobody else is waited for."""


def _verdict_of(error: StoreError, spot: _Spot) -> str:
    """Tell a store that cannot hold a lease from one that could not be asked."""
    status = spot.wire.status
    if status == 501:
        return FAIL
    if isinstance(error, StoreRefused):
        # A good answer that a lease cannot use all the same: without a Date, with a weak ETag.
        return FAIL if status == 200 or (spot.wire.last and element(spot.wire.last, "Code") == "NoSuchKey") else UNKNOWN
    return FAIL if spot.wire.last_write == 412 else UNKNOWN  # though its condition holds, in either form of the ETag


def _split(text: str) -> Tuple[str, str]:
    """Part what was seen from what to do, as the messages of the store layer have both."""
    seen, _stop, advice = text.partition(". ")
    return seen, advice


def _race_check(name: str, races: List[Race], contenders: int, rounds: int, trouble: str) -> Check:
    """Judge the races of so many rounds that were begun."""
    for number, race in enumerate(races, 1):
        if race.fault:
            seen = "of writes at the same instant, %s (%s, round %d)" % (race.fault, name.partition("_")[0], number)
            return Check(name, FAIL, seen, ENFORCE)
    decided = sum(race.decided for race in races)
    slowest = max([race.seconds for race in races] or [0.0])
    if decided and decided * 2 >= rounds and not trouble:
        fewest = min(race.clean for race in races if race.decided)
        who = "%d" % contenders if fewest == contenders else "at least %d of %d" % (fewest, contenders)
        seen = "of %s contenders at the same instant exactly one won, in %d of %d rounds" % (who, decided, rounds)
        return Check(name, PASS, seen + "; all answers came within %.3g s" % slowest)
    if any(race.throttled for race in races):
        return Check(
            name,
            UNKNOWN,
            "the store throttles writes to one key, so that only %d of %d rounds were a contest" % (decided, rounds),
            "Try fewer contenders, or go by what its operator promises",
        )
    why = trouble or next((race.trouble for race in races if race.trouble), "nobody won")
    seen, advice = _split(why)
    return Check(name, UNKNOWN, "only %d of %d rounds were decided: %s" % (decided, rounds, seen), advice)
