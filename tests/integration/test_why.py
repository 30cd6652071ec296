"""What operators are told: why mail waits, how old it is, what the log says of it.

The comment above a test names the rules that it proves; tests/rules has the whole list.
"""
import gzip
import json
import os
import time

from conftest import free_port, wait_for

SLOW = {"minimal_backoff_time": "1000s", "maximal_backoff_time": "1000s"}


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_why__deferred_mail__by_id_address_domain_and_site(make_ostler):
    site = f"[127.0.0.1]:{free_port()}"
    ostler = make_ostler(site, SLOW)
    ostler.send("a@one.test")
    wait_for(lambda: [m["queue_name"] for m in ostler.queue()] == ["deferred"], what="deferral")
    queue_id = ostler.queue()[0]["queue_id"]
    for subject in (queue_id, "a@one.test"):
        out = ostler.tool("why", subject).stdout
        assert f"{queue_id}: deferred, from <sender@client.test>" in out
        assert f"to a@one.test by smtp:{site}" in out and "Connection refused" in out
        assert "next attempt in " in out
    message, last = lines(ostler.tool("why", "--json", queue_id))
    part, = message["waits"]
    assert part["cause"] == "deferred" and part["last_dsn"].startswith("4.4")
    assert 0 < part["next_attempt_time"] - time.time() < 1200
    assert last["complete"] is True
    out = ostler.tool("why", site).stdout
    assert "nothing waits for this site" in out and "1 message for it, 0 on hold" in out
    assert "1 message for it" in ostler.tool("why", "one.test", "--full").stdout
    # The host alone will do.
    assert "1 message for it, 0 on hold" in ostler.tool("why", "127.0.0.1", "--full").stdout
    ostler.tool("hold", queue_id)
    assert "it is on hold until" in ostler.tool("why", queue_id).stdout
    assert ostler.tool("why", "b@one.test", check=False).returncode == 66
    assert ostler.tool("why", check=False).returncode == 64


# rules: O62 O63 O64
def test_shape__by_destination_and_sender__counts_recipients_by_age(make_ostler):
    ostler = make_ostler(f"[127.0.0.1]:{free_port()}", SLOW)
    ostler.send(["a@One.test", "b@one.test", "c@two.test"])
    ostler.send("d@one.test", sender="x@other.test")
    wait_for(lambda: [m["queue_name"] for m in ostler.queue()] == ["deferred"] * 2, what="deferral")
    table = [line.split() for line in ostler.tool("shape").stdout.splitlines()]
    assert table[0] == ["T", "5", "10", "20", "40", "80", "160", "320", "640", "1280", "1280+"]
    assert table[1:] == [["TOTAL", "4", "4"] + ["0"] * 9, ["one.test", "3", "3"] + ["0"] * 9,
                         ["two.test", "1", "1"] + ["0"] * 9]
    rows = lines(ostler.tool("shape", "-s", "-b", "3", "-t", "1", "-l", "--json", "deferred"))
    assert [(r["domain"], r["total"], len(r["ages"])) for r in rows] == [
        ("TOTAL", 4, 3), ("client.test", 3, 3), ("other.test", 1, 3)]
    assert lines(ostler.tool("shape", "--json", "hold"))[0]["total"] == 0
    for words in (["-b", "0"], ["-t", "x"], ["nosuch"]):
        assert ostler.tool("shape", *words, check=False).returncode == 64, words


def test_trace__id_address_message_id__also_of_rotated_logs(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", SLOW)
    sink.rcpt_replies["a@one.test"] = ["450 4.2.0 later", "550 5.1.1 no such user"]
    ostler.send("a@one.test", subject="first")
    wait_for(lambda: [m["queue_name"] for m in ostler.queue()] == ["deferred"], what="deferral")
    queue_id = ostler.queue()[0]["queue_id"]
    ostler.send("b@one.test", subject="another")
    wait_for(lambda: "b@one.test" in sink.recipients(), what="delivery")
    ostler.tool("requeue", queue_id)
    wait_for(lambda: any(b"no such user" in content for _, _, content in sink.messages), what="report")
    wait_for(lambda: "sender non-delivery notification" in ostler.log(), what="log")
    out = ostler.tool("trace", queue_id).stdout
    assert "status=deferred" in out and "requeued as" in out and "status=bounced" in out
    assert "to=<sender@client.test>" in out and "b@one.test" not in out
    message_id = next(line for line in out.splitlines() if "message-id=" in line).split("message-id=<")[1][:-1]
    # All but the newest half is in a rotated and compressed log.
    text = ostler.log().splitlines(keepends=True)
    half = len(text) // 2
    (ostler.dir / "maillog.1.gz").write_bytes(gzip.compress("".join(text[:half]).encode()))
    (ostler.dir / "copy").write_text("".join(text[half:]))
    (ostler.dir / "maillog.1.gz").rename(ostler.dir / "copy.1.gz")
    os.utime(ostler.dir / "copy.1.gz", (1, 1))
    for subject in (queue_id, "A@one.test", message_id):
        again = ostler.tool("trace", "--log", ostler.dir / "copy", subject).stdout.splitlines()
        assert set(out.splitlines()) <= set(again), subject
        assert again == [line for line in (l.rstrip("\n") for l in text) if line in set(again)]
    rows = lines(ostler.tool("trace", "--json", queue_id))
    assert rows[0]["queue_id"] == queue_id
    assert ostler.tool("trace", "nobody@x.test", check=False).returncode == 66
    assert ostler.tool("trace", "--log", "/nonexistent/log", "x@y", check=False).returncode == 66


def test_show__attempts__with_times_hosts_and_replies(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s"})
    sink.rcpt_replies["a@one.test"] = ["450 4.2.0 later", "450 4.2.1 later still"]
    ostler.send("a@one.test")
    wait_for(lambda: "later still" in ostler.log(), what="two attempts")
    ostler.tool("hold", ostler.queue()[0]["queue_id"])
    out = ostler.tool("show", ostler.queue()[0]["queue_id"]).stdout
    before, attempts = out.split("attempts, as the log has them:\n")
    rows = attempts.splitlines()
    assert "a@one.test" in before and len(rows) >= 2
    assert "dsn=4.2.0, status=deferred" in rows[0] and "said: 450 4.2.0 later" in rows[0]
    assert "dsn=4.2.1" in rows[1] and all(f"]:{sink.port}, " in row and "to=<a@one.test>" in row for row in rows)
