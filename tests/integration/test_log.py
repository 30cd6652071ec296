"""The log: what it costs mail when it is slow, stuck, full or killed. Nothing.

Method: a FIFO that nobody reads, writes to the log that take seconds or fail (faults/faults.c), kill -9.
"""
import os
import re
import signal
import time

import pytest
from conftest import wait_for
from disk_faults import ENOSPC, LIBRARY, WRITE, Faults
from test_disk_faults import faults  # noqa: F401 (a fixture)

STAGES = [": client=", ": message-id=", "(queue active)", "status=sent", ": removed"]


def send_quickly(ostler, sink, count):
    began, known = time.monotonic(), len(sink.messages)
    for number in range(count):
        ostler.send(f"a{number}@dest.test")
    wait_for(lambda: len(sink.messages) == known + count, what="deliveries")
    assert time.monotonic() - began < 10


def in_order(text, count):
    ids = re.findall(r"qmgr\[\d+\]: (\w+): removed", text)
    assert len(ids) == count
    for queue_id in ids:
        lines = [line for line in text.splitlines() if f" {queue_id}: " in line]
        assert len(lines) == len(STAGES) and all(s in line for s, line in zip(STAGES, lines)), lines


# rules: J7
def test_log__a_fifo_that_nobody_drains__stops_nothing_and_keeps_all_in_order(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", start=False)
    os.mkfifo(ostler.log_path, 0o666)
    reader = os.open(ostler.log_path, os.O_RDONLY | os.O_NONBLOCK)
    ostler.start()
    send_quickly(ostler, sink, 300)  # some 200 KiB of lines: a pipe takes 64
    wait_for(lambda: ostler.queue() == [], what="empty queue")
    text = b""

    def drained():
        nonlocal text
        try:
            text += os.read(reader, 1 << 20)
        except BlockingIOError:
            pass
        return text.count(b": removed") == 300

    wait_for(drained, what="all lines", step=0.001)
    in_order(text.decode(), 300)
    os.close(reader)


def test_stop__nobody_drains_the_log__takes_under_two_seconds(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", start=False)
    os.mkfifo(ostler.log_path, 0o666)
    reader = os.open(ostler.log_path, os.O_RDONLY | os.O_NONBLOCK)
    ostler.start()
    send_quickly(ostler, sink, 200)
    children = ostler.children()
    began = time.monotonic()
    ostler.process.send_signal(signal.SIGTERM)
    assert ostler.process.wait(10) == 0 and time.monotonic() - began < 2
    wait_for(lambda: not [(role, pid) for role, pids in children.items() for pid in pids
                          if os.path.exists(f"/proc/{pid}")], 2, "the end of all roles")
    os.close(reader)


@pytest.mark.skipif(not LIBRARY.exists(), reason="built without tests")
@pytest.mark.parametrize("error, seconds", [(0, 1.5), (ENOSPC, 0)], ids=["slow", "full"])
def test_log__disk_is_slow_or_full__mail_does_not_wait_and_lines_come_later(
        make_ostler, sink, faults, error, seconds):  # noqa: F811
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", start=False)
    ostler.environment = faults.environment
    ostler.start()
    faults.add(WRITE, str(ostler.log_path), error, seconds=seconds)
    send_quickly(ostler, sink, 50)
    wait_for(lambda: faults.struck() > 0, what="a write of the log")
    assert ostler.log().count(": removed") < 50
    faults.clear()
    wait_for(lambda: ostler.log().count(": removed") == 50, what="all lines")
    in_order(ostler.log(), 50)


def test_log__its_process_is_killed_or_stopped__mail_flows_and_lines_wait(ostler, sink):
    pid, = ostler.children()["log"]
    os.kill(pid, signal.SIGSTOP)
    send_quickly(ostler, sink, 100)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: ostler.log().count(": removed") == 100, what="the lines of meanwhile")
    in_order(ostler.log(), 100)
    wait_for(lambda: ": log (pid" in ostler.log() or "log" in ostler.children(), what="a new one")
    send_quickly(ostler, sink, 10)
    wait_for(lambda: ostler.log().count(": removed") == 110, what="new lines")
