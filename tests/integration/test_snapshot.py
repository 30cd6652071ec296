"""`ostler snapshot` of an instance under load: a copy that has all that was acknowledged, and doubles nothing.

Method: mail goes through an instance while snapshots are made; the copy is started beside it. Every recipient
that was acknowledged before the snapshot began was delivered by the original, or is in the copy.
"""
import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time

from conftest import BUILD, wait_for
from test_copy import status, waiting

SMALL = {"journal_segment_size": "1048576", "journal_size_min": "8388608", "queue_minfree": "0"}
LATER = {"transport_maps": "inline:{ later.test=retry: }", "minimal_backoff_time": "1d",
         "maximal_backoff_time": "1d", **SMALL}


def take(ostler, target, *words):
    return ostler.tool("snapshot", *words, target, check=False)


def start_copy(make_ostler, directory, relayhost, settings=None):
    copy = make_ostler(relayhost, {**(settings or LATER), "queue_directory": directory}, start=False)
    copy.start()
    return copy


def test_snapshot__under_load__has_what_was_acknowledged(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", LATER)
    acknowledged, stop = [], threading.Event()

    def client(name):
        number = 0
        while not stop.is_set():
            domain = "later.test" if number % 3 else "remote.test"
            size = 200_000 if number % 7 == 0 else 2_000
            address = f"{name}-{number}@{domain}"
            ostler.send(address, body=("x" * 70 + "\r\n") * (size // 72))
            acknowledged.append(address)
            number += 1

    threads = [threading.Thread(target=client, args=(f"c{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(acknowledged) > 150, 60, "load")
        before = list(acknowledged)
        made = take(ostler, ostler.dir / "copy")
        after = len(acknowledged)
        wait_for(lambda: len(acknowledged) > after + 20, 30, "mail after the snapshot")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert made.returncode == 0, made.stderr
    assert not list(ostler.dir.glob("copy.tmp-*"))
    log = ostler.log()
    assert "snapshot for process" in log and "complete after" in log
    ostler.stop()
    delivered = set(sink.recipients())
    seen = len(sink.recipients())
    copy = start_copy(make_ostler, ostler.dir / "copy", f"[127.0.0.1]:{sink.port}",
                      {**SMALL, "minimal_backoff_time": "1s"})
    assert "it is marked as a copy" in status(copy)["held_as_copy"]
    held = {r["address"] for m in copy.queue() for r in m["recipients"]}
    assert set(before) <= delivered | held
    copy.tool("flush")
    copy.send("new@remote.test")
    wait_for(lambda: "new@remote.test" in sink.recipients(), what="new mail in the copy")
    time.sleep(1)
    assert len(sink.recipients()) == seen + 1  # nothing else was given out
    assert "damage" not in copy.log() and not list((ostler.dir / "copy/corrupt").iterdir())
    some = next(m for m in copy.queue() if m["message_size"] > 150_000)
    assert "x" * 70 in copy.tool("show", some["queue_id"], "--content").stdout
    copy.tool("release", "ALL")
    copy.tool("flush")
    waiting(copy, 0)
    assert held <= set(sink.recipients())


def test_snapshot__of_a_held_copy__is_held_too(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", LATER)
    ostler.send("a@later.test")
    waiting(ostler, 1)
    assert take(ostler, ostler.dir / "one").returncode == 0
    first = start_copy(make_ostler, ostler.dir / "one", f"[127.0.0.1]:{sink.port}")
    first.send("b@later.test")
    waiting(first, 2)
    assert take(first, ostler.dir / "two").returncode == 0
    second = start_copy(make_ostler, ostler.dir / "two", f"[127.0.0.1]:{sink.port}")
    waiting(second, 2)
    assert {m["queue_name"] for m in second.queue()} == {"hold"}


def test_snapshot__bad_targets__are_refused(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", LATER)
    full = ostler.dir / "full"
    full.mkdir()
    (full / "file").write_text("mine")
    assert "not empty" in take(ostler, full).stderr
    assert take(ostler, ostler.dir / "none/below").returncode == 73
    assert take(ostler, full, "--time-limit", "0").returncode == 64
    empty = ostler.dir / "empty"
    empty.mkdir()
    assert take(ostler, f"{empty}/").returncode == 0 and (empty / "journal").is_dir()
    ostler.stop()
    assert take(ostler, ostler.dir / "down").returncode == 69
    assert (full / "file").read_text() == "mine" and not list(ostler.dir.glob("*.tmp-*"))


def slow_snapshot(ostler, target, *words):
    """One that is stopped while it copies."""
    tool = subprocess.Popen([BUILD / "ostler", "-c", ostler.etc, "snapshot", *words, target],
                            stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(target.parent.glob(f"{target.name}.tmp-*")), 10, "the copy's directory")
    os.kill(tool.pid, signal.SIGSTOP)
    return tool


def big(ostler):
    """Enough that a copy takes longer than it takes to see it."""
    body = ("x" * 70 + "\r\n") * 60_000
    for i in range(40):
        ostler.send(f"big{i}@later.test", body=body)
    waiting(ostler, 40)


def test_snapshot__that_is_killed_or_too_slow__frees_the_files(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", LATER)
    big(ostler)
    tool = slow_snapshot(ostler, ostler.dir / "killed")
    assert "another snapshot" in take(ostler, ostler.dir / "second").stderr
    ostler.tool("delete", "ALL")
    waiting(ostler, 0)
    assert len(list((ostler.dir / "queue/large").iterdir())) == 40  # kept for the copy
    tool.kill()
    tool.wait()
    wait_for(lambda: "given up, its tool is gone" in ostler.log(), what="log line")
    wait_for(lambda: not list((ostler.dir / "queue/large").iterdir()), what="files freed")
    assert not (ostler.dir / "killed").exists() and list(ostler.dir.glob("killed.tmp-*/journal"))
    (ostler.dir / "killed.tmp-x").mkdir()  # not one of ours
    big(ostler)
    tool = slow_snapshot(ostler, ostler.dir / "slow", "--time-limit", "1")
    wait_for(lambda: "given up, its time is over" in ostler.log(), what="log line")
    os.kill(tool.pid, signal.SIGCONT)
    assert "took too long" in tool.communicate(timeout=60)[1] and tool.returncode == 75
    assert not (ostler.dir / "slow").exists() and not list(ostler.dir.glob("slow.tmp-*"))
    assert take(ostler, ostler.dir / "third").returncode == 0
    left = next(ostler.dir.glob("killed.tmp-[0-9]*"))
    lock = os.open(left, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # as if its snapshot lived
    assert take(ostler, ostler.dir / "killed").returncode == 0 and left.exists()
    os.close(lock)
    shutil.rmtree(ostler.dir / "killed")
    assert take(ostler, ostler.dir / "killed").returncode == 0
    assert [p.name for p in ostler.dir.glob("killed*.tmp-*")] == ["killed.tmp-x"]


def submit(ostler, to):
    subprocess.run([BUILD / "sendmail", "-C", ostler.etc, "-f", "a@client.test", to],
                   input="Subject: x\n\nhello\n", text=True, check=True)


def test_snapshot__mail_in_maildrop__is_in_it_and_held(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", LATER)
    ostler.stop()
    submit(ostler, "early@later.test")
    maildrop = ostler.dir / "queue/maildrop"
    assert len(list(maildrop.iterdir())) == 1
    ostler.start()
    pickup = ostler.children()["pickup"]
    for pid in pickup:
        os.kill(pid, signal.SIGSTOP)
    name = maildrop / ("0" * 31 + "A")
    waiting(ostler, 1)
    name.write_bytes(b"not what sendmail writes")
    tool = subprocess.Popen([BUILD / "ostler", "-c", ostler.etc, "snapshot", ostler.dir / "copy"],
                            stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    assert tool.poll() is None  # it waits
    for pid in pickup:
        os.kill(pid, signal.SIGCONT)
    said = tool.communicate(timeout=30)[1]
    assert tool.returncode == 0 and "1 messages in maildrop/ are not taken" in said
    copy = start_copy(make_ostler, ostler.dir / "copy", f"[127.0.0.1]:{sink.port}")
    waiting(copy, 1)
    assert copy.queue()[0]["queue_name"] == "hold"


def test_snapshot__segment_file_shorter_than_a_segment__is_copied(make_ostler, sink):
    """As a crash leaves one that was being removed: what is missing is of no batch."""
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", LATER)
    ostler.send("a@later.test")
    waiting(ostler, 1)
    ostler.stop()
    first = next(f for f in sorted((ostler.dir / "queue/journal").glob("*.seg"))
                 if b"a@later.test" in f.read_bytes())
    os.truncate(first, 524288)
    ostler.start()
    waiting(ostler, 1)
    made = take(ostler, ostler.dir / "copy")
    assert made.returncode == 0, made.stderr
    assert first.stat().st_size == 524288  # it was in force
    assert (ostler.dir / "copy/journal" / first.name).stat().st_size == 1048576
    copy = start_copy(make_ostler, ostler.dir / "copy", f"[127.0.0.1]:{sink.port}")
    waiting(copy, 1)
    assert "damage" not in copy.log() + ostler.log()
