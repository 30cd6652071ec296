"""Disks that return errors, run full, write short or take seconds: what clients, operators and the queue see.

Goal: 'When a flush fails' and 'full and failing disks' of the store, with the real processes. Method: a preloaded
library (faults/faults.c) makes chosen calls on chosen files fail while mail is sent; then all is killed and
started again. Every message that got its 250 must arrive; nothing but 451 and 452 is said meanwhile; service
returns by itself. OSTLER_LONG=1 strikes more often.
"""
import json
import random
import smtplib
import time
import urllib.error
import urllib.request

import pytest
from conftest import LONG, wait_for
from disk_faults import (EIO, ENOSPC, EROFS, FDATASYNC, FLUSH, FSYNC, LIBRARY, OPEN, READ, RENAME, SEGMENTS,
                         UNLINK, WRITE, Faults)
from test_kill import Load, SETTINGS

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="built without tests")
SMALL = {**SETTINGS, "journal_segment_size": "1048576", "journal_size_min": "8388608",
         "queue_minfree": "1", "maximal_backoff_time": "1s"}
LARGE = "x" * 70 + "\r\n"


@pytest.fixture
def faults(tmp_path):
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if "pytest-of" not in str(parent):
            break
        parent.chmod(0o755)
    return Faults(tmp_path)


@pytest.fixture
def failing(make_ostler, sink, faults):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", SMALL, start=False)
    ostler.environment = faults.environment
    ostler.start()
    return ostler


def health(ostler):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ostler.admin_port}/healthz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()


def metric(ostler, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{ostler.admin_port}/metrics", timeout=10) as answer:
        line, = (x for x in answer.read().decode().splitlines() if x.startswith(f"ostler_{name} "))
    return float(line.split()[1])


def attempt(ostler, to, **options):
    """The code of the last reply."""
    try:
        ostler.send(to, **options)
        return 250
    except smtplib.SMTPResponseException as reply:
        return reply.smtp_code


def accepted_again(ostler, seconds=20):
    start = time.monotonic()
    wait_for(lambda: attempt(ostler, "again@dest.test") == 250, seconds, "mail is accepted again", 0.1)
    return time.monotonic() - start


def arrived(sink, addresses, seconds=60):
    wait_for(lambda: set(addresses) <= set(sink.recipients()), seconds, "what was acknowledged")


# --- the journal -----------------------------------------------------------------------------------------------

FAULTS = [("flush-eio", FLUSH, EIO), ("write-eio", WRITE, EIO), ("write-full", WRITE, ENOSPC),
          ("only-data-flush", FDATASYNC, EIO), ("read-only", WRITE | OPEN | RENAME | UNLINK, EROFS),
          ("new-segments", OPEN | FSYNC, ENOSPC)]


# Results, states and ends are refused too while mail is being delivered: they are kept and tried again.
# rules: F8 Q4 Q7 D64
@pytest.mark.parametrize("calls,error", [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_journal_fails__nothing_acknowledged_is_lost(failing, sink, faults, calls, error):
    loads = [Load(failing.port, f"f{n}") for n in range(3)]
    for load in loads:
        load.start()
    for _ in range(20 if LONG else 2):
        time.sleep(0.3)
        rule = faults.add(calls, SEGMENTS, error, skip=random.randrange(20))
        time.sleep(random.uniform(0.3, 0.8))
        struck = faults.struck(rule)
        faults.clear()
        accepted_again(failing)
        assert struck > 0 or (calls & OPEN)
    for load in loads:
        load.stopped.set()
    for load in loads:
        load.join(30)
    failing.kill_tree()
    failing.start()
    arrived(sink, [a for load in loads for a in load.acknowledged])
    assert {code for load in loads for code in load.refused} <= {451, 452}
    assert "panic" not in failing.log() and "killed by signal 11" not in failing.log()


def test_flush_fails__killed_at_once__refused_mail_was_never_acknowledged(failing, sink, faults):
    """The window between the failed flush and the cut: the page cache still has the lost batch."""
    failing.send("before@dest.test")
    wait_for(lambda: ": removed" in failing.log(), what="its end, durable")
    faults.add(WRITE, SEGMENTS, EIO, skip=1)  # the batch is written; the next segment is not
    faults.add(FLUSH, SEGMENTS, EIO)
    assert attempt(failing, "refused@dest.test") in (451, 452)
    failing.kill_tree()
    faults.clear()
    failing.start()
    failing.send("after@dest.test")
    arrived(sink, ["before@dest.test", "after@dest.test"])
    # It may arrive (its client will send it again): never was anything promised.
    assert sink.recipients().count("before@dest.test") == 1


def test_failing_disk__is_said_once_and_when_it_is_over(failing, faults):
    failing.send("a@dest.test")
    assert health(failing) == (200, "ok\n") and metric(failing, "accepts_mail") == 1
    faults.add(FLUSH | WRITE, SEGMENTS, EIO)
    assert attempt(failing, "b@dest.test") == 451
    wait_for(lambda: "new mail is refused: the journal cannot be written" in failing.log(), 5, "log line")
    code, text = health(failing)
    assert code == 503 and "the disk reports errors" in text
    assert metric(failing, "accepts_mail") == 0 and metric(failing, "journal_faulted") == 1
    assert json.loads(failing.tool("status", "--json").stdout)["trouble"] == text.strip()
    time.sleep(2)
    faults.clear()
    accepted_again(failing)
    wait_for(lambda: "new mail is accepted again" in failing.log(), 5, "log line")
    assert health(failing)[0] == 200 and metric(failing, "journal_faulted") == 0
    for line in ("new mail is refused", "new mail is accepted again", "write or flush failed",
                 "writing again, in a new segment"):
        assert failing.log().count(line) == 1, line


def test_flushes_that_fail_for_long__leave_no_files_behind(failing, faults):
    """Each retry makes a fresh segment; those that failed must not fill the disk."""
    journal = failing.dir / "queue/journal"
    failing.send("a@dest.test")
    faults.add(FDATASYNC, SEGMENTS, EIO)
    assert attempt(failing, "b@dest.test") == 451
    wait_for(lambda: faults.struck() >= 6, 20, "retries")  # after 0.1, 0.2, 0.4, ... seconds
    assert len(list(journal.glob("*.seg"))) <= 3
    faults.clear()
    accepted_again(failing)


def test_short_reads_and_writes__change_nothing(failing, sink, faults):
    faults.add(WRITE, "*/queue/*", bytes_max=700)
    faults.add(READ, "*/queue/*", bytes_max=4096)
    sent = [f"s{n}@dest.test" for n in range(5)]
    for address in sent:
        failing.send(address, body=LARGE * 4000)
    arrived(sink, sent)
    failing.kill_tree()
    failing.start()
    failing.send("after@dest.test")
    arrived(sink, ["after@dest.test"])
    assert faults.struck(0) > 500 and faults.struck(1) > 5
    assert all(content.count(b"x" * 70) == 4000 for _, rcpts, content in sink.messages
               if rcpts[0] in sent)


# --- reading ---------------------------------------------------------------------------------------------------

def test_read_error__message_stays_and_is_delivered_later(failing, sink, faults):
    sink.rcpt_replies["later@dest.test"] = ["450 4.2.0 not now"]
    failing.send("later@dest.test")
    wait_for(lambda: "status=deferred" in failing.log(), 10, "a deferral")
    failing.stop()
    failing.start()
    faults.add(READ, SEGMENTS, EIO)
    failing.tool("flush")
    wait_for(lambda: "cannot be read now" in failing.log(), 10, "log line")
    failing.send("other@dest.test")
    arrived(sink, ["other@dest.test"])
    assert json.loads(failing.tool("status", "--json").stdout)["messages"] >= 1
    assert "put on hold" not in failing.log()
    sink.rcpt_replies.clear()
    faults.clear()
    arrived(sink, ["later@dest.test"], 20)


def test_read_errors_at_start__the_queue_opens_when_they_end(failing, sink, faults):
    sink.rcpt_replies["kept@dest.test"] = ["450 4.2.0 not now"]
    failing.send("kept@dest.test")
    failing.stop()
    faults.add(READ | OPEN, SEGMENTS, EIO, times=3)
    failing.start(40)
    sink.rcpt_replies.clear()
    failing.tool("flush")
    arrived(sink, ["kept@dest.test"], 30)


# --- beside the journal ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("calls,error,code", [(WRITE, ENOSPC, 452), (FLUSH, EIO, 451), (RENAME, EIO, 451),
                                              (OPEN, ENOSPC, 452)])
def test_large_content_fails__only_that_message_is_refused(failing, sink, faults, calls, error, code):
    faults.add(calls, "*/large/*", error)
    assert attempt(failing, "big@dest.test", body=LARGE * 4000) == code
    failing.send("small@dest.test")
    faults.clear()
    failing.send("big2@dest.test", body=LARGE * 4000)
    arrived(sink, ["small@dest.test", "big2@dest.test"])
    assert "big@dest.test" not in sink.recipients()
    assert "ostlerd/qmgr" not in failing.log(), "the queue manager has died"
    wait_for(lambda: not list((failing.dir / "queue/large").iterdir()), 10, "an empty large/")


def test_checkpoint_fails__mail_goes_on(failing, sink, faults):
    faults.add(OPEN | WRITE | RENAME, "*/journal/index-*", ENOSPC)
    for n in range(60):
        failing.send(f"c{n}@dest.test", body=LARGE * 1500)
    arrived(sink, [f"c{n}@dest.test" for n in range(60)])
    wait_for(lambda: "cannot write a checkpoint" in failing.log(), 10, "log line")
    assert failing.log().count("cannot write a checkpoint") == 1 and health(failing)[0] == 200


@pytest.mark.parametrize("calls", [WRITE, FLUSH, OPEN])
def test_mailbox_disk_is_full__mail_is_deferred_and_delivered_later(failing, faults, calls):
    faults.add(calls, "*/mail/user/*", ENOSPC)
    failing.send("user@local.test")
    wait_for(lambda: "status=deferred" in failing.log(), 10, "a deferral")
    assert "dsn=4." in failing.log() and not failing.maildir("user")
    faults.clear()
    wait_for(lambda: failing.maildir("user"), 20, "the mail")
    assert len(failing.maildir("user")) == 1


def test_log_disk_is_full__mail_goes_on(failing, sink, faults):
    faults.add(WRITE, "*/maillog", ENOSPC)
    for n in range(20):
        failing.send(f"l{n}@dest.test")
    arrived(sink, [f"l{n}@dest.test" for n in range(20)])
    before = failing.log()
    faults.clear()
    failing.send("after@dest.test")
    arrived(sink, ["after@dest.test"])
    wait_for(lambda: "to=<l19@dest.test>" in failing.log(), 10, "lines that waited")
    assert "l19@dest.test" not in before


def test_start_on_a_full_disk__without_a_pid_file(make_ostler, sink, faults):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", SMALL)
    ostler.stop()
    ostler.environment = faults.environment
    faults.add(WRITE | OPEN, "*/pid/master.pid", ENOSPC)
    ostler.start()
    assert "pid/master.pid: No space left on device" in (ostler.dir / "stdout").read_text()
    ostler.send("a@dest.test")
    arrived(sink, ["a@dest.test"])


def test_disk_fails_and_no_queue_ids_are_left__clients_are_heard_and_refused(failing, sink, faults):
    """Queue IDs are leases and need the disk: without any, smtpd and pickup once were deaf for as long."""
    ostler = failing
    faults.add(FLUSH | WRITE, SEGMENTS, EIO)
    assert attempt(ostler, "first@dest.test") == 451
    for role in ("smtpd", "pickup"):
        ostler.kill(role)  # their successors have no queue ID left over
    wait_for(lambda: set(ostler.children()) >= {"smtpd", "pickup"}, 20, "new ones")
    start = time.monotonic()
    assert attempt(ostler, "second@dest.test") == 451
    refused = ostler.tool("-f", "me@client.test", "third@dest.test", check=False, program="sendmail")
    assert refused.returncode == 75 and "queue file write error" in refused.stderr
    assert time.monotonic() - start < 5
    faults.clear()
    accepted_again(ostler)
    arrived(sink, ["again@dest.test"])


def test_submission_by_sendmail__is_told(failing, sink, faults):
    faults.add(FLUSH | WRITE, SEGMENTS, EIO)
    attempt(failing, "trigger@dest.test")
    words = ("-f", "me@client.test", "submitted@dest.test")
    refused = failing.tool(*words, check=False, program="sendmail")
    assert refused.returncode == 75 and "queue file write error" in refused.stderr
    faults.clear()
    accepted_again(failing)
    failing.tool(*words, program="sendmail")
    arrived(sink, ["submitted@dest.test"])
    assert sink.recipients().count("submitted@dest.test") == 1


# --- slow ------------------------------------------------------------------------------------------------------

def test_flushes_take_seconds__mail_is_accepted_and_tools_answer(failing, sink, faults):
    failing.send("before@dest.test")
    faults.add(FDATASYNC, SEGMENTS, seconds=1.5)
    loads = [Load(failing.port, f"slow{n}") for n in range(8)]
    for load in loads:
        load.start()
    for _ in range(3):
        start = time.monotonic()
        assert health(failing)[0] == 200
        failing.tool("status")
        failing.queue()
        assert time.monotonic() - start < 1.2, "operators do not wait for flushes"
        time.sleep(1)
    faults.clear()
    for load in loads:
        load.stopped.set()
    for load in loads:
        load.join(30)
    acknowledged = [a for load in loads for a in load.acknowledged]
    assert len(acknowledged) >= 8 and not any(load.refused for load in loads)
    arrived(sink, acknowledged, 20)
    assert len(sink.recipients()) == len(set(sink.recipients())), "nothing is repeated"
    assert "warning" not in failing.log() and "timeout" not in failing.log()


def test_large_files_flush_slowly__small_mail_does_not_wait(failing, sink, faults):
    faults.add(FSYNC, "*/large/*", seconds=2)
    big = [Load(failing.port, f"big{n}", body=LARGE * 4000) for n in range(4)]
    for load in big:
        load.start()
    time.sleep(0.5)
    for n in range(5):
        start = time.monotonic()
        failing.send(f"small{n}@dest.test")
        assert time.monotonic() - start < 1
    for load in big:
        load.stopped.set()
    faults.clear()
    for load in big:
        load.join(30)
    arrived(sink, [f"small{n}@dest.test" for n in range(5)] + [a for load in big for a in load.acknowledged])


# --- killed meanwhile ------------------------------------------------------------------------------------------

def test_kill_in_a_loop_while_the_disk_fails__loses_nothing(failing, sink, faults):
    loads = [Load(failing.port, f"k{n}") for n in range(3)]
    for load in loads:
        load.start()
    for number in range(100 if LONG else 6):
        faults.add(random.choice((WRITE, FDATASYNC, FSYNC, WRITE | OPEN)), SEGMENTS,
                   random.choice((EIO, ENOSPC)), skip=random.randrange(30), times=random.choice((0, 1, 5)))
        time.sleep(random.uniform(0.1, 0.5))
        failing.kill_tree()
        faults.clear()
        failing.start(40)
        time.sleep(0.2)
    for load in loads:
        load.stopped.set()
    for load in loads:
        load.join(30)
    acknowledged = [a for load in loads for a in load.acknowledged]
    assert len(acknowledged) > 20
    arrived(sink, acknowledged)
    assert "panic" not in failing.log()
