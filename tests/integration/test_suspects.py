"""Processes that hang, and mail that kills whoever works on it: all other mail flows.

Goal: promise 4 of the design. Method: real processes; those that are to hang are stopped with SIGSTOP,
or meet a peer that never answers.
"""
import os
import signal

from conftest import wait_for
from peer import Peer

QUICK = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s"}


# rules: M2 T53
def test_M2__queue_manager_that_hangs__is_ended_and_mail_flows(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {**QUICK, "qmgr_daemon_timeout": "2s"})
    ostler.send("one@dest.test")
    wait_for(lambda: sink.recipients() == ["one@dest.test"], what="the first message")
    [pid] = ostler.children()["qmgr"]
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: ostler.children().get("qmgr") not in (None, [pid]), 20, "a new queue manager")
    assert f"process ostlerd/qmgr pid {pid} has not answered for 2 s and is killed" in ostler.log()
    ostler.send("two@dest.test")
    wait_for(lambda: "two@dest.test" in sink.recipients(), what="the second message")


# rules: T55 X5 Y19
def test_X5__next_hop_that_never_answers__ends_with_daemon_timeout_and_is_told_apart(make_ostler):
    peer = Peer(lambda stage, number: "hang" if stage == "dot" and number == 1 else None)
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}", {**QUICK, "daemon_timeout": "3s"})
    try:
        ostler.send("one@dest.test")
        [pid] = ostler.children()["smtp"]
        wait_for(lambda: peer.recipients() == ["one@dest.test"], 30, "the second attempt")
        log = ostler.log()
        assert f"timeout receiving delivery status from process {pid}" in log
        assert log.count("timeout receiving delivery status") == 1
        wait_for(lambda: ostler.queue() == [], what="an empty queue")
        assert peer.recipients() == ["one@dest.test"]
    finally:
        peer.stop()


# rules: T55
def test_watchdog__worker_that_hangs__is_ended(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {**QUICK, "daemon_timeout": "2s"})
    [pid] = ostler.children()["smtp"]
    os.kill(pid, signal.SIGSTOP)
    ostler.send("one@dest.test")
    wait_for(lambda: sink.recipients() == ["one@dest.test"], 30, "delivery by another process")
    assert f"process ostlerd/smtp pid {pid} has not answered for 2 s and is killed" in ostler.log()
