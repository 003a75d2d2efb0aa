# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""One signed HTTP request to S3, sent once.

It uses the parts of botocore that find credentials, know AWS's endpoints, sign (SigV4) and speak HTTP, but not the
client above them. This loads in half the client's time, runs on every botocore since 1.20, and has nothing that must be
switched off. The client, in contrast, retries (rule 11), waits a second for a 100-continue, adds checksum trailers that
stores refuse, and has parameters for the conditions only since 1.35.69.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import math
import os
import re
import socket
import ssl
import struct
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Set, Tuple
from urllib.parse import quote, urlsplit

from . import aws
from .bad_option import BadOption
from .clock import GivenUp
from .settings import Endpoint, Location, check_endpoint_url
from .store_time import Stamp
from .types import with_advice

try:
    import botocore.auth
    import botocore.awsrequest
    import botocore.exceptions
    import botocore.httpsession
    import botocore.utils

    MISSING_LIBRARY: Optional[ImportError] = None
except ImportError as error:
    MISSING_LIBRARY = error

USER_AGENT = "leaderelection.s3"
MOST_AT_ONCE = 64
"""Most requests of one connection in flight at the same time."""
NO_CREDENTIALS = "the credentials could not be fetched"
"""Begins what NoAnswer says where their source may answer later."""


def version() -> str:
    """Return botocore's version."""
    return str(botocore.__version__)


class Keys(NamedTuple):
    """What botocore signs with. Its own class is in a module that is slow to load."""

    access_key: Optional[str]
    secret_key: Optional[str]
    token: Optional[str]


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    """With lower-case names."""
    body: bytes


class NoAnswer(Exception):
    """The request may have been carried out, or may still be, unless it was not sent to its last byte. The text says
    what happened instead of an answer.
    """

    def __init__(self, what: str, sent: bool = True) -> None:
        super().__init__(what)
        self.sent = sent


class CannotSend(Exception):
    """The request was not sent, and cannot be until something is fixed."""

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(with_advice(why, advice))
        self.why, self.advice = why, advice


class Connection:
    """Signs and sends requests for one object."""

    def __init__(self, endpoint: Endpoint, location: Location) -> None:
        """Find endpoint and region; nothing is sent yet.

        Raises BadOption for unusable options, CannotSend if botocore cannot use its configuration.
        """
        self._endpoint = endpoint
        self._location = location
        self._loaded: Any = None
        self._http: Any = None
        self.actions: Set[str] = set()
        """What was asked of S3, by its API's names."""
        try:
            if endpoint.profile:
                self._session.get_scoped_config()  # raises if there is no such profile
            self._target = self._find(location.bucket)
            self.url = self._url(location)
            self._verify = self._ca_bundle()
        except BadOption:
            raise
        except botocore.exceptions.ProfileNotFound:
            named = endpoint.profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
            way_out = "neither ~/.aws/config nor ~/.aws/credentials has this profile"
            raise BadOption("profile", named, way_out) from None
        except (botocore.exceptions.BotoCoreError, AttributeError, LookupError, TypeError, ValueError) as error:
            # It expects the files to be as they should.
            raise CannotSend(
                "botocore cannot use its configuration: %s" % error,
                "Check endpoint_url, aws_config and bucket, the AWS_* variables, and ~/.aws/config",
            ) from None

    @property
    def _session(self) -> Any:
        """botocore's view of environment and files. It is slow to load, and not needed if the options tell all."""
        if self._loaded is None:
            import botocore.session

            self._loaded = botocore.session.Session(profile=self._endpoint.profile)
            if self._endpoint.credentials_file:
                self._loaded.set_config_variable("credentials_file", self._endpoint.credentials_file)
            if self._endpoint.region:
                # A source of credentials may need it, too: an assumed role, for example.
                self._loaded.set_config_variable("region", self._endpoint.region)
        return self._loaded

    def at(self, key: str, query: str = "") -> Connection:
        """Return a connection for another object of the bucket; the key '' is the bucket itself.

        Both share what was loaded, opened and noted so far, and can be used in several threads.
        """
        if not self._endpoint.access_key:
            self._session  # noqa: B018  (or each copy would load its own, and fetch its own credentials)
        self._connected()
        other = copy.copy(self)
        other.url = self._url(self._location.at(key)) + ("?" + query if query else "")
        return other

    def send(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        most: int,
        stamp: Stamp,
        before_last_byte: Optional[Callable[[], None]] = None,
    ) -> Response:
        """Send one request, and read at most ``most`` bytes of its answer plus one.

        ``before_last_byte`` is called once all but the last byte of the body is sent: until it returns, the store
        waits, too. If it raises GivenUp, the connection is reset. Raises NoAnswer, CannotSend or GivenUp.
        """
        request = botocore.awsrequest.AWSRequest(
            method=method,
            url=self.url,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers},
            stream_output=True,
        )
        if self._endpoint.expected_bucket_owner:
            request.headers["x-amz-expected-bucket-owner"] = self._endpoint.expected_bucket_owner
        held_back = None
        if body and "Content-MD5" not in headers:
            # A bucket with Object Lock requires it; it also keeps a damaged body out of the store.
            request.headers["Content-MD5"] = _md5(body)
        if "Expect" in headers:
            # As bytes, or botocore sends it but does not wait.
            request.headers["Expect"] = headers["Expect"].encode("ascii")  # type: ignore[assignment,unused-ignore]
        try:
            self._sign(request, body, stamp)
            prepared = request.prepare()
            if body and before_last_byte is not None:
                held_back = _HeldBack(body, before_last_byte)
                prepared.body = held_back  # type: ignore[assignment,unused-ignore]
            self.actions.add(_action(method, urlsplit(self.url).query))
            response = self._connected().send(prepared)
        except botocore.exceptions.BotoCoreError as error:
            if held_back is not None and held_back.given_up:
                raise GivenUp() from None
            sent = bool(body) and (held_back is None or held_back.sent)
            if isinstance(error, botocore.exceptions.SSLError) and not sent:
                self._check_certificates(error)
            raise NoAnswer(_what_happened(error, self.origin), sent) from None
        answered = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status_code, answered, self._content(response, answered, most))

    def _check_certificates(self, error: Exception) -> None:
        """Raise CannotSend if it takes another scheme, or other certificates, to send anything."""
        if any(sign in str(error) for sign in _NO_TLS):
            raise CannotSend(
                "%s does not speak TLS" % self.origin,
                "If the store speaks plain HTTP, let endpoint_url begin with http://",
            ) from None
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            why = re.search(r"verify failed: ([^(]*[^( ])", str(error))
            raise CannotSend(
                "the TLS certificate of %s is not trusted (%s)"
                % (self.origin, why.group(1) if why else "it cannot be verified"),
                "If your own CA signed it, set aws_ca_bundle to the file of that CA",
            ) from None
        if not _is_ca_bundle(self._verify):
            raise CannotSend(
                "aws_ca_bundle is %s: it contains no certificate" % self._verify,
                "Set it to the file of the CA that signed the store's certificate",
            ) from None

    def forget(self) -> None:
        """Send the next request over a new connection: the current one may still be busy with an overdue request."""
        self._http = None

    @property
    def bucket_url(self) -> str:
        """A URL that identifies the bucket among those of all stores, whatever names it, however it is addressed."""
        return self._target.place

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return "%s://%s" % (parts.scheme, parts.netloc)

    def _sign(self, request: Any, body: bytes, stamp: Stamp) -> None:
        """Sign as botocore does, but by the store's clock; with an end to the signature, in the query."""
        credentials, region, service = self._credentials(), self._target.region, self._target.service
        if stamp.lasts is None:
            request.data = body
            signer: Any = botocore.auth.S3SigV4Auth(credentials, service, region)
        else:  # botocore would sign the body as a part of the query, so the body comes later
            signer = botocore.auth.S3SigV4QueryAuth(credentials, service, region, expires=stamp.lasts)
        request.context["timestamp"] = time.strftime(botocore.auth.SIGV4_TIMESTAMP, time.gmtime(stamp.at))
        # pylint: disable=protected-access
        signer._modify_request_before_signing(request)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        signer._inject_signature_to_request(request, signer.signature(text, request))
        request.data = body

    def _content(self, response: Any, headers: Mapping[str, str], most: int) -> bytes:
        raw, status = response.raw, response.status_code
        try:
            content: bytes = raw.read(most + 1)
        except Exception as error:
            # urllib3's errors, whose classes differ between its versions.
            raise NoAnswer("the answer from %s was cut off (%s)" % (self.origin, type(error).__name__)) from None
        if len(content) > most:
            raw.close()
        elif status != 304 and headers.get("content-length", str(len(content))) != str(len(content)):
            raise NoAnswer("the answer from %s was cut off" % self.origin)
        return content

    def _connected(self) -> Any:
        if self._http is None:
            config = self._endpoint.aws_config or {}
            certificate = config.get("client_cert")
            self._http = botocore.httpsession.URLLib3Session(
                verify=self._verify,
                proxies=config["proxies"] if "proxies" in config else botocore.utils.get_environ_proxies(self.url),
                proxies_config=config.get("proxies_config"),
                client_cert=tuple(certificate) if isinstance(certificate, list) else certificate,
                timeout=self._endpoint.request_timeout,  # type: ignore[arg-type,unused-ignore]
                max_pool_connections=MOST_AT_ONCE,  # or urllib3 warns of each one beyond it
                socket_options=_socket_options(self._endpoint.request_timeout),  # type: ignore[arg-type,unused-ignore]
            )
        return self._http

    def _credentials(self) -> Any:
        endpoint = self._endpoint
        if endpoint.access_key:
            return Keys(endpoint.access_key, endpoint.secret_key, endpoint.session_token)
        try:
            credentials = self._session.get_credentials()
            if credentials is None:
                raise CannotSend(
                    "no credentials were found",
                    "Set access_key and secret_key, profile, or any other source that botocore knows (environment, "
                    "~/.aws, instance role)",
                )
            return credentials.get_frozen_credentials()
        except (botocore.exceptions.CredentialRetrievalError, botocore.exceptions.MetadataRetrievalError) as error:
            raise NoAnswer("%s: %s" % (NO_CREDENTIALS, error)) from None
        except CannotSend:
            raise
        except Exception as error:
            # Each source has its own errors: a role may be refused, a process may print nonsense.
            kind = type(error).__name__
            advice = "Log in with aws sso login, as the user that runs this" if "SSO" in kind.upper() else ""
            raise CannotSend("the credentials cannot be used: %s: %s" % (kind, error), advice) from None

    def _url(self, location: Location) -> str:
        return "%s/%s" % (self._target.url, quote(location.key, safe="/~"))

    def _find(self, bucket: str) -> aws.Target:
        endpoint = self._endpoint
        region = endpoint.region or self._session.get_config_variable("region") or "us-east-1"
        base = endpoint.endpoint_url or self._configured_endpoint()
        if aws.client_knows_more(endpoint, base, region, bucket, self._profile):
            return aws.of_client(self._session, endpoint, base, region, bucket)
        style = endpoint.addressing_style
        if style == "auto":
            # As botocore does: the bucket is in the host name only on AWS, and only if its certificate covers it.
            style = "virtual" if base is None and _HOST_LABEL.fullmatch(bucket) else "path"
        scheme, _separator, rest = (base or self._aws(region)).rstrip("/").partition("://")
        if rest.endswith("/" + bucket):
            raise BadOption("endpoint_url", base, "it ends with the name of the bucket. Leave that out")
        place = "%s://%s/%s" % (scheme, rest, bucket)
        url = place if style == "path" else "%s://%s.%s" % (scheme, bucket, rest)
        return aws.Target(url, place, region, "s3")

    def _profile(self) -> Mapping[str, Any]:
        profile: Mapping[str, Any] = self._session.get_scoped_config()
        return profile

    def _configured_endpoint(self) -> Optional[str]:
        """Return what botocore would use: other tools of the same user do.

        Source: docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
        """
        profile = self._profile()
        ignores = os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or profile.get(
            "ignore_configured_endpoint_urls"
        )
        if str(ignores).lower() == "true":
            return None
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
            if os.environ.get(name):
                return check_endpoint_url(os.environ[name], name)
        service = self._session.full_config.get("services", {}).get(profile.get("services"), {}).get("s3")
        configured = (isinstance(service, dict) and service.get("endpoint_url")) or profile.get("endpoint_url")
        return check_endpoint_url(configured, "endpoint_url of the AWS configuration") if configured else None

    def _aws(self, region: str) -> str:
        import botocore.loaders
        import botocore.regions

        # The session would keep these data, which take 7 MiB, for as long as it lives.
        loader = botocore.loaders.create_loader(self._session.get_config_variable("data_path"))
        known = botocore.regions.EndpointResolver(loader.load_data("endpoints")).construct_endpoint("s3", region)
        if not known:
            raise BadOption("region", region, "AWS does not have this region. For another store, set endpoint_url")
        return aws.regional("https://%s" % known["hostname"])

    def _ca_bundle(self) -> Any:
        endpoint = self._endpoint
        if not endpoint.validate_certs or self.url.startswith("http:"):
            return False
        bundle = endpoint.aws_ca_bundle or self._session.get_config_variable("ca_bundle")
        if bundle and not os.path.isfile(bundle):
            raise BadOption("aws_ca_bundle", bundle, "this file does not exist on this host")
        return bundle or True


class _HeldBack:
    """A body as a file that holds back its last byte: nothing is carried out before that is ``sent``."""

    def __init__(self, body: bytes, before_last_byte: Callable[[], None]) -> None:
        self._parts = [body[:-1], body[-1:]]
        self._before_last_byte = before_last_byte
        self.given_up = self.sent = False

    def read(self, _size: int = -1) -> bytes:
        if not self._parts:
            return b""
        if len(self._parts) == 1:
            try:
                self._before_last_byte()
            except GivenUp:
                self.given_up = True
                raise
            self.sent = True
        return self._parts.pop(0)


def _socket_options(request_timeout: float) -> List[Tuple[int, int, Any]]:
    """Let the kernel deliver nothing that was given up: what it could not send is dropped when the socket is closed, or
    when nothing was acknowledged for as long as a request may take (socket(7), tcp(7)).
    """
    options: List[Tuple[int, int, Any]] = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
    ]
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, math.ceil(request_timeout * 1000)))
    return options


def _is_ca_bundle(verify: Any) -> bool:
    try:
        ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
        return True
    except (OSError, ssl.SSLError):
        return False


def _what_happened(error: Exception, origin: str) -> str:
    cause = str(getattr(error, "kwargs", {}).get("error", ""))
    for sign, words in _NO_CONNECTION.items():
        if sign in cause and type(error).__name__ == "EndpointConnectionError":
            return words % origin
    for kind, words in _WORDS.items():
        if type(error).__name__ == kind:
            return words % origin
    return "the connection to %s failed (%s)" % (origin, type(error).__name__)


_NO_CONNECTION = {
    "Connection refused": "%s could not be reached: nothing listens there",
    "Name or service not known": "%s could not be reached: its name is unknown",
    "failure in name resolution": "%s could not be reached: its name cannot be looked up now",
    "unreachable": "%s could not be reached: this host's network does not lead there",
}
"""By what stands in urllib3's error, whose classes differ between its versions: the words of libc."""
_WORDS: Dict[str, str] = {
    "EndpointConnectionError": "%s could not be reached: its name is unknown, or nothing listens there",
    "ConnectTimeoutError": "%s did not accept a connection in time",
    "ReadTimeoutError": "%s did not answer in time",
    "ConnectionClosedError": "%s closed the connection before it answered",
    "ProxyConnectionError": "the proxy to %s could not be reached",
    "SSLError": "the TLS connection to %s broke, or it does not speak TLS",
}

_NO_TLS = ("[SSL: WRONG_VERSION_NUMBER]", "[SSL: RECORD_LAYER_FAILURE]", "[SSL: UNKNOWN_PROTOCOL]")
"""What OpenSSL calls an answer in plain text, by its version."""

_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", re.ASCII)


_OF_BUCKETS = {
    "list-type": "ListObjectsV2",
    "versioning": "GetBucketVersioning",
    "lifecycle": "GetBucketLifecycleConfiguration",
    "object-lock": "GetObjectLockConfiguration",
    "replication": "GetBucketReplication",
}
"""By how the query begins."""


def _action(method: str, query: str) -> str:
    return "s3:" + _OF_BUCKETS.get(query.partition("=")[0], method.capitalize() + "Object")


def _md5(body: bytes) -> str:
    try:
        digest = hashlib.md5(body, usedforsecurity=False)  # type: ignore[call-arg,unused-ignore]
    except TypeError:  # Python 3.8
        digest = hashlib.md5(body)
    return base64.b64encode(digest.digest()).decode("ascii")
