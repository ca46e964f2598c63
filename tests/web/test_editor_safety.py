"""What the editor's server refuses: other sites, too much, too slow; and what it survives."""

import contextlib
import http.client
import os
import socket
import threading
import time

import numpy as np
import psutil
import pytest
from editor_servers import painting_path, running, sample
from tiny import tiny_model

from web.server import guard, serving

SIZES = (8, 16, 24)  # small: it is not the volumes that are tested


@pytest.fixture(scope="module")
def editor():
    with running(tiny_model(contrast=20), sizes=SIZES) as editor:
        yield editor


def raw(editor, data: bytes, timeout: float = 20) -> bytes:
    """What the server says to these bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", editor.port), timeout) as line:
        said = b""
        with contextlib.suppress(ConnectionError):  # it need not read to the end what it refuses
            line.sendall(data)
            while piece := line.recv(65536):
                said += piece
        return said


def test_only_this_machine_is_listened_to(editor):
    listening = [one.laddr for one in psutil.Process().net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    assert [address.ip for address in listening if address.port == editor.port] == ["127.0.0.1"]


PATHS = [("GET", "/"), ("GET", "/describe"), ("GET", "/samples/90001"), ("GET", "/editor/mask.js"), ("POST", "/read"),
         ("POST", "/run?tab=a&width=2&height=2"), ("POST", "/save/view?tab=a&width=2&height=2"),
         ("POST", "/map?tab=a&width=2&height=2"),
         ("POST", "/colours?tab=a&width=2&height=2&picture=1"), ("POST", "/face?tab=a")]


@pytest.mark.parametrize("method, path", PATHS)
@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "evil.example:{port}"}, {"Host": "127.0.0.1.evil.example:{port}"},
    {"Host": "localhost.evil.example"}, {"Host": ""}, {"Host": "[::1]:{port}"},
    {"Host": "evil.example@127.0.0.1:{port}@x"},
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:1"},
    {"Origin": "https://{host}"}, {"Origin": "http://{host}.evil.example"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
], ids=str)
def test_other_sites_are_refused(editor, method, path, headers):
    headers = {name: value.format(port=editor.port, host=editor.host) for name, value in headers.items()}
    status, line = editor.ask(method, path, b"1111" if method == "POST" else None, headers)
    assert status == 403, line
    assert line.count(b"\n") == 1
    assert line.startswith(b"this server answers to")


@pytest.mark.parametrize("headers", [
    {}, {"Host": "localhost:{port}"}, {"Host": "localhost:9000"}, {"Origin": "http://{host}"},
    {"Origin": "http://{host}", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"},
], ids=str)
def test_the_own_page_is_not(editor, headers):
    headers = {name: value.format(port=editor.port, host=editor.host) for name, value in headers.items()}
    assert editor.ask("GET", "/describe", headers=headers)[0] == 200


def test_links_open_the_page_and_nothing_else(editor):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert editor.ask("GET", "/", headers=link)[0] == 200
    assert editor.ask("GET", "/describe", headers=link)[0] == 403
    assert editor.ask("GET", "/", headers={**link, "Sec-Fetch-Dest": "iframe"})[0] == 403


def test_every_answer_forbids_frames_and_foreign_scripts(editor):
    for path in ("/", "/describe", "/nothing"):
        connection = http.client.HTTPConnection("127.0.0.1", editor.port, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        answer.read()
        connection.close()


@pytest.mark.parametrize("path", [
    "/samples/../pose-pseudo.txt", "/samples/..%2f..%2fval_paths.txt", "/samples/CelebAMask-HQ-pose-anno.txt",
    "/samples/README.md", "/samples/README", "/samples//etc/passwd", "/samples/%2fetc%2fpasswd", "/samples/90001.png",
    "/samples/90001%00", "/samples/", "/editor/../server/app.py", "/editor/..%2fserver%2fapp.py", "/server/app.py",
    "/editor/page.html", "/editor/__init__.py", "/viewer/%2e%2e/pages.py", "/../../../../etc/passwd", "//etc/passwd",
    "/save/../describe", "/.git/config", "/editor/", "/alive/",
])
def test_nothing_else_is_read(editor, path):
    said = raw(editor, f"GET {path} HTTP/1.1\r\nHost: {editor.host}\r\nConnection: close\r\n\r\n".encode())
    status = int(said.split()[1])
    assert 400 <= status < 500 or (status == 307 and b"location: " in said.lower()), said[:200]
    assert b"root:" not in said
    assert b"import" not in said


BAD = [
    ("", b"1111"), ("?width=2&height=2", b"111"), ("?width=2&height=2", b"11111"), ("?width=2&height=2", b""),
    ("?width=0&height=2", b""), ("?width=-2&height=-2", b"1111"), ("?width=2.0&height=2", b"1111"),
    ("?width=99999&height=99999", b"1111"), ("?width=2&height=٢", b"1111"), ("?width=2&height=2", b"\x01\x01\x01\x13"),
    ("?width=2&height=2", b"\xff\xff\xff\xff"), ("?width=2&height=2&seed=-1", b"\x01\x01\x01\x01"),
    ("?width=2&height=2&seed=9999999999999999999999", b"\x01\x01\x01\x01"),
    ("?width=2&height=2&layers=9", b"\x01\x01\x01\x01"), ("?width=2&height=2&layers=a", b"\x01\x01\x01\x01"),
    ("?width=2&height=2&layers=" + "1," * 4000 + "x", b"\x01\x01\x01\x01"),
]


@pytest.mark.parametrize("query, body", BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("path", ["/run", "/save/view"])
def test_malformed_paintings(editor, path, query, body):
    from urllib.parse import quote

    status, line = editor.ask("POST", path + quote(query, safe="?&=,-."), body)
    assert status == 400
    assert line.count(b"\n") == 1
    assert len(line) < 200


def test_what_is_not_there(editor):
    assert editor.ask("GET", "/run")[0] == 405
    assert editor.ask("POST", "/describe", b"")[0] == 405
    assert editor.ask("POST", "/save/passwords?width=1&height=1", b"1")[0] == 404
    assert editor.ask("POST", "/read?encoding=magic", b"1")[0] == 400


@pytest.mark.parametrize("data", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
    b"POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\n",
    b"POST /run HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (8 << 20) + b"\r\n\r\n",
], ids=range(6))
def test_what_is_no_request(editor, data):
    said = raw(editor, data)
    assert said == b"" or said.startswith(b"HTTP/1.1 4")
    assert editor.ask("GET", "/alive")[0] == 200


def test_too_much_is_refused_before_it_is_read(editor):
    head = f"POST /read HTTP/1.1\r\nHost: {editor.host}\r\nContent-Length: {10**12}\r\n\r\n"
    assert raw(editor, head.encode()).startswith(b"HTTP/1.1 413")
    chunk = b"100000\r\n" + b"a" * 0x100000 + b"\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", editor.port), 20) as line:
        line.sendall(f"POST /read HTTP/1.1\r\nHost: {editor.host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        try:
            while sent < 64:
                line.sendall(chunk)
                sent += 1
        except OSError:
            pass
    assert sent < 48, "it went on reading"
    assert editor.ask("GET", "/alive")[0] == 200


def test_slow_bodies(editor, monkeypatch):
    monkeypatch.setattr(guard, "SECONDS_TO_SEND", 0.5)
    head = f"POST /run?width=2&height=2 HTTP/1.1\r\nHost: {editor.host}\r\nContent-Length: 4\r\n\r\n1"
    start = time.monotonic()
    assert raw(editor, head.encode()).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: loc", "after"], ids=["nothing", "half", "after"])
def test_slow_heads(editor, monkeypatch, begun):
    monkeypatch.setattr(serving, "SECONDS_TO_ASK", 0.5)
    if begun == "after":
        begun = f"GET /alive HTTP/1.1\r\nHost: {editor.host}\r\n\r\nGET /ali".encode()
    start = time.monotonic()
    said = raw(editor, begun, 30)
    assert time.monotonic() - start < 20
    assert said == b"" or b"instance" in said


def test_who_does_not_take_the_answer(editor, monkeypatch):
    """Somebody asks and reads nothing: the others get theirs, and the job's thread is free again."""
    monkeypatch.setattr(guard, "SECONDS_TO_TAKE", 1.0)
    labels, lines = sample(), []
    for number in range(10):  # more than there are threads
        line = socket.create_connection(("127.0.0.1", editor.port), 20)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        path = painting_path(labels, tab=f"mute{number}")
        line.sendall(f"POST {path} HTTP/1.1\r\nHost: {editor.host}\r\nContent-Length: {labels.size}\r\n\r\n".encode())
        line.sendall(labels.tobytes())
        lines.append(line)
    assert editor.run(labels, tab="reader")[-1][0]["size"] == SIZES[-1]
    for line in lines:
        line.close()


def test_fifty_at_once(editor):
    labels, answers = sample(), []

    def ask(number: int) -> None:
        answers.append(editor.ask("POST", painting_path(labels, tab=f"tab{number}"), labels.tobytes(), timeout=300))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert [status for status, _ in answers] == [200] * 50
    assert len({body[-1000:] for _, body in answers}) == 1


def until_it_answers(editor, status: int) -> None:
    """The server learns of what was sent, or closed, a moment later; of a busy machine a long one."""
    end = time.monotonic() + 20
    while (found := editor.ask("GET", "/alive")[0]) != status:
        assert time.monotonic() < end, f"{found}, not {status}"
        time.sleep(0.05)


def test_more_than_it_serves_at_a_time(editor, monkeypatch):
    monkeypatch.setattr(guard, "MOST_REQUESTS", 2)
    lines = []
    for _ in range(2):
        line = socket.create_connection(("127.0.0.1", editor.port), 20)
        line.sendall(f"POST /read HTTP/1.1\r\nHost: {editor.host}\r\nContent-Length: 9\r\n\r\n".encode())
        lines.append(line)
    until_it_answers(editor, 503)
    for line in lines:
        line.close()
    until_it_answers(editor, 200)


@pytest.mark.parametrize("strokes", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_memory_does_not_grow(editor, strokes):
    """Stroke after stroke, most of them ended by the next; twice as many take no more memory."""
    process, labels = psutil.Process(os.getpid()), sample().copy()
    random = np.random.default_rng(0)

    def paint(count: int) -> None:
        for number in range(count):
            x, y = random.integers(0, 480, 2)
            labels[y:y + 20, x:x + 20] = random.integers(1, 18)
            editor_run = editor.run if number % 10 == 9 else leave_early
            editor_run(labels)

    def leave_early(painted: np.ndarray) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", editor.port, timeout=60)
        connection.request("POST", painting_path(painted), painted.tobytes())
        connection.getresponse().read(100)
        connection.close()

    paint(20)
    before = process.memory_info().rss
    paint(strokes)
    assert process.memory_info().rss - before < 60 << 20
