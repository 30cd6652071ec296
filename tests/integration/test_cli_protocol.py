"""The tools against scripted peers: what they ask the queue manager and pickup, and what they make of the answers."""
import json
import os
import socket
import struct
import subprocess
import threading

import pytest

from conftest import BUILD

MESSAGE = {"queue_name": "deferred", "queue_id": "4Zabcdefghz1", "arrival_time": 1700000000,
           "message_size": 1500, "forced_expire": False, "sender": "a@b.test",
           "recipients": [{"address": "x@y.test", "delay_reason": "why"}]}


class Peer:
    """A Unix socket; `answer` gets a connection, and runs for each."""

    def __init__(self, path, answer):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(5)
        self.answer = answer
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                self.answer(connection)


def read_all(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            break
        data += part
    return data


class Instance:
    """A configuration and a queue directory, whose sockets the test serves."""

    def __init__(self, directory):
        self.dir = directory
        self.queue = directory / "queue"
        (self.queue / "public").mkdir(parents=True)
        (self.queue / "maildrop").mkdir()
        (directory / "main.cf").write_text(f"queue_directory = {self.queue}\nmessage_size_limit = 2000000\n")
        self.requests, self.replies = [], []

    def control(self, *replies):
        """replies: (final, exit code, bytes)."""
        self.replies = replies
        if not (self.queue / "public/control").exists():
            Peer(self.queue / "public/control", self.answer)

    def answer(self, connection):
        length, kind, _, _ = struct.unpack("<IHBB", read_all(connection, 8))
        payload = read_all(connection, length)
        (request, size) = struct.unpack_from("<II", payload)
        command, rest = payload[8:8 + size].decode(), payload[12 + size:]
        words = []
        while rest:
            (size,) = struct.unpack_from("<I", rest)
            words.append(rest[4:4 + size].decode())
            rest = rest[4 + size:]
        assert kind == 48
        self.requests.append([command, *words])
        for final, code, text in self.replies:
            body = struct.pack("<IBBI", request, final, code, len(text)) + text
            connection.sendall(struct.pack("<IHBB", len(body), 49, 0, 0) + body)

    def run(self, program, *words, text=""):
        option = "-c" if program == "ostler" else "-C"
        return subprocess.run([BUILD / program, option, self.dir, *words], input=text, text=True,
                              capture_output=True, timeout=60, env={**os.environ, "TZ": "UTC0"})


@pytest.fixture
def instance(tmp_path):
    return Instance(tmp_path)


# rules: O30
def test_queue__lines_cut_over_frames__are_put_together(instance):
    line = json.dumps(MESSAGE).encode() + b"\n"
    instance.control((0, 0, line[:40]), (0, 0, line[40:] + line), (1, 0, b'{"done": 2}'))
    done = instance.run("ostler", "queue", "--json")
    assert [json.loads(x) for x in done.stdout.splitlines()] == [MESSAGE, MESSAGE]
    done = instance.run("mailq")
    assert done.stdout.startswith("----Queue ID-----") and "-- 2 Kbytes in 2 Requests." in done.stdout
    assert instance.requests == [["queue"], ["queue"]]


def test_words__become_arguments(instance):
    instance.control((1, 0, b""))
    for words in (["flush"], ["flush", "--site", "s.test"], ["flush", "--id", "4Z"], ["hold", "A", "B"],
                  ["release", "ALL"], ["show", "4Z", "--content"]):
        assert instance.run("ostler", *words).returncode == 0, words
    assert instance.run("sendmail", "-q").returncode == 0
    assert instance.run("sendmail", "-qI4Z").returncode == 0
    assert instance.run("sendmail", "-qRs.test").returncode == 0
    assert instance.requests == [
        ["flush"], ["flush", "site", "s.test"], ["flush", "id", "4Z"], ["hold", "A", "B"],
        ["release", "ALL"], ["show", "4Z", "content"],
        ["flush"], ["flush", "id", "4Z"], ["flush", "site", "s.test"]]


# rules: O11 O12 O13 O14
def test_refusals__have_their_exit_code_and_words(instance):
    assert instance.run("ostler", "queue").returncode == 69
    instance.control((1, 77, b"you may not"))
    done = instance.run("ostler", "hold", "ALL")
    assert (done.returncode, done.stderr) == (77, "ostler: you may not\n")
    instance.control((1, 66, b""))
    assert "no such message" in instance.run("ostler", "show", "4Z").stderr
    instance.control()
    assert instance.run("ostler", "queue").returncode == 69
    instance.control((0, 0, b"nonsense with \"queue_id\"\n"), (1, 0, b""))
    assert instance.run("ostler", "queue").returncode == 76
    for words in ([], ["nosuch"], ["show"], ["hold"], ["flush", "--site"], ["queue", "x"], ["-x"]):
        assert instance.run("ostler", *words).returncode == 64, words


def test_sendmail__socket__reply_decides(instance):
    got, replies = [], [(0, b"4Zid"), (75, b"no room"), None, None]

    def answer(connection):
        got.append(len(connection.makefile("rb").read()))
        reply = replies.pop(0)
        if reply is not None:
            connection.sendall(struct.pack("<IB", len(reply[1]), reply[0]) + reply[1])

    Peer(instance.queue / "public/submit", answer)
    text = "Subject: x\n\n" + "line\n" * 300000
    assert instance.run("sendmail", "x@y.test", text=text).returncode == 0
    assert got[0] > len(text)
    done = instance.run("sendmail", "x@y.test", text="\n")
    assert (done.returncode, done.stderr) == (75, "sendmail: no room\n")
    assert instance.run("sendmail", "x@y.test", text="\n").returncode == 75
    assert instance.run("sendmail", "x@y.test", text="\n" + "line\n" * 400001).returncode == 65
    assert not list((instance.queue / "maildrop").iterdir())


def test_sendmail__nobody_listens__a_whole_file_or_none(instance):
    drop = instance.queue / "maildrop"
    assert instance.run("sendmail", "x@y.test", text="\n" + "line\n" * 400001).returncode == 65
    assert not list(drop.iterdir())
    assert instance.run("sendmail", "x@y.test", text="one\n.\nnot this\n").returncode == 0
    (file,) = drop.iterdir()
    assert len(file.name) == 32 and file.stat().st_mode & 0o777 == 0o644
    assert b"one\n" in file.read_bytes() and b"not this" not in file.read_bytes()
    drop.rename(instance.queue / "elsewhere")
    assert instance.run("sendmail", "x@y.test", text="\n").returncode == 75
