"""A queue that is a copy of another one starts held: its mail is not delivered a second time.

Method: mail waits for a peer that is not there; the queue is copied, or marked, and started beside a peer that
takes everything. Nothing of the old mail may reach it before `ostler release ALL`.
"""
import json
import shutil
import subprocess
import urllib.request

from conftest import free_port, wait_for


def waiting(ostler, count):
    wait_for(lambda: len(ostler.queue()) == count, 30, f"{count} messages in the queue")


def status(ostler):
    return json.loads(ostler.tool("status", "--json").stdout)


def health(ostler):
    with urllib.request.urlopen(f"http://127.0.0.1:{ostler.admin_port}/healthz", timeout=10) as answer:
        return answer.read().decode()


def copy(source, target):
    """As rsync -a or cp -a would do."""
    subprocess.run(["cp", "-a", source.dir / "queue", target.dir / "queue"], check=True)


def fill(ostler, count=5):
    for i in range(count):
        ostler.send(f"old{i}@remote.test")
    wait_for(lambda: ostler.log().count("status=deferred") >= count, what="deferrals")


def check_held(ostler, sink, why, count=5):
    """Held over everything that would give out mail; new mail goes."""
    assert f"the queue is held: {why}" in ostler.log() and "ostler release ALL" in ostler.log()
    assert why in status(ostler)["held_as_copy"] and "release ALL" in health(ostler)
    assert {m["queue_name"] for m in ostler.queue()} == {"hold"}
    some = ostler.queue()[0]["queue_id"]
    for words in (["flush", "--id", some], ["release", some], ["requeue", some], ["requeue", "ALL"]):
        refused = ostler.tool(*words, check=False)
        assert refused.returncode == 69 and "release ALL" in refused.stderr, words
    ostler.tool("flush")
    ostler.send("new@remote.test")
    wait_for(lambda: "new@remote.test" in sink.recipients(), what="new mail")
    waiting(ostler, count)
    assert not [r for r in sink.recipients() if r.startswith("old")]


def test_raw_copy__starts_held_until_released(make_ostler, sink):
    source = make_ostler(f"[127.0.0.1]:{free_port()}")
    fill(source)
    held = source.queue()[0]["queue_id"]
    source.tool("hold", held)
    source.stop()
    target = make_ostler(f"[127.0.0.1]:{sink.port}", {"minimal_backoff_time": "1s"}, start=False)
    copy(source, target)
    target.start()
    check_held(target, sink, "its files are a copy")
    sink_before = len(sink.recipients())
    target.kill_tree()
    target.start()
    check_held(target, sink, "its files are a copy")
    target.tool("delete", next(m["queue_id"] for m in target.queue() if m["queue_id"] != held))
    waiting(target, 4)
    done = target.tool("release", "ALL")
    assert "Released from hold: 3 messages" in done.stderr and "still so: 1 message" in done.stderr
    target.tool("flush")  # released mail is due when it was due before
    wait_for(lambda: len([r for r in sink.recipients() if r.startswith("old")]) == 3, what="the released mail")
    assert "held_as_copy" not in status(target) and health(target) == "ok\n"
    waiting(target, 1)
    target.stop()
    target.start()
    waiting(target, 1)
    assert "Released from hold: 1 message" in target.tool("release", "ALL").stderr
    target.tool("flush")
    waiting(target, 0)
    assert len(sink.recipients()) >= sink_before + 5
    source.start()  # the original is no copy
    assert "held_as_copy" not in status(source)


def test_rename_and_restart__are_no_copy(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{free_port()}")
    fill(ostler)
    ostler.stop()
    (ostler.dir / "queue").rename(ostler.dir / "elsewhere")
    ostler.write_main({**ostler.values, "queue_directory": ostler.dir / "elsewhere",
                       "relayhost": f"[127.0.0.1]:{sink.port}"})
    ostler.start()
    assert "held_as_copy" not in status(ostler)
    ostler.tool("flush")
    waiting(ostler, 0)
    assert len(sink.recipients()) == 5


def test_restored__holds_for_one_start(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{free_port()}")
    fill(ostler)
    ostler.stop()
    ostler.write_main({**ostler.values, "relayhost": f"[127.0.0.1]:{sink.port}"})
    ostler.start(arguments=["--restored"])
    check_held(ostler, sink, "it is marked as a copy")
    assert not (ostler.dir / "queue/journal/copy").exists()
    ostler.kill("qmgr")
    wait_for(lambda: ostler.tool("status", check=False).returncode == 0, what="a new queue manager")
    check_held(ostler, sink, "it is marked as a copy")
    ostler.tool("release", "ALL")
    ostler.tool("flush")
    waiting(ostler, 0)
    assert len([r for r in sink.recipients() if r.startswith("old")]) == 5
