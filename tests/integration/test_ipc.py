"""A role that breaks the protocol between roles: what a broken or taken over process costs the others.

The test takes a copy of a living role's socket and writes on it in its name.
"""
import ctypes
import os
import pathlib
import socket
import struct
import subprocess
import sys

import pytest
from conftest import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438
MASTER_FD = 3


def take_socket(pid, master, kind=socket.SOCK_STREAM):
    """A copy of the channel to qmgr, or (SOCK_SEQPACKET) of the way to the log: the first socket pair of this kind
    that master made, but for its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
    for entry in sorted(pathlib.Path(f"/proc/{pid}/fd").iterdir(), key=lambda e: int(e.name)):
        if int(entry.name) == MASTER_FD or not os.readlink(entry).startswith("socket:"):
            continue
        fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(entry.name), 0)
        if fd < 0:
            pytest.skip(f"this kernel lends no descriptors: {os.strerror(ctypes.get_errno())}")
        copy = socket.socket(fileno=fd)
        try:
            maker, *_ = struct.unpack("3i", copy.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if maker == master and copy.getpeername() == "" and copy.type == kind:
                os.close(pidfd)
                return copy
        except OSError:
            pass
        copy.close()
    raise AssertionError(f"{pid} has no channel")


def frame(kind, payload=b"", last=0):
    return struct.pack("<IHBB", len(payload), kind, 0, last) + payload


# What no role may say: a header that is none, and a type that only master sends.
@pytest.mark.parametrize("bad", [frame(1, last=1), frame(62, b"\0\0\0\0")], ids=["header", "type"])
@pytest.mark.parametrize("role", ["smtp", "smtpd", "resolver", "local"])
def test_role__breaks_the_protocol__is_ended_and_the_next_one_works(ostler, sink, role, bad):
    wait_for(lambda: ostler.children().get(role), what=f"{role} is there")
    before = ostler.children()[role]
    with take_socket(before[0], ostler.process.pid) as channel:
        channel.sendall(bad)
    wait_for(lambda: f"closing the channel to {role} (pid {before[0]})" in ostler.log(), what="log line")
    wait_for(lambda: len(ostler.children().get(role, [])) == len(before)
             and before[0] not in ostler.children()[role], what="another process")
    wait_for(ostler.greets, what="greeting")
    ostler.send(["a@dest.test", "bob@local.test"])
    wait_for(lambda: sink.recipients() == ["a@dest.test"] and ostler.maildir("bob"), what="delivery")
    wait_for(lambda: ostler.queue() == [], what="empty queue")


def test_log_process__what_a_broken_role_sends__ends_nothing_and_is_lines(ostler):
    with take_socket(ostler.children()["smtpd"][0], ostler.process.pid, socket.SOCK_SEQPACKET) as channel:
        before = ostler.children()["log"]
        channel.send(b"")  # reads as an end
        channel.send(b"half a line")
        channel.send(b"x" * 100000)  # longer than allowed: cut
        channel.send(b"another\n")
    wait_for(lambda: "another" in ostler.log(), what="its lines")
    lines = ostler.log().splitlines()
    assert "half a line" in lines and "another" in lines and max(map(len, lines)) <= 32 * 1024
    assert ostler.children()["log"] == before


HOLD_OPEN = """
import socket, sys, time
held = []
for _ in range(70):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    held.append(s)
time.sleep(1)
closed = 0
for s in held:
    s.setblocking(False)
    try:
        closed += s.recv(1) == b""
    except BlockingIOError:
        pass
print(closed, flush=True)
time.sleep(60)
"""


def test_tools__a_user_holds_all_he_can_get__others_are_still_served(ostler):
    path = ostler.dir / "queue" / ostler.values.get("control_socket", "public/control")
    user = subprocess.Popen([sys.executable, "-c", HOLD_OPEN, path], user=65534, stdout=subprocess.PIPE, text=True)
    try:
        assert int(user.stdout.readline()) == 70 - 8
        assert ostler.queue() == []
    finally:
        user.kill()
        user.wait()
