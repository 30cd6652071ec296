"""Edges of the path: early talkers, slow clients, odd files in maildrop, refusals, syslog, LMTP by Unix socket."""
import os
import re
import signal
import socket
import subprocess
import time

import pytest
from aiosmtpd.controller import UnixSocketController
from aiosmtpd.lmtp import LMTP
from conftest import BUILD, Sink, wait_for

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def talk(port, *steps):
    """Sends each step after the reply to the one before; what came last, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.settimeout(10)
        s.recv(500)
        for step in steps:
            s.sendall(step)
            got = s.recv(500)
        data = got
        while part := s.recv(500):
            data += part
        return data.decode()


# rules: J5
@pytest.mark.parametrize("steps", [
    (b"EHLO x\r\n",), (b"EHLO x\r\n", b"MAIL FROM:<a@b.test>\r\n"),
    (b"EHLO x\r\n", b"MAIL FROM:<a@b.test>\r\n", b"RCPT TO:<c@d.test>\r\n", b"DATA\r\n"),
    (b"EHLO x\r\n", b"MAIL FROM:<a@b.test>\r\n", b"RCPT TO:<c@d.test>\r\n", b"BDAT 100\r\nabc")],
    ids=["hello", "mail", "data", "chunk"])
def test_client__falls_silent__is_told_and_let_go(make_ostler, sink, steps):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"smtpd_timeout": "1s"})
    if steps[-1].startswith(b"BDAT"):
        with socket.create_connection(("127.0.0.1", ostler.port), 10) as s:
            s.settimeout(10)
            s.recv(500)
            for step in steps[:-1]:
                s.sendall(step)
                s.recv(500)
            s.sendall(steps[-1])
            assert b"421 4.4.2 " in s.recv(500)
    else:
        assert "421 4.4.2 " in talk(ostler.port, *steps)
    wait_for(lambda: "timeout after " in ostler.log(), what="log line")
    assert ostler.queue() == []


def test_client__talks_before_the_greeting__is_refused(ostler):
    smtpds = ostler.children()["smtpd"]
    for pid in smtpds:
        os.kill(pid, signal.SIGSTOP)  # so the words are there before anybody can greet
    try:
        with socket.create_connection(("127.0.0.1", ostler.port), 10) as s:
            s.sendall(b"EHLO x\r\n")
            for pid in smtpds:
                os.kill(pid, signal.SIGCONT)
            s.settimeout(10)
            assert s.recv(500).startswith(b"554 5.5.0 ")
    finally:
        for pid in smtpds:
            os.kill(pid, signal.SIGCONT)


# rules: L3 F3e F3f F3g
def test_pickup__what_is_no_message__is_left_and_said_once(ostler, sink):
    drop = ostler.dir / "queue/maildrop"
    fifo, link, directory, one, other, garbage = (drop / f"{n:032x}" for n in range(6))
    os.mkfifo(fifo)
    os.symlink("/etc/passwd", link)
    directory.mkdir()
    one.write_bytes(b"x")
    os.link(one, other)
    (drop / "odd-name").write_bytes(b"x")
    (drop / ".tmp-x").write_bytes(b"\0\1\2 garbage")
    (drop / ".tmp-x").rename(garbage)  # as sendmail does: this is what pickup waits for
    names = sorted(os.listdir(drop))
    wait_for(lambda: all(f"maildrop/{name} is left alone" in ostler.log() for name in names), what="a line for each")
    garbage.rename(drop / ".tmp-x")
    (drop / ".tmp-x").rename(garbage)
    time.sleep(1)
    for name in names:
        assert ostler.log().count(f"maildrop/{name} is left alone") == 1, name
    assert sorted(os.listdir(drop)) == names and sink.messages == [] and ostler.queue() == []


def test_sendmail__queue_refuses__exit_75_and_nothing_is_kept(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"queue_minfree": str(1 << 60)})
    done = subprocess.run([BUILD / "sendmail", "-C", ostler.etc, "a@dest.test"], input="hello\n",
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 75 and done.stderr != ""
    assert os.listdir(ostler.dir / "queue/maildrop") == [] and ostler.queue() == []


# rules: J7 J27
def test_log__lines_of_a_message__are_in_order(ostler, sink):
    for number in range(40):
        ostler.send([f"a{number}@dest.test", "alice@local.test"])
    wait_for(lambda: ostler.log().count(": removed") == 40, 30, "forty ends")
    stages = [": client=", ": message-id=", "(queue active)", "status=", "status=", ": removed"]
    for queue_id in set(re.findall(r"qmgr\[\d+\]: (\w+): removed", ostler.log())):
        lines = [line for line in ostler.log().splitlines() if f" {queue_id}: " in line]
        assert len(lines) == len(stages), lines
        assert all(stage in line for stage, line in zip(stages, lines)), lines


def test_log__syslog__gets_the_same_lines(make_ostler, sink):
    if os.geteuid() != 0 or os.path.exists("/dev/log"):
        pytest.skip("needs root and no syslog daemon")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("/dev/log")
        os.chmod("/dev/log", 0o666)
        s.settimeout(5)
        try:
            ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"maillog_file": "", "syslog_facility": "local3"})
            ostler.send("a@dest.test")
            wait_for(lambda: sink.messages, what="delivery")
            seen = ""
            while ": removed" not in seen:
                seen += s.recv(4096).decode() + "\n"
        finally:
            os.unlink("/dev/log")
    assert re.search(r"^<158>.* ostler/smtp\[\d+\]: \w+: to=<a@dest\.test>, .* status=sent ", seen, re.M)


def test_lmtp__by_unix_socket(make_ostler):
    class UnixSink(Sink):
        def start(self):
            self.controller = UnixSocketController(self, f"/var/tmp/ostler-lmtp-{os.getpid()}")
            self.controller.factory = lambda: LMTP(self)
            self.controller.start()
            os.chmod(self.controller.unix_socket, 0o666)

    sink = UnixSink()
    sink.start()
    try:
        ostler = make_ostler("", {"transport_maps":
                                  f"inline:{{ dest.test=lmtp:unix:{sink.controller.unix_socket} }}"})
        ostler.send("a@dest.test")
        wait_for(lambda: sink.recipients() == ["a@dest.test"], what="delivery")
        wait_for(lambda: "relay=localhost[/var/tmp/ostler-lmtp-" in ostler.log(), what="log line")
    finally:
        sink.stop()
