"""Fixtures of the integration tests: real processes, real sockets, loopback only.

`ostler` starts one instance with its own directory and ports; `sink` is a next hop whose replies a test
scripts. Nothing here mocks a part of Ostler.
"""
import asyncio
import itertools
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import threading
import time

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("OSTLER_BUILD", ROOT / "build"))
LONG = os.environ.get("OSTLER_LONG") == "1"
# Memory of a build with AddressSanitizer is several times that of a plain one.
IS_SANITIZED = (BUILD / "ostlerd").exists() and b"__asan_init" in (BUILD / "ostlerd").read_bytes()
# Whether OSTLER_POISON makes a role die (base/check.h).
CHECKS_SLOWLY = (BUILD / "ostlerd").exists() and b"OSTLER_POISON" in (BUILD / "ostlerd").read_bytes()


def port_numbers():
    """Each worker of pytest-xdist goes round a range of its own, below those that the kernel hands out."""
    worker = int(re.sub("[^0-9]", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or "0")
    first = 10000 + worker % 20 * 1000
    for n in itertools.count(os.getpid()):
        yield first + n % 1000


PORTS = port_numbers()


def free_port():
    """A port that nobody listens on and no other test running now is given."""
    for port in PORTS:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port


def wait_for(condition, seconds=20, what="condition", step=0.02):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(step)
    raise AssertionError(f"{what}: not within {seconds} s")


class Sink:
    """A next hop. replies: {(stage, address or None): [reply, ...]}; the last reply repeats."""

    def __init__(self):
        self.port = free_port()
        self.messages = []
        self.smtputf8 = []  # of each message: was it asked for?
        self.rcpt_replies, self.data_replies = {}, []
        self.controller = None

    async def handle_RCPT(self, server, session, envelope, address, options):
        replies = self.rcpt_replies.get(address)
        if replies:
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
            if not reply.startswith("2"):
                return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        if self.data_replies:
            reply = self.data_replies.pop(0)
            if not reply.startswith("2"):
                return reply
        sender = "" if envelope.mail_from in (None, "<>") else envelope.mail_from
        self.smtputf8.append(envelope.smtp_utf8)
        self.messages.append((sender, list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 Ok: queued as SINK"

    def start(self):
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port,
                                     data_size_limit=200 * 1024 * 1024)
        self.controller.start()

    def stop(self):
        if self.controller is not None:
            self.controller.stop()
            self.controller = None

    def recipients(self):
        return [r for _, rcpts, _ in self.messages for r in rcpts]


class Ostler:
    """One instance below `directory`."""

    def __init__(self, directory, relayhost, settings=None, master_cf=None):
        self.dir = pathlib.Path(directory)
        self.port, self.admin_port = free_port(), free_port()
        self.etc = self.dir / "etc"
        self.etc.mkdir(parents=True)
        self.log_path = self.dir / "maillog"
        values = {
            "queue_directory": self.dir / "queue",
            "mail_spool_directory": self.dir / "mail",
            "maillog_file": self.log_path,
            "myhostname": "ostler.test",
            "mydestination": "local.test, localhost",
            "mynetworks": "127.0.0.0/8",
            "inet_protocols": "ipv4",
            "relayhost": relayhost,
            "smtpd_peername_lookup": "no",
            "admin_listen": f"127.0.0.1:{self.admin_port}",
            "journal_segment_size": "4194304",
            "journal_size_min": "33554432",
        }
        values.update(settings or {})
        self.write_main(values)
        if master_cf is None:
            master_cf = f"127.0.0.1:{self.port} inet n - n - - smtpd\n" + "".join(
                f"{name} unix - - n - - {command}\n" for name, command in
                (("smtp", "smtp"), ("relay", "smtp"), ("lmtp", "lmtp"), ("local", "local"),
                 ("error", "error"), ("retry", "retry"), ("discard", "discard")))
        (self.etc / "master.cf").write_text(master_cf)
        os.chmod(self.dir, 0o755)
        self.process = None
        self.environment = None  # of its processes; None: ours

    def write_main(self, values):
        self.values = values
        (self.etc / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in values.items()))

    def start(self, seconds=20, arguments=()):
        self.output = open(self.dir / "stdout", "ab")
        self.process = subprocess.Popen([BUILD / "ostlerd", "-c", self.etc, *arguments],
                                        stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=self.output, start_new_session=True,
                                        env=self.environment)
        wait_for(self.greets, seconds, f"greeting of ostlerd ({self.dir}/stdout)")

    def greets(self):
        if self.process.poll() is not None:
            raise AssertionError("ostlerd exited: " + (self.dir / "stdout").read_text()[-2000:])
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                return s.recv(4) == b"220 "
        except OSError:
            return False

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill_tree()
        self.process = None

    def children(self):
        """{role: [pid]} of the living role processes."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (OSError, IndexError):
                continue
            if parent == self.process.pid and b"--role" in words:
                found.setdefault(words[words.index(b"--role") + 1].decode(), []).append(
                    int(entry.name))
        return found

    def kill(self, role):
        pids = self.children().get(role, [])
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return pids

    def kill_tree(self):
        pids = [p for group in self.children().values() for p in group]
        for pid in [self.process.pid, *pids]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(10)
        for pid in pids:
            wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists()
                     or "\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text(), 10, "death")

    def send(self, to, sender="sender@client.test", body="hello\r\n", subject="test", **options):
        text = (f"From: <{sender}>\r\nTo: <test>\r\nSubject: {subject}\r\n"
                f"Message-ID: <{time.monotonic_ns()}@client.test>\r\n\r\n{body}")
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as client:
            return client.sendmail(sender, [to] if isinstance(to, str) else to, text.encode(),
                                   **options)

    def log(self):
        """Lines reach the file by a process of its own, a moment after what they tell of: it must have come to rest."""
        text, end = None, time.monotonic() + 1
        while text != (now := self.log_path.read_text(errors="replace") if self.log_path.exists() else ""):
            if time.monotonic() > end:
                break
            text = now
            time.sleep(0.04)
        return now

    def tool(self, *words, check=True, program="ostler"):
        done = subprocess.run([BUILD / program, "-c" if program == "ostler" else "-C", self.etc,
                               *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60)
        if check:
            assert done.returncode == 0, (words, done.returncode, done.stdout, done.stderr)
        return done

    def queue(self):
        out = self.tool("queue", "--json").stdout
        return [json.loads(line) for line in out.splitlines() if line.strip()]

    def maildir(self, user):
        new = self.dir / "mail" / user / "new"
        return sorted(new.iterdir()) if new.is_dir() else []


@pytest.fixture
def sink():
    sink = Sink()
    sink.start()
    yield sink
    sink.stop()


@pytest.fixture
def make_ostler():
    made, directory = [], tempfile.mkdtemp(prefix="ostler-test-", dir="/var/tmp")
    os.chmod(directory, 0o755)

    def make(relayhost, settings=None, start=True, **options):
        instance = Ostler(f"{directory}/{len(made)}", relayhost, settings, **options)
        made.append(instance)
        if start:
            instance.start()
        return instance

    yield make
    for instance in made:
        instance.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def ostler(make_ostler, sink):
    return make_ostler(f"[127.0.0.1]:{sink.port}")
