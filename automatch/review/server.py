"""The review page served to one person on this machine, and to nobody else.

    GET  /?token=…   the page
    POST /save       answers -> the plan file, in one step
    POST /solve      answers -> the page's data, matched again
    POST /done       ends the server

A page of another site may make the browser send requests here, and so may any program on this machine. Hence:
the server listens on the loopback address only, on a port the system chooses; every request carries a secret
that only the address printed in the terminal holds; the `Host` header must be this very address, so that a
foreign name pointed at 127.0.0.1 (DNS rebinding) gets nothing; a request that a browser marks as coming from
another origin is refused (`Origin`, `Sec-Fetch-Site`); what writes must be JSON with the secret in a header,
which no form of another site can send; size, time and number of requests are bounded.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from automatch.errors import AutomatchError, PlanError
from automatch.review.page import content_policy, page
from automatch.review.session import Session, decode_answers, summary

__all__ = ["Server"]

# A browser on the same machine needs milliseconds; what is not there after this is an attack or an accident.
SECONDS_TO_ASK = 10.0
AT_ONCE = 16
_TO_END = 2.0
_TO_GIVE_WAY = 0.5

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Server(ThreadingHTTPServer):
    """The page of one session on the loopback address; `serve_forever` ends when the page says done."""

    daemon_threads = True
    request_queue_size = AT_ONCE

    def __init__(
        self,
        session: Session,
        *,
        tell: Callable[[str], None] = lambda line: None,  # noqa: ARG005
        seconds_to_ask: float = SECONDS_TO_ASK,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.session = session
        self.tell = tell
        self.token = secrets.token_urlsafe(32)
        self.seconds_to_ask = seconds_to_ask
        self.turn = threading.Lock()
        self._places = threading.BoundedSemaphore(AT_ONCE)
        # Connections that have not asked for anything yet, the oldest first.
        self._idle: dict[Any, None] = {}

    @property
    def hosts(self) -> tuple[str, ...]:
        """The only names under which it answers."""
        return tuple(f"{name}:{self.server_address[1]}" for name in ("127.0.0.1", "localhost"))

    @property
    def url(self) -> str:
        """The address that opens the page, with the secret in it."""
        return f"http://{self.hosts[0]}/?token={self.token}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts a thread for the request; of too many, whoever has kept one waiting longest gives way."""
        if self._places.acquire(blocking=False) or self._made_room():
            self._idle[request] = None
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def _made_room(self) -> bool:
        for request in list(self._idle)[:1]:
            self.asked(request)
            _cut(request)
        return self._places.acquire(timeout=_TO_GIVE_WAY)

    def asked(self, request: Any) -> None:
        """Lets a connection go on undisturbed: its request has been read."""
        self._idle.pop(request, None)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers one request, and makes room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.asked(request)
            self._places.release()

    def server_close(self) -> None:
        """Stops listening, and lets the last answers out: the one to 'done' is among them."""
        super().server_close()
        until = time.monotonic() + _TO_END
        for _ in range(AT_ONCE):
            self._places.acquire(timeout=max(0.0, until - time.monotonic()))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a connection that broke off is no news to the person at the terminal."""


def _cut(connection: socket.socket) -> None:
    """Ends a connection: whoever waits for a byte of it gets none."""
    with contextlib.suppress(OSError):  # It may have ended by itself.
        connection.shutdown(socket.SHUT_RDWR)


class _RefusedError(Exception):
    """A request that gets nothing but this status and sentence."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "automatch"
    sys_version = ""

    _POSTS: ClassVar[frozenset[str]] = frozenset({"/save", "/solve", "/done"})

    def setup(self) -> None:
        """Prepares to read, for a bounded time: a client that drips bytes is cut off in the middle."""
        self._late = threading.Timer(self.server.seconds_to_ask, _cut, [self.request])
        self._late.daemon = True
        self._late.start()
        super().setup()

    def finish(self) -> None:
        """Sends what is left and stops the clock."""
        self._late.cancel()
        super().finish()

    def _has_asked(self) -> None:
        """The clock stops, and nobody takes this place: from here on it is the server that takes its time."""
        self._late.cancel()
        self.server.asked(self.request)

    def do_GET(self) -> None:
        """The page, for who has the address with the secret in it."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """An action of the page."""
        self._answer(self._post)

    def _answer(self, action: Any) -> None:
        try:
            self._check_place()
            status, kind, body = action()
        except _RefusedError as refused:
            status, kind, body = refused.status, "text/plain", str(refused)
        except AutomatchError as error:
            status, kind, body = HTTPStatus.CONFLICT, "text/plain", str(error)
        self._send(status, kind, body)

    def _check_place(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0] not in self.server.hosts:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "This server answers under its own address only.")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in [f"http://{host}" for host in self.server.hosts]:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "This request comes from another site.")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "This request comes from another site.")

    def _check_token(self, token: str) -> None:
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "Open the address that the terminal shows.")

    def _get(self) -> tuple[HTTPStatus, str, str]:
        url = urlsplit(self.path)
        self._check_token(parse_qs(url.query).get("token", [""])[0])
        if url.path != "/":
            raise _RefusedError(HTTPStatus.NOT_FOUND, "There is one page here, and it is at '/'.")
        self._has_asked()
        with self.server.turn:
            data = self.server.session.data()
        return HTTPStatus.OK, "text/html", page({**data, "token": self.server.token})

    def _post(self) -> tuple[HTTPStatus, str, str]:
        self._check_token(self.headers.get("X-Automatch-Token") or "")
        if self.headers.get("Origin") is None and self.headers.get("Sec-Fetch-Site") is None:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "Only the page itself may do this.")
        if self.path not in self._POSTS:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "There is no such action.")
        message = self._message()
        self._has_asked()
        with self.server.turn:
            result = self._done() if self.path == "/done" else self._decided(message)
        return HTTPStatus.OK, "application/json", json.dumps(result)

    def _message(self) -> dict[str, Any]:
        if self.headers.get_content_type() != "application/json" or self.headers.get("Transfer-Encoding"):
            raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send JSON, in one piece.")
        length = self.headers.get("Content-Length") or ""
        if not (length.isascii() and length.isdigit()):
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "Say how long the message is.")
        if len(length) > 12 or int(length) > self.server.session.largest_answer():
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Too long for answers to this plan.")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "The message is not as long as it says.")
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "The message is no JSON.") from error
        if not isinstance(message, dict):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "The message is no object.")
        return message

    def _decided(self, message: dict[str, Any]) -> dict[str, Any]:
        base, answers = _answers(message)
        session = self.server.session
        if self.path == "/solve":
            return {**session.solve(base, answers), "token": self.server.token}
        line = session.save(base, answers)
        self.server.tell(line)
        return {"message": line}

    def _done(self) -> dict[str, Any]:
        # From another thread: shutdown waits for the loop, and the loop's threads answer this very request.
        threading.Thread(target=self.server.shutdown, daemon=True).start()
        session = self.server.session
        return {"message": f"{session.path.name}: {summary(session.plan)}"}

    def _send(self, status: HTTPStatus, kind: str, body: str) -> None:
        data = body.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        policy = content_policy(served=True) if kind == "text/html" else "default-src 'none'"
        self.send_header("Content-Security-Policy", policy + "; frame-ancestors 'none'")
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """A bare sentence for what never got as far as a method: nothing of the request is repeated."""
        status = HTTPStatus(code)
        self.close_connection = True
        if status is HTTPStatus.NOT_IMPLEMENTED:
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self._send(status, "text/plain", status.phrase)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keeps quiet: the terminal shows what was decided, not what was asked."""


def _answers(message: dict[str, Any]) -> tuple[int, Any]:
    base = message.get("base")
    if set(message) != {"base", "answers"} or not isinstance(base, int):
        raise PlanError("this is no message of this page. Open the review again.")
    return base, decode_answers(message["answers"])
