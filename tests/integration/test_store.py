"""The store under a running instance: damage of every kind in its files, cleaning, tools that read them.

Method: mail waits on hold, the instance is stopped or killed, bytes of its files are changed, and it is started
again. What is not damaged is served as ever; what is, is named once and kept.
"""
import json
import shutil
import subprocess

from conftest import BUILD, wait_for

SMALL = {"journal_segment_size": "1048576", "journal_size_min": "8388608", "queue_minfree": "0"}
NEVER = {"transport_maps": "inline:{ later.test=retry: }", "minimal_backoff_time": "1d",
         "maximal_backoff_time": "1d", **SMALL}


def journal(ostler):
    return ostler.dir / "queue/journal"


def corrupt(ostler):
    return sorted((ostler.dir / "queue/corrupt").glob("message-*"))


def flip(path, offset):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 0x40]))


def find(ostler, text):
    """[(segment, offset)] of every place that has the text."""
    found = []
    for path in sorted(journal(ostler).glob("*.seg")):
        data, at = path.read_bytes(), -1
        while (at := data.find(text, at + 1)) >= 0:
            found.append((path, at))
    return found


def waiting(ostler, count):
    wait_for(lambda: len(ostler.queue()) == count, 30, f"{count} messages in the queue")


def load(ostler, recipient, count):
    subprocess.run(["smtp-source", "-s", "10", "-m", str(count), "-l", "4096", "-f", "a@client.test",
                    "-t", recipient, f"127.0.0.1:{ostler.port}"], check=True, timeout=120)


def fill_segments(ostler, sink, count=1200):
    """Relays mail, so that several segments are closed."""
    load(ostler, "relayed@remote.test", count)
    wait_for(lambda: len(sink.recipients()) >= count, 60, "relayed mail")


def dump(ostler, kind):
    """Lines of ostler-logdump with records of this kind, of all segments."""
    lines = []
    for path in sorted(journal(ostler).glob("*.seg")):
        out = subprocess.run([BUILD / "ostler-logdump", path], capture_output=True, text=True).stdout
        lines += [line for line in out.splitlines() if f" {kind} " in line]
    return lines


# rules: D60
def test_mail_that_waits_for_one_reason__is_short_in_the_journal(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {
        "transport_maps": "inline:{ {later.test=retry:4.4.1 nobody answers} }", "minimal_backoff_time": "2s",
        "maximal_backoff_time": "2s", **SMALL})
    for i in range(5):
        ostler.send(f"r{i}@later.test")
    waiting(ostler, 5)
    wait_for(lambda: len(dump(ostler, "BRIEF")) >= 10, 30, "short records")
    ostler.kill_tree()
    ostler.start()
    queue = wait_for(lambda: len(ostler.queue()) == 5 and ostler.queue(), 30, "the queue")
    assert all("nobody answers" in m["recipients"][0]["delay_reason"] for m in queue)
    ostler.stop()
    assert ostler.tool("check").stdout.strip() != ""
    assert dump(ostler, "BRIEF")


# rules: L1 F3d F12 R1 R2 C1 C2 J23
def test_damaged_message__is_kept_aside_and_the_rest_is_served(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", NEVER)
    ostler.send("a@later.test", body="first-of-two\r\n")
    ostler.send("b@later.test", body="second-of-two\r\n")
    waiting(ostler, 2)
    fill_segments(ostler, sink)  # closes the segment: its footer knows the message, its record is damaged
    ostler.stop()
    places = find(ostler, b"first-of-two")
    assert places
    for path, offset in places:
        flip(path, offset)
    ostler.start()
    ostler.tool("flush")
    # Cleaning may have moved it into the newest segment: then recovery meets the damage, not the reader.
    kept = wait_for(lambda: sorted(path for path in (ostler.dir / "queue/corrupt").iterdir() if path.suffix != ".tmp"),
                    20, "a file under corrupt/")[0]
    wait_for(lambda: b"irst-of-two" in kept.read_bytes(), 5, "the bytes of the message")
    wait_for(lambda: "cannot be read" in ostler.log(), 20, "log line")
    if kept.name.startswith("message-"):
        text = kept.read_bytes()
        assert text.startswith(b"Format: ostler-corrupt 1\nQueue-ID: ") and b"\nReason: " in text
    waiting(ostler, 1)
    message, = ostler.queue()
    assert message["recipients"][0]["address"] == "b@later.test"
    ostler.send("c@remote.test")
    wait_for(lambda: "c@remote.test" in sink.recipients(), what="delivery")


def test_damage_that_recovery_meets__is_kept_and_said(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", NEVER)
    ostler.send("a@later.test", body="first-of-two\r\n")
    ostler.send("b@later.test", body="second-of-two\r\n")
    waiting(ostler, 2)
    ostler.kill_tree()  # a clean stop would leave a checkpoint, and none of this is read
    for checkpoint in journal(ostler).glob("index-*"):
        checkpoint.unlink()
    (path, offset), = find(ostler, b"first-of-two")
    flip(path, offset)
    ostler.start()
    wait_for(lambda: "journal: damage at LSN" in ostler.log(), 20, "log line")
    kept, = wait_for(lambda: list((ostler.dir / "queue/corrupt").glob("damage-*")), 5, "the bytes")
    wait_for(lambda: b"irst-of-two" in kept.read_bytes(), 5, "the bytes of the message")
    waiting(ostler, 1)


def test_newest_segment_missing__is_said(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", NEVER)
    ostler.send("a@later.test")
    fill_segments(ostler, sink)
    ostler.kill_tree()
    heads = []
    for path in journal(ostler).glob("*.seg"):
        out = subprocess.run([BUILD / "ostler-logdump", path], capture_output=True, text=True).stdout
        if ": segment " in out:
            heads.append((int(out.split(": segment ")[1].split(",")[0]), path))
    assert len(heads) >= 3
    max(heads)[1].unlink()
    ostler.start()
    wait_for(lambda: "is missing" in ostler.log(), 20, "log line about the missing segment")
    ostler.send("c@remote.test")
    wait_for(lambda: "c@remote.test" in sink.recipients(), what="delivery")


def test_footers_and_checkpoints_lost__records_serve(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", NEVER)
    load(ostler, "waiting@later.test", 500)
    waiting(ostler, 500)
    fill_segments(ostler, sink, 1000)
    wait_for(lambda: list(journal(ostler).glob("index-*[0-9a-f]")), 20, "a checkpoint")
    ostler.kill_tree()
    damaged = 0
    for path in journal(ostler).glob("*.seg"):
        out = subprocess.run([BUILD / "ostler-logdump", path], capture_output=True, text=True).stdout
        base = [line for line in out.splitlines() if "base " in line]
        for line in out.splitlines():
            if " FOOTER " in line and base:
                lsn = int(line.split()[0])
                flip(path, lsn - int(base[0].split("base ")[1].split(",")[0]) + 100)
                damaged += 1
    for path in journal(ostler).glob("index-*[0-9a-f]"):
        flip(path, 1000)
    assert damaged >= 2
    ostler.start()
    wait_for(lambda: "its records are read instead" in ostler.log(), 20, "log line about a footer")
    assert "is damaged; doing without it" in ostler.log()
    waiting(ostler, 500)
    assert not corrupt(ostler)


def test_foreign_file_and_odd_names__are_left_alone(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", NEVER)
    ostler.send("a@later.test")
    waiting(ostler, 1)
    ostler.stop()
    other = journal(ostler) / "README"
    other.write_text("not ours")
    foreign = journal(ostler) / "00000900.seg"
    source = next(path for path in sorted(journal(ostler).glob("*.seg"))
                  if path.read_bytes()[:8] == b"OSTLSEG1")
    data = bytearray(source.read_bytes())
    foreign.write_bytes(data)
    shutil.chown(foreign, source.owner(), source.group())
    ostler.start()
    waiting(ostler, 1)
    assert other.read_text() == "not ours"


def test_long_lived_mail__is_moved_and_survives(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", NEVER)
    for i in range(20):
        ostler.send(f"u{i}@later.test", body=f"long-lived {i}\r\n" + "x" * 2000 + "\r\n")
    for _ in range(3):
        fill_segments(ostler, sink, len(sink.recipients()) + 2500)
    status = json.loads(ostler.tool("status", "--json").stdout)
    assert status["index_complete"] is True
    wait_for(lambda: json.loads(ostler.tool("status", "--json").stdout)["journal_file_bytes"] <= 16 << 20,
             what="a log that has shrunk")
    wait_for(lambda: json.loads(ostler.tool("status", "--json").stdout)["written_copies"] > 20 * 2000,
             20, "copies of the messages that live")
    ostler.kill_tree()
    ostler.start()
    waiting(ostler, 20)
    for message in ostler.queue():
        content = ostler.tool("show", message["queue_id"], "--content").stdout
        number = message["recipients"][0]["address"].split("@")[0][1:]
        assert f"long-lived {number}" in content


def test_logdump__prints_and_judges(make_ostler, sink, tmp_path):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", NEVER)
    ostler.send("a@later.test", body="dumped\r\n")
    waiting(ostler, 1)
    ostler.stop()
    path, offset = find(ostler, b"dumped")[0]
    copy = tmp_path / "copy.seg"
    shutil.copy(path, copy)

    def dump(*words):
        return subprocess.run([BUILD / "ostler-logdump", *words], capture_output=True, text=True)

    good = dump(copy)
    assert good.returncode == 0 and " MESSAGE " in good.stdout and " STATE " in good.stdout
    flip(copy, offset)
    assert dump(copy).returncode == 65
    assert dump(tmp_path / "none").returncode == 66
    assert dump("--what").returncode == 64
    assert "usage:" in dump("--help").stdout


def test_check_interval__damage_under_a_running_instance__is_found_and_mended(make_ostler, sink):
    """The content is damaged on the disk while it waits; nobody asks for it, the weekly reading does."""
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {**NEVER, "journal_check_interval": "2s"})
    ostler.send("first@later.test", body="the-damaged-one\r\n")
    ostler.send("second@later.test", body="the-whole-one\r\n")
    fill_segments(ostler, sink, 400)
    (segment, offset), = find(ostler, b"the-damaged-one")
    flip(segment, offset)
    wait_for(lambda: "scrub: damage in segment file" in ostler.log(), 60, "damage is found")
    wait_for(lambda: len(ostler.queue()) == 1, 60, "the damaged message is set aside")
    assert len(corrupt(ostler)) == 1
    ostler.send("third@remote.test")
    wait_for(lambda: "third@remote.test" in sink.recipients(), what="service goes on")
    assert json.loads(ostler.tool("status", "--json").stdout)["scrub_damage"] == 1


def test_journal_scrub__freed_segments__keep_no_delivered_mail(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                         {**SMALL, "journal_size_min": "4194304", "journal_scrub": "yes"})
    ostler.send("secret@remote.test", body="what-nobody-else-may-read\r\n")
    wait_for(lambda: "secret@remote.test" in sink.recipients(), what="delivery")
    assert find(ostler, b"what-nobody-else-may-read")
    fill_segments(ostler, sink, 1500)
    wait_for(lambda: not find(ostler, b"what-nobody-else-may-read"), 60, "a zeroed segment")
