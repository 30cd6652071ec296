"""ostler check and ostler corrupt: a real queue, damaged in many ways.

Method: mail waits, the instance is stopped, its files are damaged at known places; then what check says, what a start
does, and that after --repair a check is clean and the rest of the mail is there. Each damage is made on a copy of one
queue, so the places are known.
"""
import ctypes
import json
import os
import re
import shutil
import struct
import subprocess
import time

import pytest
from conftest import BUILD, wait_for
from disk_faults import ENOSPC, LIBRARY, OPEN, SEGMENTS, WRITE, Faults
from test_store import NEVER, fill_segments, flip, journal

MUST_STOP = 75


def check(ostler, *words):
    return ostler.tool("check", *words, check=False)


def findings(ostler, *words):
    """(exit code, findings, summary)"""
    done = check(ostler, "--json", *words)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, [x for x in lines if x["kind"] not in ("note", "summary")], lines[-1] if lines else None


def corrupt_list(ostler):
    out = ostler.tool("corrupt", "list", "--json").stdout
    return [json.loads(line) for line in out.splitlines()]


def segments(ostler):
    """Files with a header, oldest first: (path, sequence, base)."""
    found = []
    for path in journal(ostler).glob("0*.seg"):
        head = path.read_bytes()[:104]
        if head[:8] == b"OSTLSEG1":
            sequence, base = struct.unpack_from("<QQ", head, 16)
            found.append((sequence, path, base))
    return [(path, sequence, base) for sequence, path, base in sorted(found)]


def records(path):
    """[(type, offset, LSN)] as ostler-logdump prints them."""
    out = subprocess.run([BUILD / "ostler-logdump", path], capture_output=True, text=True).stdout
    base = int(re.search(r"base (\d+)", out)[1])
    return [(m[2], int(m[1]) - base) for m in re.finditer(r"^    (\d+) (\w+)", out, re.M)]


@pytest.fixture
def queue(make_ostler, sink):
    """A stopped instance with mail in its newest segment: a, b and c wait; d is on hold; e was deleted."""
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", NEVER)
    for name in "abcd":
        ostler.send(f"{name}@later.test", body=f"this is {name}-body\r\n", subject=f"subject {name}")
    wait_for(lambda: len(ostler.queue()) == 4, 20, "four messages")
    held = next(m["queue_id"] for m in ostler.queue() if m["recipients"][0]["address"] == "d@later.test")
    ostler.tool("hold", held)
    wait_for(lambda: all(m["recipients"][0].get("delay_reason") for m in ostler.queue()
                         if m["queue_id"] != held), 20, "attempts")
    ostler.send("e@later.test")
    ostler.tool("delete", wait_for(lambda: [m["queue_id"] for m in ostler.queue()
                                            if m["recipients"][0]["address"] == "e@later.test"], 20, "e")[0])
    wait_for(lambda: len(ostler.queue()) == 4, 20, "four messages")
    time.sleep(0.3)  # the writer proves its last batch 100 ms after it; before, damage there is a torn tail
    ostler.stop()
    return ostler


def waiting(ostler):
    return sorted(r["address"][0] for m in ostler.queue() for r in m["recipients"])


def repair_and_start(ostler, expect):
    code, found, summary = findings(ostler, "--repair")
    assert code == 0 and summary["left"] == 0, found
    code, found, summary = findings(ostler)
    assert code == 0 and not found, found
    ostler.start()
    wait_for(lambda: waiting(ostler) == sorted(expect), 20, f"{expect} in the queue")


def snapshot(ostler):
    return {p.relative_to(ostler.dir): (p.read_bytes(), p.stat().st_mode, p.stat().st_mtime_ns)
            for p in sorted((ostler.dir / "queue").rglob("*")) if p.is_file()}


def test_clean_queue__is_clean_and_nothing_is_written(queue):
    before = snapshot(queue)
    code, found, summary = findings(queue)
    assert code == 0 and not found and summary["messages"] == 4
    assert "clean" in check(queue).stdout
    assert snapshot(queue) == before
    repair_and_start(queue, "abcd")


def test_running_instance__is_refused(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", NEVER)
    done = check(ostler)
    assert done.returncode == 75 and "in use" in done.stderr
    ostler.stop()
    assert check(ostler, "--what").returncode == 64
    assert "usage:" in check(ostler, "--help").stdout


def place(ostler, text):
    return next((path, data.find(text)) for path, _, _ in segments(ostler)
                if text in (data := path.read_bytes()))


def test_damaged_content__check_says_it_start_keeps_it_repair_mends(queue):
    path, offset = place(queue, b"this is b-body")
    flip(path, offset)
    before = snapshot(queue)
    code, found, _ = findings(queue)
    assert code == 65 and snapshot(queue) == before
    assert any(f["what"].startswith("damage at LSN") and f["file"] == f"journal/{path.name}" for f in found)
    message, = [f for f in found if f.get("queue_id")]
    assert "checksum is wrong" in message["what"] and message["offset"] < offset
    text = check(queue).stdout
    assert message["queue_id"] in text and "--repair: kept as corrupt/message-" in text
    repair_and_start(queue, "acd")
    kept, = [f for f in corrupt_list(queue) if f["kind"] == "message"]
    assert kept["queue_id"] == message["queue_id"] and kept["recipients"] == ["b@later.test"]
    assert kept["requeue"] == "with --force" and kept["sender"] == "sender@client.test"
    assert list(journal(queue).glob("bad-*.seg"))
    assert any(f["kind"] == "damage" for f in corrupt_list(queue))


@pytest.mark.parametrize("calls, pattern, skip",
                         [(WRITE, "*/corrupt/*", 0), (WRITE, SEGMENTS, 3), (WRITE | OPEN, SEGMENTS, 0)],
                         ids=["corrupt", "journal", "start"])
@pytest.mark.skipif(not LIBRARY.exists(), reason="built without tests")
def test_repair_on_a_full_disk__ends_with_what_is_to_be_done(queue, tmp_path, calls, pattern, skip):
    path, at = place(queue, b"this is b-body")
    flip(path, at)
    faults = Faults(tmp_path)
    faults.add(calls, pattern, ENOSPC, skip=skip)
    environment = dict(faults.environment)
    environment["ASAN_OPTIONS"] += ":detect_leaks=0"  # it gives up with what the disk still has in hand
    done = subprocess.run([BUILD / "ostler", "-c", queue.etc, "check", "--repair"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=50, env=environment)
    assert done.returncode in (65, 74), done
    assert "does not take" in done.stderr or "is full" in done.stderr, done
    repair_and_start(queue, "acd")


def test_damaged_content__a_start_keeps_it_and_serves_the_rest(queue):
    path, offset = place(queue, b"this is b-body")
    flip(path, offset)
    queue.start()
    wait_for(lambda: waiting(queue) == list("acd"), 20, "the others")
    wait_for(lambda: "kept as corrupt/message-" in queue.log(), 20, "log line")
    kept, = [f for f in corrupt_list(queue) if f["kind"] == "message"]
    shown = queue.tool("corrupt", "show", kept["queue_id"]).stdout
    assert "recipient: b@later.test" in shown and "subject b" in shown.lower() and "reason: " in shown


def test_requeue__is_refused_then_forced_and_never_doubles(queue):
    path, offset = place(queue, b"this is b-body")
    flip(path, offset)
    queue.start()
    queue.tool("flush")  # behind a clean stop a start reads only the checkpoint
    kept = wait_for(lambda: [f for f in corrupt_list(queue) if f["kind"] == "message"], 20, "file")[0]
    refused = queue.tool("corrupt", "requeue", kept["queue_id"], check=False)
    assert refused.returncode == 65 and "--force" in refused.stderr
    file = queue.dir / "queue/corrupt" / kept["file"]
    copy = file.read_bytes()
    queue.tool("corrupt", "requeue", "--force", kept["queue_id"])
    assert not file.exists()
    wait_for(lambda: waiting(queue) == list("abcd"), 20, "it is in the queue")
    file.write_bytes(copy)  # a tool killed in front of the removal
    shutil.chown(file, file.parent.owner(), file.parent.group())
    queue.tool("corrupt", "requeue", "--force", "ALL")
    assert not file.exists() and waiting(queue) == list("abcd")
    message = next(m for m in queue.queue() if m["recipients"][0]["address"].startswith("b"))
    content = queue.tool("show", message["queue_id"], "--content").stdout
    assert "is b-body" in content and message["queue_name"] != "hold"


def test_requeue__of_a_stopped_instance_keeps_the_file(queue):
    path, offset = place(queue, b"this is b-body")
    flip(path, offset)
    assert findings(queue, "--repair")[0] == 0
    kept, = [f for f in corrupt_list(queue) if f["kind"] == "message"]
    assert queue.tool("corrupt", "requeue", "--force", kept["queue_id"], check=False).returncode == 69
    assert corrupt_list(queue)
    assert "recipient: b@later.test" in queue.tool("corrupt", "show", kept["file"]).stdout


def test_delete__asks_or_is_told(queue):
    path, offset = place(queue, b"this is b-body")
    flip(path, offset)
    assert findings(queue, "--repair")[0] == 0
    name = corrupt_list(queue)[0]["file"]
    done = subprocess.run([BUILD / "ostler", "-c", queue.etc, "corrupt", "delete", name], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    assert done.returncode == 64 and "-y" in done.stderr
    queue.tool("corrupt", "delete", "-y", name)
    assert name not in [f["file"] for f in corrupt_list(queue)]
    queue.tool("corrupt", "delete", "-y", "ALL")
    assert corrupt_list(queue) == []
    assert queue.tool("corrupt", "delete", "-y", "none", check=False).returncode == 66
    assert queue.tool("corrupt", "show", "none", check=False).returncode == 66


# Bytes of a record's header and of the first fields of its payload.
FIELDS = {"type": 0, "flags": 2, "length": 4, "message": 8, "checksum": 16, "queue ID": 24, "arrival or due": 32,
          "third number": 40, "fourth number": 44}


def copy_of(queue, tmp_path, make_ostler, name):
    """The same queue below another directory, to be damaged."""
    other = make_ostler(queue.values["relayhost"], NEVER, start=False)
    shutil.copytree(queue.dir / "queue", other.dir / "queue", ignore=shutil.ignore_patterns("public"))
    for source in (queue.dir / "queue").rglob("*"):
        if "public" in source.parts:
            continue
        info = source.stat()
        os.chown(other.dir / "queue" / source.relative_to(queue.dir / "queue"), info.st_uid, info.st_gid)
    return other


@pytest.mark.parametrize("kind", ["MESSAGE", "STATE", "RESULT", "DONE", "NODE"])
def test_each_field_of_a_record_damaged__the_rest_is_served(queue, tmp_path, make_ostler, kind):
    path, _, _ = next((p, s, b) for p, s, b in segments(queue) if any(t == "MESSAGE" for t, _ in records(p)))
    offset = next((o for t, o in records(path) if t == kind), None)
    if offset is None:
        pytest.skip(f"no {kind} was written")
    for field, at in FIELDS.items():
        other = copy_of(queue, tmp_path, make_ostler, field)
        flip(journal(other) / path.name, offset + at)
        code, found, _ = findings(other)
        assert code == 65 and found, (kind, field)
        code, found, summary = findings(other, "--repair")
        assert code == 0 and summary["left"] == 0, (kind, field, found)
        kept = corrupt_list(other)
        assert any(f["kind"] == "damage" for f in kept), (kind, field)
        if kind == "MESSAGE" and field not in ("type", "queue ID"):
            message, = [f for f in kept if f["kind"] == "message"]
            assert message["recipients"] == ["a@later.test"] and message["requeue"] == "with --force", field
        code, found, summary = findings(other)
        assert code == 0 and summary["messages"] >= (3 if kind == "MESSAGE" else 4), (kind, field, kept)


def test_kept_files__are_read_by_the_check(queue):
    path, offset = place(queue, b"this is b-body")
    flip(path, offset)
    repair_and_start(queue, "acd")
    queue.stop()
    corrupt = queue.dir / "queue" / "corrupt"
    kept, = corrupt.glob("message-*")
    odd = {"message-00000000000000aa": kept.read_bytes(), "message-00000000000000ab": b"half a he",
           "state-00000000000000ac-0000000000001000": b"", "message-00000000000000ad.tmp": b"half"}
    for name, data in odd.items():
        (corrupt / name).write_bytes(data)
        (corrupt / name).chmod(0o600)
        os.chown(corrupt / name, kept.stat().st_uid, kept.stat().st_gid)
    code, found, _ = findings(queue)
    assert code == 65 and {f["file"] for f in found} == {f"corrupt/{name}" for name in odd}, found
    code, found, summary = findings(queue, "--repair")
    assert code == 65 and summary["left"] == 3 and not (corrupt / "message-00000000000000ad.tmp").exists()
    for name in list(odd)[:3]:
        queue.tool("corrupt", "delete", "-y", name)
    assert findings(queue)[0] == 0


def test_each_field_of_a_batch_header_damaged__is_found_and_mended(queue, tmp_path, make_ostler):
    path, _, _ = next((p, s, b) for p, s, b in segments(queue) if any(t == "MESSAGE" for t, _ in records(p)))
    batch = next(o for t, o in records(path) if t == "MESSAGE") // 4096 * 4096
    for at in (0, 4, 6, 8, 16, 24, 28, 32, 40, 48, 56, 64, 72, 80, 90, 120):
        other = copy_of(queue, tmp_path, make_ostler, at)
        flip(journal(other) / path.name, batch + at)
        code, found, _ = findings(other)
        assert code == 65 and any("damage at LSN" in f["what"] for f in found), at
        code, found, summary = findings(other, "--repair")
        assert code == 0 and summary["left"] == 0, (at, found)
        assert findings(other)[2]["messages"] >= 3, at


def test_segment_header_copies(queue, tmp_path, make_ostler):
    path = segments(queue)[0][0]
    for copies in ((0,), (2048,), (0, 2048)):
        other = copy_of(queue, tmp_path, make_ostler, copies)
        for at in copies:
            flip(journal(other) / path.name, at + 40)
        code, found, _ = findings(other)
        assert code == 65 and any(f["file"] == f"journal/{path.name}" and "header" in f["what"] for f in found), found
        code, found, summary = findings(other, "--repair")
        assert code == 0 and summary["left"] == 0, found
        if len(copies) == 2:
            assert (journal(other) / f"bad-{path.name}").exists()
        assert findings(other)[2]["messages"] == 4


def test_format_versions(queue, tmp_path, make_ostler):
    path = segments(queue)[-1][0]
    newer = copy_of(queue, tmp_path, make_ostler, "major")
    set_header(journal(newer) / path.name, 8, struct.pack("<H", 2))
    before = snapshot(newer)
    for words in ((), ("--repair",)):
        code, found, _ = findings(newer, *words)
        assert code == 65 and "format 2" in found[0]["what"] and "release" in found[0]["repair"]
    assert snapshot(newer) == before
    start = subprocess.Popen([BUILD / "ostlerd", "-c", newer.etc], stdin=subprocess.DEVNULL)
    wait_for(lambda: "format 2" in newer.log(), 20, "log line about the format")
    start.terminate()
    start.wait(20)
    minor = copy_of(queue, tmp_path, make_ostler, "minor")
    set_header(journal(minor) / path.name, 10, struct.pack("<H", 7))
    code, found, summary = findings(minor)
    assert code == 0 and summary["messages"] == 4, found


def set_header(path, at, value):
    """Both copies, with checksums as they must be."""
    xxh3 = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
    xxh3.restype, xxh3.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
    data = bytearray(path.read_bytes())
    for copy in (0, 2048):
        data[copy + at:copy + at + len(value)] = value
        data[copy + 96:copy + 104] = struct.pack("<Q", xxh3(bytes(data[copy:copy + 96]), 96))
    with open(path, "r+b") as f:
        f.write(data[:4096])


def test_foreign_and_odd_files(queue, tmp_path):
    path = segments(queue)[0][0]
    foreign = journal(queue) / "00000900.seg"
    shutil.copy(path, foreign)
    shutil.copystat(path, foreign)
    shutil.chown(foreign, path.owner(), path.group())
    set_header(foreign, 80, b"0123456789abcdef")
    odd = journal(queue) / "README"
    odd.write_text("not ours")
    odd.chmod(0o600)
    shutil.chown(odd, path.owner(), path.group())
    code, found, _ = findings(queue)
    assert code == 65 and any(f["file"] == "journal/00000900.seg" and "another journal" in f["what"] for f in found)
    assert "README" in check(queue).stdout
    repair_and_start(queue, "abcd")
    assert (journal(queue) / "bad-00000900.seg").exists() and odd.read_text() == "not ours"


def test_stale_checkpoints_and_remnants(queue):
    owner = segments(queue)[0][0]
    for name, data in (("index-0000000000001000", b"OCKP" + bytes(65532)), ("index-0000000000002000.tmp", b"x"),
                       ("index-00ffffffffffffff", b"y")):
        (journal(queue) / name).write_bytes(data)
        (journal(queue) / name).chmod(0o600)
        shutil.chown(journal(queue) / name, owner.owner(), owner.group())
    code, found, _ = findings(queue)
    assert code == 65 and len([f for f in found if "checkpoint" in f["what"]]) == 2
    repair_and_start(queue, "abcd")
    assert not (journal(queue) / "index-00ffffffffffffff").exists()


def test_modes(queue):
    os.chmod(queue.dir / "queue/corrupt", 0o755)
    code, found, _ = findings(queue)
    assert code == 65 and found[0]["file"] == "corrupt" and "mode 0755" in found[0]["what"]
    repair_and_start(queue, "abcd")
    assert (queue.dir / "queue/corrupt").stat().st_mode & 0o777 == 0o700


def test_large_content(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", NEVER)
    for name in "xyz":
        ostler.send(f"{name}@later.test", body=f"large {name}\r\n" + ("0123456789" * 7 + "\r\n") * 3000)
    ostler.send("a@later.test")
    wait_for(lambda: len(ostler.queue()) == 4, 20, "messages")
    ostler.stop()
    files = {next(n for n in "xyz" if f"large {n}".encode() in p.read_bytes()): p
             for p in (ostler.dir / "queue/large").iterdir()}
    assert findings(ostler)[:2] == (0, [])
    orphan = files["x"].with_name("0000000000000042")
    shutil.copy2(files["x"], orphan)
    shutil.chown(orphan, files["x"].owner(), files["x"].group())
    files["x"].unlink()
    flip(files["y"], 100000)
    code, found, _ = findings(ostler)
    what = " ".join(f["what"] for f in found)
    assert code == 65 and "is not there" in what and "no message owns" in what
    assert "bytes 0 to 131071 (1 of 2 parts) of the file of its content are not what was written" in what
    repair_and_start(ostler, "az")
    kept = {f["file"]: f for f in corrupt_list(ostler)}
    assert "large-0000000000000042" in kept and f"large-{files['y'].name}" in kept
    messages = {f["recipients"][0][0]: f for f in kept.values() if f["kind"] == "message"}
    assert messages["x"]["requeue"] == "no" and "not there" in messages["x"]["requeue_reason"]
    shown = ostler.tool("corrupt", "show", messages["y"]["queue_id"]).stdout
    assert "bytes 0 to 131071 (1 of 2 parts) are not what was written" in shown
    # With its content found again it is mail again.
    back = ostler.dir / "queue/corrupt/large-0000000000000042"
    back.rename(back.with_name(f"large-{files['x'].name}"))
    ostler.tool("corrupt", "requeue", messages["x"]["queue_id"])
    wait_for(lambda: waiting(ostler) == list("axz"), 20, "x is back")
    assert f"large-{files['x'].name}" not in [f["file"] for f in corrupt_list(ostler)]


def test_large_content_damaged__delivery_and_export_say_where(make_ostler, sink, tmp_path):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", NEVER)
    sink.rcpt_replies["x@dest.test"] = ["450 4.2.0 later", "250 2.1.5 Ok"]
    ostler.send("x@dest.test", body=("0123456789" * 7 + "\r\n") * 5000)
    wait_for(lambda: "status=deferred" in ostler.log() and ostler.queue()[0]["queue_name"] == "deferred", 20,
             "the deferral")
    number = ostler.queue()[0]["queue_id"]
    [file] = (ostler.dir / "queue/large").iterdir()
    flip(file, 140000)
    done = ostler.tool("export", "--output", tmp_path, number, check=False)
    assert done.returncode == 73 and "bytes 131072 to 262143 (1 of 3 parts) of its content" in done.stderr
    assert list(tmp_path.iterdir()) == []
    ostler.tool("flush", "--id", number)
    wait_for(lambda: "put on hold" in ostler.log(), 20, "the damage to be found")
    wait_for(lambda: "bytes 131072 to 262143 (1 of 3 parts) of its content" in ostler.log(), 20, "the place")
    assert len(sink.messages) == 0 and ostler.queue()[0]["queue_name"] == "hold"


@pytest.fixture
def long_queue(make_ostler, sink):
    """Several closed segments, which the cleaner leaves alone; a and b wait since the first one."""
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {**NEVER, "journal_size_min": "134217728"})
    for name in "ab":
        ostler.send(f"{name}@later.test", body=f"this is {name}-body\r\n")
    wait_for(lambda: len(ostler.queue()) == 2, 20, "messages")
    fill_segments(ostler, sink)
    ostler.send("n@later.test", body="this is n-body\r\n")
    wait_for(lambda: len(ostler.queue()) == 3, 20, "messages")
    ostler.kill_tree()
    assert len(segments(ostler)) >= 3
    return ostler


def test_segments_missing_truncated_zeroed_swapped(long_queue, tmp_path, make_ostler):
    code, found, summary = findings(long_queue)
    assert code == 0 and summary["messages"] == 3, found
    out = subprocess.run([BUILD / "ostler-logdump", segments(long_queue)[-1][0]], capture_output=True, text=True).stdout
    first = max(int(n) for n in re.findall(r"first (\d+)", out))
    paths = [path for path, _, base in segments(long_queue) if base >= first]  # those in force
    assert len(paths) >= 3
    middle, newest = paths[len(paths) // 2], paths[-1]
    damages = {
        "missing": lambda j: (j / middle.name).unlink(),
        "newest": lambda j: (j / newest.name).unlink(),
        "truncated": lambda j: os.truncate(j / middle.name, 500000),
        "zeroed": lambda j: (j / middle.name).write_bytes(bytes((j / middle.name).stat().st_size)),
    }
    for name, damage in damages.items():
        other = copy_of(long_queue, tmp_path, make_ostler, name)
        damage(journal(other))
        code, found, _ = findings(other)
        assert code == 65 and found, name
        code, found, summary = findings(other, "--repair")
        assert code == 0 and summary["left"] == 0, (name, found)
        other.start()
        wait_for(lambda: set("ab" if name == "newest" else "abn") <= set(waiting(other)), 30, f"the rest ({name})")
        other.stop()
    swapped = copy_of(long_queue, tmp_path, make_ostler, "swapped")
    first, second, third = (journal(swapped) / name for name in (middle.name, newest.name, "00009000.seg"))
    first.rename(third)
    second.rename(first)
    third.rename(second)
    code, found, summary = findings(swapped)
    assert code == 0 and summary["messages"] == 3, found


def test_stale_segment__of_a_former_life_changes_nothing(long_queue):
    path = segments(long_queue)[-1][0]
    stale = journal(long_queue) / "00009001.seg"
    shutil.copy2(path, stale)
    shutil.chown(stale, path.owner(), path.group())
    set_header(stale, 56, struct.pack("<Q", 0))  # an older generation of the same sequence
    code, found, summary = findings(long_queue)
    assert code == 0 and summary["messages"] == 3, found
    long_queue.start()
    wait_for(lambda: waiting(long_queue) == list("abn"), 20, "all messages")


def test_strangers__may_not(queue):
    def demote():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    if os.geteuid() != 0:
        pytest.skip("only root can become a stranger")
    for words in (["check"], ["corrupt", "list"]):
        done = subprocess.run([BUILD / "ostler", "-c", queue.etc, *words], preexec_fn=demote, capture_output=True,
                              text=True)
        assert done.returncode == 77, done.stderr


def test_lost_footer__is_said_and_mended(long_queue):
    path, offset = next((p, o) for p, _, _ in segments(long_queue) for t, o in records(p) if t == "FOOTER")
    flip(path, offset + 100)
    code, found, _ = findings(long_queue)
    assert code == 65 and any(f["file"] == f"journal/{path.name}" for f in found), found
    assert not any(f.get("queue_id") for f in found)
    code, found, summary = findings(long_queue, "--repair")
    assert code == 0 and summary["left"] == 0, found
    assert findings(long_queue)[2]["messages"] == 3


# Bytes of a PLACE: queue ID, LSN of the STATE, due, flags, size; of a FOOTER: those of its first entry.
PLACE = {**FIELDS, "due": 40, "state flags": 44, "size": 48}
FOOTER = {"queue ID": 24, "LSN": 32, "value": 40, "due": 48, "size": 52, "entry type": 54, "entry flags": 55,
          "type": 0, "length": 4, "checksum": 16}


def check_each_field(queue, tmp_path, make_ostler, kind, fields):
    path, record = next((p, o) for p, _, _ in segments(queue) for t, o in records(p) if t == kind)
    for field, offset in fields.items():
        other = copy_of(queue, tmp_path, make_ostler, kind + field)
        flip(journal(other) / path.name, record + offset)
        code, found, _ = findings(other)
        assert code == 65 and found, (kind, field)
        code, found, summary = findings(other, "--repair")
        assert code == 0 and summary["left"] == 0, (kind, field, found)
        code, found, summary = findings(other)
        assert code == 0 and summary["messages"] == 3, (kind, field, found)


def test_each_field_of_a_footer_and_a_place_damaged__no_message_is_lost(long_queue, tmp_path, make_ostler):
    """Emptying a segment, as a repair does, leaves a PLACE behind each MESSAGE that has a STATE."""
    check_each_field(long_queue, tmp_path, make_ostler, "FOOTER", FOOTER)
    path, offset = next((p, o) for p, _, _ in segments(long_queue) for t, o in records(p) if t == "FOOTER")
    flip(path, offset + 100)
    assert findings(long_queue, "--repair")[0] == 0
    check_each_field(long_queue, tmp_path, make_ostler, "PLACE", PLACE)


def test_each_field_of_a_result_damaged__the_message_stays(make_ostler, sink, tmp_path):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                         {**NEVER, "transport_maps": "inline:{other.test=smtp:[127.0.0.2]:9}"})
    ostler.send(["now@dest.test", "b@other.test"], body="this is b-body\r\n")
    wait_for(lambda: waiting(ostler) == ["b"] and ostler.queue()[0]["recipients"][0].get("delay_reason"),
             20, "one recipient left")
    time.sleep(0.3)
    ostler.stop()
    path, offset = next((p, o) for p, _, _ in segments(ostler) for t, o in records(p) if t == "RESULT")
    for field, at in FIELDS.items():
        other = copy_of(ostler, tmp_path, make_ostler, field)
        flip(journal(other) / path.name, offset + at)
        code, found, _ = findings(other)
        assert code == 65 and found, field
        code, found, summary = findings(other, "--repair")
        assert code == 0 and summary["left"] == 0, (field, found)
        code, found, summary = findings(other)
        assert code == 0 and summary["messages"] == 1, (field, found)


@pytest.mark.parametrize("action", ["retry", "hold"])
def test_damaged_state_of_idle_mail__the_message_stays(long_queue, action):
    """Its footer knows the message; only the state cannot be read: damaged_state_action says what becomes of it."""
    states = [(p, o) for p, _, _ in segments(long_queue)[:-1] for t, o in records(p) if t == "STATE"]
    assert states
    for path, offset in states:
        flip(path, offset + 30)
    long_queue.write_main({**long_queue.values, "damaged_state_action": action})
    long_queue.start()
    wait_for(lambda: waiting(long_queue) == list("abn"), 20, "all messages")
    long_queue.tool("flush")
    wait_for(lambda: "its state at LSN" in long_queue.log(), 20, "log line about a state")
    wait_for(lambda: waiting(long_queue) == list("abn"), 20, "all messages")
    assert not [f for f in corrupt_list(long_queue) if f["kind"] == "message"]
    assert f"the message is {'held' if action == 'hold' else 'retried'} with" in long_queue.log()
    is_held = [m["queue_name"] == "hold" for m in long_queue.queue()]
    assert any(is_held) if action == "hold" else not any(is_held)
