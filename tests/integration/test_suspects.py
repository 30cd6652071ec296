"""Processes that hang, and mail that kills whoever works on it: all other mail flows.

Goal: promise 4 of the design. Method: real processes; those that are to hang are stopped with SIGSTOP,
or meet a peer that never answers.
"""
import os
import re
import signal
import smtplib

import pytest
from conftest import CHECKS_SLOWLY, wait_for
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


# --- mail that kills -------------------------------------------------------------------------------
# OSTLER_POISON=ROLE:TEXT makes that role die of the bytes TEXT (base/check.h).


def make_poisoned(make_ostler, relayhost, poison, settings=None):
    ostler = make_ostler(relayhost, {**QUICK, **(settings or {})}, start=False)
    ostler.environment = dict(os.environ, OSTLER_POISON=poison)
    ostler.start()
    return ostler


def deaths(ostler, role):
    return len(re.findall(rf"process ostlerd/{role} pid \d+ killed by signal 6", ostler.log()))


def is_held(ostler, recipient):
    return [m["queue_name"] for m in ostler.queue()
            if recipient in [r["address"] for r in m["recipients"]]] == ["hold"]


# rules: X9a
@pytest.mark.skipif(not CHECKS_SLOWLY, reason="the switch is in builds with check_slow only")
@pytest.mark.parametrize("role", ["smtp", "local"])
def test_suspect__message_that_kills_its_worker__is_held_after_three_deaths(make_ostler, sink, role):
    ostler = make_poisoned(make_ostler, f"[127.0.0.1]:{sink.port}", f"{role}:killer@")
    domain = "dest.test" if role == "smtp" else "local.test"
    arrived = lambda name: (f"{name}@{domain}" in sink.recipients() if role == "smtp"
                            else len(ostler.maildir(name)) == 1)
    ostler.send(f"killer@{domain}")
    for number in range(20):
        ostler.send(f"good{number}@{domain}")
    wait_for(lambda: is_held(ostler, f"killer@{domain}"), 40, "the message on hold")
    wait_for(lambda: all(arrived(f"good{n}") for n in range(20)), 20, "all other mail")
    assert deaths(ostler, role) <= 3
    assert ostler.log().count("delivery process died twice; put on hold") == 1
    if role == "smtp":
        assert len(sink.recipients()) == len(set(sink.recipients()))
    # Released it is tried alone again, and found again; others are not concerned.
    ostler.tool("release", "ALL", "-y")
    wait_for(lambda: ostler.log().count("died twice; put on hold") == 2, 40, "held again")
    assert deaths(ostler, role) <= 5


# rules: X9a
@pytest.mark.skipif(not CHECKS_SLOWLY, reason="the switch is in builds with check_slow only")
def test_suspect__message_that_kills_the_runner__is_held_and_others_are_run(make_ostler, sink):
    names = ["killer", *(f"good{n}" for n in range(5))]
    aliases = ", ".join(f"{{ {name} = |/bin/true }}" for name in names)
    ostler = make_poisoned(make_ostler, f"[127.0.0.1]:{sink.port}", "runner:killer@",
                           {"alias_maps": f"inline:{{ {aliases} }}"})
    for name in names:
        ostler.send(f"{name}@local.test")
    wait_for(lambda: is_held(ostler, "killer@local.test"), 40, "the message on hold")
    wait_for(lambda: len(ostler.queue()) == 1, 20, "all other mail")
    assert deaths(ostler, "runner") <= 3


@pytest.mark.skipif(not CHECKS_SLOWLY, reason="the switch is in builds with check_slow only")
def test_black_box__record_that_kills_qmgr__is_set_aside_after_two_deaths(make_ostler, sink):
    ostler = make_poisoned(make_ostler, f"[127.0.0.1]:{sink.port}", "qmgr:killer@")
    ostler.send("good1@dest.test")
    wait_for(lambda: sink.recipients() == ["good1@dest.test"], what="mail before")
    ostler.send("killer@dest.test")
    wait_for(lambda: "out of the queue" in ostler.log(), 40, "the record set aside")
    for number in range(2, 6):
        ostler.send(f"good{number}@dest.test")
    wait_for(lambda: len(sink.recipients()) == 5, what="mail behind it")
    assert deaths(ostler, "qmgr") == 2
    assert ostler.queue() == []
    listed = ostler.tool("corrupt", "list").stdout
    assert "the queue manager died twice with it in hand" in listed and "requeue: yes" in listed
    # Without what kills it is whole: nothing of it was lost.
    ostler.stop()
    ostler.environment = None
    ostler.start()
    ostler.tool("corrupt", "requeue", "ALL")
    wait_for(lambda: "killer@dest.test" in sink.recipients(), what="the message")


@pytest.mark.skipif(not CHECKS_SLOWLY, reason="the switch is in builds with check_slow only")
def test_black_box__bytes_that_kill_smtpd__the_client_is_named(make_ostler, sink):
    ostler = make_poisoned(make_ostler, f"[127.0.0.1]:{sink.port}", "smtpd:killer@")
    with pytest.raises((OSError, smtplib.SMTPException)):
        ostler.send("killer@dest.test")
    wait_for(lambda: re.search(r"smtpd pid \d+ died with bytes of \[::ffff:127.0.0.1\] in hand", ostler.log()),
             what="the client's address in the log")
    wait_for(ostler.greets, what="another smtpd")
    ostler.send("good@dest.test")
    wait_for(lambda: sink.recipients() == ["good@dest.test"], what="other mail")
