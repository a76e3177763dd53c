"""The review server attacked: by other sites, other programs on the machine, and broken clients."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from automatch.plan import Plan
from automatch.review.server import AT_ONCE, Server
from automatch.review.session import Session
from review_client import Client, raw
from review_plans import doubtful, encoder, pair, write


@pytest.fixture
def plan_path(tmp_path: Path) -> Path:
    pairs = [
        pair("a/w", "x/w", (3, 3)),
        doubtful("a/b", "x/b", (3,), "b", ("a/c", "x/c")),
        doubtful("a/c", "x/c", (3,), "c", ("a/b", "x/b")),
    ]
    return write(tmp_path, pairs, unused=[("a/d", (3,)), ("a/e", (9,))])


@pytest.fixture
def server(plan_path: Path) -> Iterator[Server]:
    with Server(Session(plan_path), seconds_to_ask=2.0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(server: Server) -> Client:
    return Client(server.url)


def test_the_page_comes_with_the_secret_and_saves_with_it(client: Client, plan_path: Path) -> None:
    assert client.page()[0] == 200
    status, _, body = client.save(["x/b", "a/b", "accept"])
    assert (status, json.loads(body)["message"]) == (
        200,
        "Saved model.plan.json: 2 to restore, 1 left to decide, 0 stay as initialised.",
    )
    assert {p.target: (p.decision, p.by) for p in Plan.load(plan_path).pairs}["x/b"] == ("accept", "person")


def test_it_listens_on_the_loopback_address_only(client: Client, server: Server) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {
        "127.0.0.1"
    }
    for address in others:
        with socket.socket() as stranger:
            stranger.settimeout(1)
            assert stranger.connect_ex((str(address), client.port)) != 0 or str(address).startswith("127.")


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=guess", "/?token=%00", "/?other=1", "/?token=é"])
def test_without_the_secret_there_is_no_page(client: Client, path: str) -> None:
    status, _, body = client.ask("GET", path.replace("é", "%C3%A9"))
    assert status == 403
    assert "x/w" not in body


def test_each_server_has_a_secret_of_its_own(plan_path: Path) -> None:
    with Server(Session(plan_path)) as one, Server(Session(plan_path)) as other:
        assert one.token != other.token
        assert len(one.token) >= 40


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "localhost:1", "[::1]", "", None]
)
def test_a_foreign_host_gets_nothing_even_with_the_secret(client: Client, host: str | None) -> None:
    status, _, body = client.page(Host=host)
    assert (status, "x/w" in body) == (403, False)
    status, _, _ = client.ask("POST", "/save", {"base": 0, "answers": []}, Host=host)
    assert status == 403


def test_two_hosts_are_no_host(client: Client) -> None:
    request = f"GET /?token={client.token} HTTP/1.1\r\nHost: {client.here}\r\nHost: evil.example\r\n\r\n"
    assert b"403" in raw(client, request.encode()).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": None, "Sec_Fetch_Site": None},
    ],
)
def test_another_site_cannot_save_even_with_the_secret(
    client: Client, plan_path: Path, headers: dict[str, str | None]
) -> None:
    before = plan_path.read_bytes()
    assert client.save(["x/b", "a/b", "accept"], **headers)[0] == 403
    assert plan_path.read_bytes() == before


def test_the_secret_must_be_in_the_header_to_save(client: Client, plan_path: Path) -> None:
    before = plan_path.read_bytes()
    for token in (None, "", "guess", client.token[:-1], client.token + "x"):
        assert client.save(["x/b", "a/b", "accept"], X_Automatch_Token=token)[0] == 403
    message = {"base": 0, "answers": []}
    assert client.ask("POST", f"/save?token={client.token}", message, X_Automatch_Token=None)[0] == 403
    assert plan_path.read_bytes() == before


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
def test_what_a_form_of_another_site_can_send_is_refused(client: Client, kind: str | None) -> None:
    assert client.ask("POST", "/save", {"base": 0, "answers": []}, Content_Type=kind)[0] == 415


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW"])
def test_other_methods_are_refused_and_nothing_of_them_is_repeated(client: Client, method: str) -> None:
    status, headers, body = client.ask(method, f"/?token={client.token}")
    assert status == 405
    assert "Access-Control-Allow-Origin" not in headers
    assert method == "HEAD" or body == "Method Not Allowed"


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/model.plan.json",
        "//evil.example/",
        "/etc/passwd%00",
        "/save",
    ],
)
def test_there_is_one_page_and_no_file(client: Client, path: str) -> None:
    status, _, body = client.ask("GET", f"{path}?token={client.token}")
    assert (status, "root:" in body) == (404, False)
    assert client.ask("POST", path + "x", {"base": 0, "answers": []})[0] == 404


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "+5", "", "5 5", "²", "9" * 30, None])
def test_a_length_that_is_none_is_refused(client: Client, length: str | None) -> None:
    text = "" if length is None else f"Content-Length: {length}\r\n"
    request = (
        f"POST /save HTTP/1.1\r\nHost: {client.here}\r\nOrigin: http://{client.here}\r\n"
        f"X-Automatch-Token: {client.token}\r\nContent-Type: application/json\r\n{text}\r\n{{}}"
    )
    assert raw(client, request.encode())[9:12] in (b"411", b"413")


def test_a_message_longer_than_all_answers_is_refused_before_it_is_read(
    client: Client, server: Server
) -> None:
    most = server.session.largest_answer()
    assert client.ask("POST", "/save", b"{}", Content_Length=str(most + 1))[0] == 413
    assert client.ask("POST", "/save", b"{}", Content_Length=str(10**11))[0] == 413
    assert client.ask("POST", "/save", b"{}", Transfer_Encoding="chunked")[0] == 415


def test_all_answers_at_once_are_not_too_long(tmp_path: Path) -> None:
    session = Session(encoder(tmp_path))
    answers = [[p.target, p.source, "undecided"] for p in session.plan.pairs]
    assert len(json.dumps({"base": 0, "answers": answers})) < session.largest_answer() < 1_000_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 3000,
        b'{"base": 0}',
        b'{"base": 1, "answers": 1}',
        b'{"base": 99, "answers": []}',
        b'{"base": 0, "answers": [["x/b"]]}',
        b'{"base": 0, "answers": [], "to": "/x"}',
        b'{"base": 0, "answers": [["x/b", "a/b", "maybe"]]}',
        b'{"base": 0, "answers": [["x/b", 3, "accept"]]}',
    ],
)
def test_a_broken_message_changes_nothing(client: Client, plan_path: Path, body: bytes) -> None:
    before = plan_path.read_bytes()
    client.page()
    status, headers, text = client.ask("POST", "/save", body)
    assert status in (400, 409)
    assert headers["Content-Type"].startswith("text/plain")
    assert text.endswith(".")
    assert plan_path.read_bytes() == before


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([["stranger", "a/b", "accept"]], "does not know 'stranger'"),
        ([["x/b", "stranger", "accept"]], "does not know 'stranger'"),
        ([["x/b", "a/w", "accept"]], "'a/w' is given to 'x/w', 'x/b'"),
        ([["x/b", "a/e", "accept"]], "the shapes do not agree: 'a/e f32[9] for x/b f32[3]'"),
    ],
)
def test_answers_that_contradict_the_plan_are_refused_in_words(
    client: Client, plan_path: Path, answers: list[list[str]], words: str
) -> None:
    before = plan_path.read_bytes()
    status, _, text = client.save(*answers)
    assert (status, words in text) == (409, True), text
    assert plan_path.read_bytes() == before


def test_a_plan_that_somebody_else_has_changed_is_not_overwritten(client: Client, plan_path: Path) -> None:
    base = client.base()
    Plan.load(plan_path).decide("x/c", "reject").save(plan_path)
    theirs = plan_path.read_bytes()
    status, _, text = client.ask("POST", "/save", {"base": base, "answers": [["x/b", "a/b", "accept"]]})
    assert (status, "changed by somebody else" in text) == (409, True)
    assert plan_path.read_bytes() == theirs


def test_a_save_that_fails_says_so_and_leaves_the_old_plan(client: Client, plan_path: Path) -> None:
    base, theirs = client.base(), plan_path.read_bytes()
    plan_path.rename(plan_path.with_suffix(".away"))
    plan_path.mkdir()
    message = {"base": base, "answers": [["x/b", "a/b", "accept"]]}
    assert client.ask("POST", "/save", message)[0] == 409
    assert plan_path.with_suffix(".away").read_bytes() == theirs


def test_every_answer_forbids_what_it_does_not_need(client: Client) -> None:
    for status, headers, _ in (client.page(), client.ask("GET", "/"), client.save()):
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'"), status
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"].strip() == "automatch"


def test_slow_clients_are_cut_off_and_hold_nobody_up(client: Client) -> None:
    slow = []
    for _ in range(8):
        drip = socket.create_connection(("127.0.0.1", client.port))
        drip.sendall(b"GET / HTTP/1.1\r\nHost: ")
        slow.append(drip)
    assert client.page()[0] == 200
    started = time.monotonic()
    for drip in slow:
        drip.settimeout(20)
        while drip.recv(1000):
            pass
        drip.close()
    assert time.monotonic() - started < 15


def test_who_keeps_every_place_waiting_gives_way_to_who_asks(plan_path: Path) -> None:
    with Server(Session(plan_path), seconds_to_ask=3600.0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        client = Client(server.url)
        slow = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(3 * AT_ONCE)]
        for drip in slow:
            with contextlib.suppress(OSError):
                drip.sendall(b"GET / HTTP/1.1\r\nHost: ")
        for _ in range(3):
            assert client.page()[0] == 200
        assert client.save(["x/b", "a/b", "accept"])[0] == 200
        for drip in slow:
            drip.close()
        server.shutdown()
        thread.join()


def test_a_body_that_never_comes_is_given_up(client: Client, plan_path: Path) -> None:
    before = plan_path.read_bytes()
    request = (
        f"POST /save HTTP/1.1\r\nHost: {client.here}\r\nOrigin: http://{client.here}\r\n"
        f"Content-Length: 100\r\nX-Automatch-Token: {client.token}\r\n"
        f"Content-Type: application/json\r\n\r\n{{"
    )
    raw(client, request.encode())
    assert client.page()[0] == 200
    assert plan_path.read_bytes() == before


def test_more_connections_than_a_browser_makes_are_dropped(client: Client) -> None:
    crowd = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(60)]
    time.sleep(0.3)
    assert threading.active_count() < 60
    for one in crowd:
        one.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if client.page()[0] == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
    raise AssertionError("the server did not recover")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"A" * 70_000,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n",
    ],
)
def test_noise_gets_a_bare_answer_or_none(client: Client, data: bytes) -> None:
    answer = raw(client, data)
    assert b"x/w" not in answer
    assert b"Traceback" not in answer
    assert client.page()[0] == 200


def test_a_name_cannot_end_the_script_it_stands_in(tmp_path: Path) -> None:
    evil = "a/</script><script>alert(1)</script><!--\u2028\u202e\x1b[31m"
    path = write(tmp_path, [pair(evil, "x/w", (3,))])
    with Server(Session(path)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        page = Client(server.url).page()[2]
        server.shutdown()
        thread.join()
    assert page.count("</script>") == 2
    assert "alert(1)<" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_done_ends_the_server_after_it_has_answered(plan_path: Path) -> None:
    with Server(Session(plan_path)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        status, _, body = Client(server.url).ask("POST", "/done", {})
        thread.join(10)
        assert (status, thread.is_alive()) == (200, False)
        assert "1 to restore, 2 left to decide" in json.loads(body)["message"]


def test_killed_while_it_saves_the_old_or_the_new_plan_is_there(tmp_path: Path) -> None:
    path = encoder(tmp_path)
    whole = {path.read_bytes()}
    plan = Plan.load(path)
    accepted = plan.decide([p.target for p in plan.undecided], "accept")
    whole.add(accepted.save(tmp_path / "other.json").read_bytes())
    program = (
        "import sys; from automatch import Plan; one, other, path = sys.argv[1:]\n"
        "one, other = Plan.load(one), Plan.load(other); print('ready', flush=True)\n"
        "while True: one.save(path); other.save(path)"
    )
    plan.save(tmp_path / "one.json")
    for pause in (0.0, 0.003, 0.006, 0.01, 0.02):
        command = [
            sys.executable,
            "-c",
            program,
            str(tmp_path / "one.json"),
            str(tmp_path / "other.json"),
            str(path),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout
            child.stdout.readline()
            time.sleep(pause)
            child.kill()
        assert path.read_bytes() in whole
