"""ostler import and export: a Postfix queue, Maildirs and files enter the queue once, whatever is interrupted."""
import fcntl
import json
import os
import pathlib
import pwd
import signal
import subprocess
import time

import pytest
from conftest import BUILD, free_port, wait_for
from test_postfix import make_postfix, needs_postfix  # noqa: F401: a fixture

NEXT_HOP_DOWN = {"minimal_backoff_time": "1h", "maximal_backoff_time": "1h"}
ARRIVAL = int(time.time()) - 86400


def record(kind, data=b""):
    length, out, data = len(data), kind.encode(), data if isinstance(data, bytes) else data.encode()
    while True:
        out += bytes([length & 127 | (128 if length > 127 else 0)])
        length >>= 7
        if length == 0:
            return out + data


def queue_file(number, recipients=None, content=b"Subject: x\n\nhello\n", sender="s@client.test", flags=0,
               attributes=(), arrival=None):
    """recipients: records, [("R", address), ("D", address), ("O", ...), ...]."""
    arrival = arrival or ARRIVAL + number
    envelope = record("T", f"{arrival} {number % 1000000}".encode())
    envelope += b"".join(record("A", a.encode()) for a in attributes) + record("S", sender.encode())
    for kind, value in recipients or [("R", f"r{number}@remote.test")]:
        envelope += record(kind, value.encode())
    envelope += record("p", b"%15d" % 0) + record("M")
    body = b"".join(record("N", line) for line in content.split(b"\n")[:-1])
    size = record("C", b"%15d %15d %15d %15d %15d %15d" % (len(body), 97 + len(envelope), 1, 0, len(body), flags))
    return size + envelope + body + record("X") + record("E")


class Queue:
    """The directory of a Postfix that does not run."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        for name in ("incoming", "active", "deferred", "hold", "maildrop", "pid"):
            (self.dir / name).mkdir(parents=True)
        (self.dir / "pid/master.pid").write_text("1\n")

    def put(self, name, data, mode=0o700):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
        return path


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "postfix")


def run_import(instance, *words, check=True):
    done = instance.tool("import", "--json", *words, check=False)
    if check:
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout else {}, done


def shown(instance, number):
    """What the queue manager knows of a message."""
    instance.tool("export", "--output", instance.dir / "look", "--force", number)
    return json.loads((instance.dir / "look" / f"{number}.json").read_text())


# --- a Postfix queue ---------------------------------------------------------------------------------

# rules: R28
def test_import__postfix_queue__content_and_open_recipients_arrive(ostler, sink, queue):
    content = b"Received: by mx id A1\nSubject: x\n\n.dot\n\xe4 8bit\n" + b"x" * 900 + b"\n\nend\n"
    queue.put("deferred/A/A1", queue_file(1, [("R", "one@remote.test"), ("D", "two@remote.test"),
                                              ("R", "three@remote.test")], content))
    queue.put("incoming/B2", queue_file(2))
    queue.put("active/C3", queue_file(3, sender=""))
    queue.put("deferred/D/E/D4", queue_file(4, [("D", "over@remote.test")]))
    summary, _ = run_import(ostler, queue.dir)
    assert (summary["imported"], summary["recipients"], summary["finished"]) == (3, 4, 1)
    wait_for(lambda: len(sink.recipients()) == 4, what="delivery")
    assert sorted(sink.recipients()) == ["one@remote.test", "r2@remote.test", "r3@remote.test",
                                         "three@remote.test"]
    assert content.replace(b"\n", b"\r\n") in [m[2] for m in sink.messages]
    assert sorted(m[0] for m in sink.messages)[0] == ""
    wait_for(lambda: ostler.queue() == [], what="empty queue")
    # Again, after all was delivered.
    summary, _ = run_import(ostler, queue.dir)
    assert (summary["imported"], summary["already_imported"]) == (0, 3)
    time.sleep(0.5)
    assert len(sink.recipients()) == 4


# rules: O31
def test_import__envelope__is_kept(make_ostler, queue):
    instance = make_ostler(f"[127.0.0.1]:{free_port()}", NEXT_HOP_DOWN)
    queue.put("hold/A1", queue_file(
        7, [("A", "dsn_orig_rcpt=rfc822;first@x.test"), ("A", "notify_flags=10"), ("O", "orig@remote.test"),
            ("R", "now@remote.test")], flags=7, sender="ä@client.test",
        attributes=("encoding=8bit", "envelope_id=my id", "ret_flags=2")))
    run_import(instance, queue.dir)
    (message,) = instance.queue()
    assert message["queue_name"] == "hold" and message["arrival_time"] == ARRIVAL + 7
    known = shown(instance, message["queue_id"])
    assert known["arrival_time_us"] == (ARRIVAL + 7) * 1000000 + 7
    assert known["envid"] == "my id" and known["ret"] == "HDRS"
    assert known["smtputf8"] and known["body_8bit"] and known["sender"] == "ä@client.test"
    assert known["recipients"] == [{"address": "now@remote.test", "orig_address": "orig@remote.test",
                                    "state": "open", "orcpt": "rfc822;first@x.test",
                                    "notify": "SUCCESS,DELAY"}]
    instance.tool("release", "ALL")
    wait_for(lambda: [m["queue_name"] for m in instance.queue()] == ["deferred"], what="release")


def test_import__mail_for_an_alias__is_forwarded_like_any_other(make_ostler, sink, queue):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {
        "alias_maps": "inline:{ { list = a@dest.test, b@dest.test } }", "myorigin": "local.test"})
    queue.put("deferred/A/A1", queue_file(1, [("R", "list@local.test")]))
    run_import(ostler, queue.dir)
    wait_for(lambda: len(sink.recipients()) == 2, what="copies")
    assert sorted(sink.recipients()) == ["a@dest.test", "b@dest.test"]


def test_import__damaged_files__are_named_and_skipped(ostler, sink, queue):
    queue.put("deferred/A1", queue_file(1))
    queue.put("deferred/CUT", queue_file(2)[:-2])
    queue.put("incoming/NEW", queue_file(3), 0o600)
    queue.put("deferred/ODD", b"this is no queue file")
    queue.put("deferred/REDIRECT", queue_file(4, [("R", "r@remote.test"), (">", "other@remote.test")]))
    summary, done = run_import(ostler, queue.dir, check=False)
    assert done.returncode == 65
    assert summary["imported"] == 1 and summary["skipped"] == 4
    reasons = {p["file"]: p["reason"] for p in summary["problems"]}
    assert "not fully written" in reasons["deferred/CUT"]
    assert "execute permission" in reasons["incoming/NEW"]
    assert "redirect" in reasons["deferred/REDIRECT"]
    assert all(name in done.stderr for name in reasons) and len(reasons) == 4
    wait_for(lambda: sink.recipients() == ["r1@remote.test"], what="the good one")


@pytest.mark.parametrize("take", [lambda f: fcntl.flock(f, fcntl.LOCK_EX), lambda f: fcntl.lockf(f, fcntl.LOCK_EX)])
def test_import__queue_in_use__is_refused(ostler, sink, queue, take):
    queue.put("deferred/A1", queue_file(1))
    with open(queue.dir / "pid/master.pid", "r+") as file:
        take(file)
        _, done = run_import(ostler, queue.dir, check=False)
        assert done.returncode == 75 and "in use" in done.stderr
    assert ostler.queue() == [] and sink.messages == []
    run_import(ostler, queue.dir)


def test_import__maildrop__is_completed_like_mail_of_a_user(ostler, sink, queue):
    data = (record("T", b"1700000000 5") + record("A", b"rewrite_context=local") + record("F", b"The User") +
            record("S", b"user") + record("M") + record("N", b"Subject: x") + record("N") + record("N", b"text") +
            record("X") + record("R", b"r@remote.test") + record("E"))
    queue.put("maildrop/A1", data)
    run_import(ostler, queue.dir)
    wait_for(lambda: sink.messages, what="delivery")
    sender, _, content = sink.messages[0]
    assert sender == "user@ostler.test"
    assert b"Message-ID:" in content.replace(b"Message-Id", b"Message-ID") and b"The User" in content


def test_import__not_a_queue_or_no_instance__is_said(ostler, queue, tmp_path):
    _, done = run_import(ostler, tmp_path / "nothing", check=False)
    assert done.returncode == 66
    (tmp_path / "empty").mkdir()
    _, done = run_import(ostler, tmp_path / "empty", check=False)
    assert done.returncode == 66 and "not a Postfix queue" in done.stderr
    queue.put("deferred/A1", queue_file(1))
    ostler.stop()
    _, done = run_import(ostler, queue.dir, check=False)
    assert done.returncode == 69 and "down" in done.stderr
    ostler.start()
    summary, _ = run_import(ostler, queue.dir)
    assert summary["imported"] == 1
    assert ostler.tool("import", "--help").stdout.startswith("usage: ostler import")
    assert ostler.tool("import", check=False).returncode == 64
    assert ostler.tool("import", "--maildir", str(tmp_path), check=False).returncode == 64


# --- interruptions -----------------------------------------------------------------------------------

def start_import(instance, directory):
    return subprocess.Popen([BUILD / "ostler", "-c", instance.etc, "import", "--json", directory],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.15, 0.2, 0.3, 0.5])
def test_import__killed_anywhere__nothing_lost_or_doubled(ostler, sink, queue, delay):
    for i in range(1500):
        queue.put(f"deferred/{i % 10}/Q{i}", queue_file(i))
    process = start_import(ostler, queue.dir)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    summary, done = run_import(ostler, queue.dir)
    assert summary["imported"] + summary["resumed"] + summary["already_imported"] >= 1500
    wait_for(lambda: ostler.queue() == [] and len(sink.recipients()) >= 1500, 60, "all deliveries")
    assert sorted(sink.recipients()) == sorted(f"r{i}@remote.test" for i in range(1500))


def test_import__queue_manager_killed_under_it__nothing_lost_or_doubled(make_ostler, queue):
    instance = make_ostler(f"[127.0.0.1]:{free_port()}", NEXT_HOP_DOWN)
    for i in range(3000):
        queue.put(f"hold/Q{i}", queue_file(i))
    process = start_import(instance, queue.dir)
    for _ in range(3):
        time.sleep(0.1)
        instance.kill("qmgr")
    process.communicate(timeout=60)

    def again():
        return run_import(instance, queue.dir, check=False)[1].returncode == 0
    wait_for(again, 30, "an import without a fault", step=0.5)
    keys = [m["import_key"] for m in instance.queue()]
    assert (len(keys), len(set(keys))) == (3000, 3000)


def held(instance, key, name="hold"):
    return [m for m in instance.queue() if m.get("import_key") == key and m["queue_name"] == name]


def test_import__begun_and_in_the_queue__is_released_not_doubled(make_ostler, queue):
    """The ledger of a tool that died between its submission and `kept`."""
    instance = make_ostler(f"[127.0.0.1]:{free_port()}", NEXT_HOP_DOWN)
    queue.put("hold/A1", queue_file(1))
    ledger = instance.dir / "ledger"
    run_import(instance, "--ledger", ledger, queue.dir)
    (message,) = instance.queue()
    lines = ledger.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["ostler-import-ledger", "begin", "kept", "free"]
    key = message["import_key"]
    assert lines[1] == f"begin {key} hold" and lines[2] == f"kept {key} {message['queue_id']}"
    # As if it had died right behind `begin`, with a torn line; and the mail is to be released.
    ledger.write_text(f"{lines[0]}\nbegin {key} release\nkept {key} 3j")
    summary, _ = run_import(instance, "--ledger", ledger, queue.dir)
    assert (summary["resumed"], summary["imported"], summary["already_imported"]) == (1, 0, 1)
    wait_for(lambda: held(instance, key, "deferred"), what="release")
    assert len(instance.queue()) == 1
    # The same where nothing had come in: it is imported.
    instance.tool("delete", "ALL")
    wait_for(lambda: instance.queue() == [], what="removal")
    instance.stop()
    instance.start()
    ledger.write_text(f"{lines[0]}\nbegin {key} release\n")
    summary, _ = run_import(instance, "--ledger", ledger, queue.dir)
    assert summary["imported"] == 1 and len(instance.queue()) == 1


def test_import__twice_in_the_queue__loses_one(make_ostler, queue):
    """As when queue managers die between a killed import's last mail and its successor's first."""
    instance = make_ostler(f"[127.0.0.1]:{free_port()}", NEXT_HOP_DOWN)
    queue.put("hold/A1", queue_file(1))
    run_import(instance, "--ledger", instance.dir / "one", queue.dir)
    instance.kill("qmgr")
    wait_for(lambda: instance.tool("queue", check=False).returncode == 0, what="a new queue manager")
    run_import(instance, "--ledger", instance.dir / "two", queue.dir)
    key, other = [m["import_key"] for m in instance.queue()]
    assert key == other
    (instance.dir / "three").write_text(f"ostler-import-ledger 1\nbegin {key} hold\n")
    summary, _ = run_import(instance, "--ledger", instance.dir / "three", queue.dir)
    assert summary["resumed"] == 1 and len(instance.queue()) == 1


def test_import__same_key_under_way__is_taken_once(make_ostler, queue):
    """A second import that knows nothing of the first: the queue manager does."""
    instance = make_ostler(f"[127.0.0.1]:{free_port()}", NEXT_HOP_DOWN)
    queue.put("hold/A1", queue_file(1))
    for number in range(2):
        run_import(instance, "--ledger", instance.dir / f"ledger{number}", queue.dir)
    ids = [(instance.dir / f"ledger{n}").read_text().splitlines()[2] for n in range(2)]
    assert ids[0] == ids[1] and len(instance.queue()) == 1


# rules: L10
def test_import__held_at_arrival__stays_held_over_a_crash(make_ostler, sink, queue):
    instance = make_ostler(f"[127.0.0.1]:{sink.port}")
    for i in range(20):
        queue.put(f"hold/Q{i}", queue_file(i))
    run_import(instance, queue.dir)
    instance.kill_tree()
    instance.process = None
    instance.start()
    wait_for(lambda: [m["queue_name"] for m in instance.queue()] == ["hold"] * 20, what="hold")
    instance.kill("qmgr")
    wait_for(lambda: instance.tool("release", "ALL", check=False).returncode == 0, what="a new queue manager")
    wait_for(lambda: len(sink.recipients()) == 20, what="release")


def test_import__released_right_behind_a_crash__none_stays_held(ostler, sink, queue):
    """The new queue manager has not read them again: only their bytes say that they are on hold."""
    for i in range(3000):
        queue.put(f"hold/Q{i}", queue_file(i))
    run_import(ostler, queue.dir)
    ostler.kill("qmgr")
    wait_for(lambda: ostler.tool("release", "ALL", check=False).returncode == 0, what="a new queue manager",
             step=0.001)
    wait_for(lambda: len(sink.recipients()) == 3000, 40, what="release of all")


def test_import__killed_with_mail_on_its_way__none_comes_in_behind_it(make_ostler, queue):
    """pickup reads a whole submission whose sender has died: its successor may have looked already."""
    instance = make_ostler(f"[127.0.0.1]:{free_port()}", NEXT_HOP_DOWN)
    for i in range(10):
        queue.put(f"hold/Q{i}", queue_file(i))
    (pickup,) = instance.children()["pickup"]
    os.kill(pickup, signal.SIGSTOP)
    process = start_import(instance, queue.dir)
    wait_for(lambda: "begin" in (instance.dir / "queue/import.ledger").read_text()
             if (instance.dir / "queue/import.ledger").exists() else False, what="the ledger")
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    os.kill(pickup, signal.SIGCONT)
    time.sleep(0.5)
    assert instance.queue() == []
    summary, _ = run_import(instance, queue.dir)
    assert summary["imported"] == 10 and len(instance.queue()) == 10


def test_import__damaged_ledger__is_refused(ostler, queue):
    queue.put("deferred/A1", queue_file(1))
    ledger = ostler.dir / "ledger"
    run_import(ostler, "--ledger", ledger, queue.dir)
    lines = ledger.read_text().splitlines()
    ledger.write_text("\n".join([lines[0], "begin x", *lines[1:], ""]))
    _, done = run_import(ostler, "--ledger", ledger, queue.dir, check=False)
    assert done.returncode == 65 and "line 2 is damaged" in done.stderr
    ledger.write_text("something else that is longer than a title\n")
    assert run_import(ostler, "--ledger", ledger, queue.dir, check=False)[1].returncode == 65
    assert ledger.read_text().startswith("something else")


# rules: O12
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_import__another_user__may_not(ostler, sink, queue):
    queue.put("deferred/A1", queue_file(1), 0o755)
    for path in (queue.dir, *queue.dir.parents):
        if path.stat().st_mode & 0o001 == 0 and str(path).startswith("/tmp/pytest"):
            path.chmod(0o755)
    nobody = pwd.getpwnam("nobody")
    ledger = "/var/tmp/" + f"ledger-{os.getpid()}"
    done = subprocess.run([BUILD / "ostler", "-c", ostler.etc, "import", "--ledger", ledger, queue.dir],
                          capture_output=True, text=True, user=nobody.pw_uid, group=nobody.pw_gid)
    pathlib.Path(ledger).unlink(missing_ok=True)
    assert done.returncode == 77 and "may import" in done.stderr, done.stderr
    assert ostler.queue() == [] and sink.messages == []


# --- Maildirs and files ------------------------------------------------------------------------------

def test_import__maildir_and_files__once(ostler, sink, tmp_path):
    for name, text in (("new/1.a", "Subject: one\n\nfirst\n"), ("cur/2.b:2,S", "Subject: two\n\nsecond\n")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    words = ("--from", "s@client.test", "--to", "a@remote.test,B <b@remote.test>")
    summary, _ = run_import(ostler, "--maildir", tmp_path, *words)
    assert (summary["imported"], summary["recipients"]) == (2, 4)
    wait_for(lambda: len(sink.recipients()) == 4, what="delivery")
    assert all(b"Received: " in m[2] for m in sink.messages)
    (tmp_path / "new/1.a").rename(tmp_path / "cur/1.a:2,S")
    assert run_import(ostler, "--maildir", tmp_path, *words)[0]["already_imported"] == 2
    # Another envelope is another message; so is a file of another name.
    one, two = tmp_path / "one.eml", tmp_path / "two.eml"
    for path in (one, two):
        path.write_text("Subject: file\n\nbody\n")
    assert run_import(ostler, "--eml", one, two, "--from", "<>", "--to", "c@remote.test")[0]["imported"] == 2
    assert run_import(ostler, "--eml", one, two, "--from", "<>", "--to", "c@remote.test")[0]["imported"] == 0
    assert run_import(ostler, "--eml", one, "--from", "<>", "--to", "d@remote.test")[0]["imported"] == 1
    assert run_import(ostler, "--hold", "--eml", one, "--from", "ä@client.test", "--to", "e@remote.test")[0]["imported"]
    (message,) = [m for m in ostler.queue() if m["queue_name"] == "hold"]
    assert shown(ostler, message["queue_id"])["smtputf8"]
    wait_for(lambda: len(sink.recipients()) == 7, what="delivery of the files")


# --- export ------------------------------------------------------------------------------------------

# rules: O60
def test_export__all__content_and_envelope_are_there(make_ostler, queue):
    instance = make_ostler(f"[127.0.0.1]:{free_port()}", NEXT_HOP_DOWN)
    content = b"Subject: \xff\xfe\n\n\0binary\n" + bytes(b for b in range(256) if b not in (10, 13)) + b"\n"
    large = b"Subject: large\n\n" + (b"y" * 70 + b"\n") * 5000
    queue.put("hold/A1", queue_file(1, content=content))
    queue.put("hold/B2", queue_file(2, content=large))
    queue.put("deferred/C3", queue_file(3))
    run_import(instance, queue.dir)
    wait_for(lambda: sorted(m["queue_name"] for m in instance.queue()) == ["deferred", "hold", "hold"],
             what="deferral")
    out = instance.dir / "out"
    done = instance.tool("export", "--json", "--output", out, "ALL")
    assert json.loads(done.stdout) == {"written": 3, "failed": 0, "unknown": 0}
    ids = sorted(m["queue_id"] for m in instance.queue())
    assert sorted(p.name for p in out.iterdir()) == sorted(f"{i}.{s}" for i in ids for s in ("eml", "json"))
    contents = {(out / f"{i}.eml").read_bytes() for i in ids}
    assert contents == {c.replace(b"\n", b"\r\n") for c in (content, large, b"Subject: x\n\nhello\n")}
    envelopes = {e["recipients"][0]["address"]: e for e in
                 (json.loads((out / f"{i}.json").read_text()) for i in ids)}
    assert [envelopes[f"r{n}@remote.test"]["hold"] for n in (1, 2, 3)] == [True, True, False]
    tried = envelopes["r3@remote.test"]
    assert tried["attempts"] >= 0 and "onnect" in tried["recipients"][0]["delay_reason"]
    assert tried["sender"] == "s@client.test" and "body_base64" not in tried
    # Nothing is overwritten, unless it is to be.
    (out / f"{ids[0]}.eml").write_text("mine")
    done = instance.tool("export", "--output", out, ids[0], check=False)
    assert done.returncode == 73 and "--force" in done.stderr
    assert (out / f"{ids[0]}.eml").read_text() == "mine"
    instance.tool("export", "--force", "--output", out, ids[0])
    assert (out / f"{ids[0]}.eml").read_bytes() in contents
    instance.tool("delete", ids[0])
    wait_for(lambda: len(instance.queue()) == 2, what="removal")
    done = instance.tool("export", "--output", instance.dir / "other", ids[0], ids[1], check=False)
    assert done.returncode == 66 and f"{ids[0]}: no such message" in done.stderr
    assert (instance.dir / "other" / f"{ids[1]}.eml").exists()
    assert instance.tool("export", check=False).returncode == 64
    assert instance.tool("export", "--help").stdout.startswith("usage: ostler export")


def test_export__and_import__gives_the_same_content(make_ostler, sink, tmp_path):
    instance = make_ostler(f"[127.0.0.1]:{sink.port}")
    (tmp_path / "a.eml").write_text("Subject: back and forth\n\nbody\n")
    run_import(instance, "--hold", "--eml", tmp_path / "a.eml", "--from", "s@client.test", "--to", "a@remote.test")
    (message,) = instance.queue()
    assert message["queue_name"] == "hold"
    instance.tool("export", "--output", tmp_path, message["queue_id"])
    exported = (tmp_path / f"{message['queue_id']}.eml").read_bytes()
    assert exported.endswith(b"Subject: back and forth\r\n\r\nbody\r\n") and b"Received: " in exported
    instance.tool("release", "ALL")
    wait_for(lambda: sink.messages, what="delivery")
    assert sink.messages[0][2] == exported


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_export__another_user__may_not(make_ostler, queue):
    instance = make_ostler(f"[127.0.0.1]:{free_port()}", NEXT_HOP_DOWN)
    queue.put("hold/A1", queue_file(1))
    run_import(instance, queue.dir)
    nobody = pwd.getpwnam("nobody")
    out = instance.dir / "out"
    out.mkdir()
    os.chown(out, nobody.pw_uid, nobody.pw_gid)
    done = subprocess.run([BUILD / "ostler", "-c", instance.etc, "export", "--output", out, "ALL"],
                          capture_output=True, text=True, user=nobody.pw_uid, group=nobody.pw_gid)
    assert done.returncode == 77 and not list(out.iterdir()), done.stderr


# --- a real Postfix ----------------------------------------------------------------------------------

@needs_postfix
def test_import__queue_of_a_real_postfix__arrives_with_its_dsn(ostler, sink, make_postfix):  # noqa: F811
    postfix = make_postfix(free_port())
    subprocess.run(["swaks", "--silent", "2", "-s", f"127.0.0.1:{postfix.port}", "-f", "s@client.test",
                    "-t", "a@dest.test,b@dest.test", "--body", "x" * 900 + "\n.\nlast", "--h-Subject", "moved"],
                   check=True, capture_output=True)
    client = __import__("smtplib").SMTP("127.0.0.1", postfix.port)
    client.ehlo()
    client.mail("s@client.test", ["RET=HDRS", "ENVID=QQ+2B1", "BODY=8BITMIME"])
    client.rcpt("c@dest.test", ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;orig+2Bx@dest.test"])
    client.data("Subject: dsn\r\n\r\nb\u00f6dy\r\n".encode())
    client.quit()
    deferred = pathlib.Path(postfix.dir) / "queue/deferred"
    wait_for(lambda: len([p for p in deferred.rglob("*") if p.is_file()]) == 2, what="deferral")
    queue = pathlib.Path(postfix.dir) / "queue"
    _, done = run_import(ostler, queue, check=False)
    assert done.returncode == 75 and "in use" in done.stderr
    files = [subprocess.run(["postcat", "-c", f"{postfix.dir}/etc", "-bh", str(p)], check=True,
                            capture_output=True).stdout for p in deferred.rglob("*") if p.is_file()]
    postfix.process.terminate()
    postfix.process.wait(20)
    summary, _ = run_import(ostler, queue)
    assert summary["imported"] == 2 and summary["recipients"] == 3 and summary["skipped"] == 0
    wait_for(lambda: len(sink.recipients()) == 4, what="delivery, and the report of it that was asked for")
    assert sorted(sink.recipients()) == ["a@dest.test", "b@dest.test", "c@dest.test", "s@client.test"]
    assert sorted(m[2] for m in sink.messages if m[0]) == sorted(f.replace(b"\n", b"\r\n") for f in files)
    postfix.process = subprocess.Popen(["true"])
