"""Formats of the journal: a newer one is refused untouched, an older one is raised by 'ostler upgrade-journal' only.

Method: headers are changed with checksums as they must be; an old journal is written here, from docs/store.md alone.
"""
import ctypes
import struct
import subprocess

import pytest
from conftest import BUILD, free_port, wait_for
from test_check import set_header, snapshot
from test_copy import status

SEGMENT = 4194304


def segments(ostler):
    """Files in use, newest first."""
    found = []
    for path in (ostler.dir / "queue/journal").glob("0*.seg"):
        with open(path, "rb") as f:
            head = f.read(152)
        if head[:8] == b"OSTLSEG1":
            found.append((struct.unpack_from("<Q", head, 16)[0], path, head))
    return [(path, head) for _, path, head in sorted(found, reverse=True)]


def is_files(name):
    return name.parts[1] in ("journal", "large", "corrupt")


@pytest.mark.parametrize("at, value, text", [(8, struct.pack("<HH", 3, 4), "format 3.4"),
                                             (64, struct.pack("<Q", 4), "needs its features 0x4")])
def test_journal_of_a_newer_release__is_refused_untouched(make_ostler, at, value, text):
    ostler = make_ostler(f"[127.0.0.1]:{free_port()}")
    ostler.send("a@remote.test", body=("x" * 70 + "\r\n") * 4000)
    ostler.stop()
    set_header(segments(ostler)[0][0], at, value)
    before = {k: v for k, v in snapshot(ostler).items() if is_files(k)}
    assert any("large" in k.parts for k in before)
    process = subprocess.Popen([BUILD / "ostlerd", "-c", ostler.etc], stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: text in ostler.log(), 20, "the reason in the log")
        line = next(x for x in ostler.log().splitlines() if text in x)
        assert "this release knows 1.3" in line and "written by Ostler 0." in line
    finally:
        process.terminate()
        process.wait(20)
    assert {k: v for k, v in snapshot(ostler).items() if is_files(k)} == before


def xxh3(data):
    function = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
    function.restype, function.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
    return function(bytes(data), len(data))


def write_old_journal(ostler):
    """One segment of format 1.0 with one empty batch."""
    directory = ostler.dir / "queue/journal"
    header = b"OSTLSEG1" + struct.pack("<HHIQQQQQQQQ", 1, 0, 0, 1, 0, 0, 0, SEGMENT, 1, 0, 0) + b"0123456789abcdef"
    header += struct.pack("<Q", xxh3(header))
    batch = b"OBAT" + struct.pack("<HHQQIIIIQQQQQQ", 1, 0, 99, 4096, 4096, 128, 0, 0, 0, 0, 0, 1_700_000_000_000_000, 0, 0)
    batch += bytes(32)
    batch += struct.pack("<Q", xxh3(batch))
    block = header.ljust(2048, b"\0") + header.ljust(2048, b"\0") + batch.ljust(4096, b"\0")
    for old in directory.iterdir():
        old.unlink()
    path = directory / "00000000.seg"
    path.write_bytes(block.ljust(SEGMENT, b"\0"))
    path.chmod(0o600)
    owner = directory.stat()
    subprocess.run(["chown", f"{owner.st_uid}:{owner.st_gid}", path], check=True)


def test_old_journal__gets_new_features_only_when_upgraded(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}")
    ostler.stop()
    write_old_journal(ostler)
    ostler.start()
    ostler.send("a@remote.test")
    wait_for(lambda: "a@remote.test" in sink.recipients(), what="mail")
    assert status(ostler)["journal_format"] == "1.0" and status(ostler)["journal_format_newest"] == "1.3"
    ostler.stop()
    assert {struct.unpack_from("<HH", head, 8) + (head[104:128].strip(b"\0"),) for _, head in segments(ostler)} \
        == {(1, 0, b"")}
    ostler.start()
    assert ostler.tool("upgrade-journal").stdout == "journal format: 1.0 -> 1.3\n"
    assert "the journal has format 1.3 now, it had 1.0" in ostler.log()
    assert status(ostler)["journal_format"] == "1.3"
    again = ostler.tool("upgrade-journal").stdout
    assert again == "journal format: 1.3, the newest that this release knows\n"
    assert ostler.tool("upgrade-journal", "x", check=False).returncode == 64
    ostler.stop()
    ostler.start()
    assert status(ostler)["journal_format"] == "1.3"
    ostler.stop()
    assert segments(ostler)[0][1][104:110].startswith(b"0.")
    assert ostler.tool("upgrade-journal", check=False).returncode == 69


def test_newer_minor_format__works_and_stays(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}")
    ostler.send("a@remote.test")
    ostler.stop()
    set_header(segments(ostler)[0][0], 10, struct.pack("<H", 9))
    for _ in range(2):
        ostler.start()
        ostler.stop()
    ostler.start()
    assert status(ostler)["journal_format"] == "1.9"
    said = ostler.tool("upgrade-journal").stdout
    assert said == "journal format: 1.9; this release knows 1.3 only and writes that\n"
    ostler.send("b@remote.test")
    wait_for(lambda: "b@remote.test" in sink.recipients(), what="mail")


# --- records of a later release -----------------------------------------------------------------------------------

LATER = 901
CRITICAL, OF_MESSAGE = 1, 2
DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"


def number(queue_id):
    """The number of a queue ID, as records have it (src/message/queue_id.h)."""
    def value(digits, base):
        total = 0
        for digit in digits:
            total = total * base + DIGITS.index(digit)
        return total

    time_part, sequence = queue_id.rsplit("z", 1)
    seconds, microseconds = value(time_part[:-4], 52), value(time_part[-4:], 52)
    return (seconds * 1_000_000 + microseconds) << 12 | value(sequence, 51)


def xxh3_seeded(data, seed):
    function = ctypes.CDLL("libxxhash.so.0").XXH3_64bits_withSeed
    function.restype = ctypes.c_uint64
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    return function(bytes(data), len(data), seed)


def record(kind, flags, payload):
    head = struct.pack("<HHIQ", kind, flags, len(payload), 0)
    head += struct.pack("<Q", xxh3_seeded(payload, xxh3(head)))
    return head + payload.ljust(-len(payload) % 8 + len(payload), b"\0"), head


def append_records(ostler, records):
    """A batch behind the last one of a stopped queue, as docs/store.md says."""
    path, head = segments(ostler)[0]
    base, = struct.unpack_from("<Q", head, 24)
    at, last = 4096, None
    with open(path, "r+b") as f:
        while True:
            f.seek(at)
            header = f.read(128)
            if header[:4] != b"OBAT" or struct.unpack_from("<Q", header, 16)[0] != base + at:
                break
            last, end = header, at + struct.unpack_from("<I", header, 24)[0]
            at = end
        epoch, wall = struct.unpack_from("<Q", last, 8)[0], struct.unpack_from("<Q", last, 64)[0]
        previous, first = struct.unpack_from("<Q", last, 120)[0], struct.unpack_from("<Q", last, 56)[0]
        used = 128 + sum(len(whole) for whole, _ in records)
        padded = -used % 4096 + used
        batch = b"OBAT" + struct.pack("<HHQQIIIIQQQQQQ", 1, 0, epoch, base + end, padded, used, len(records), 0,
                                      previous, base + end, first, wall, 0, 0) + bytes(32)
        checksum = xxh3(batch)
        for _, header in records:
            checksum = xxh3_seeded(header, checksum)
        batch += struct.pack("<Q", checksum) + b"".join(whole for whole, _ in records)
        f.seek(end)
        f.write(batch.ljust(padded, b"\0"))


def ids(ostler):
    return {m["recipients"][0]["address"][0]: m for m in ostler.queue()}


def test_records_of_a_later_release__stay_with_their_message_and_hold_it_if_critical(make_ostler, sink):
    """Of a type that nobody knows yet; docs/store.md, 'What a later format adds'."""
    for name in "abc":
        sink.rcpt_replies[f"{name}@remote.test"] = ["450 4.2.0 not now"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s"})
    for name in "abc":
        ostler.send(f"{name}@remote.test")
    wait_for(lambda: all(m["recipients"][0].get("delay_reason") for m in ostler.queue()), 20, "attempts")
    numbers = {name: number(m["queue_id"]) for name, m in ids(ostler).items()}
    ostler.stop()
    append_records(ostler, [
        record(LATER, OF_MESSAGE, struct.pack("<Q", numbers["a"]) + b"news of a"),
        record(LATER, OF_MESSAGE | CRITICAL, struct.pack("<Q", numbers["b"]) + b"news of b"),
        record(LATER, CRITICAL, b"news of all"),
    ])
    assert "a newer release may know it" in ostler.tool("check", check=False).stdout
    sink.rcpt_replies.clear()
    for _ in range(2):  # also behind a checkpoint
        ostler.start()
        wait_for(lambda: {"a@remote.test", "c@remote.test"} <= set(sink.recipients()), 20, "the others")
        line, = {x[x.index("store: "):] for x in ostler.log().splitlines() if f"record of a kind ({LATER})" in x}
        assert f"is of a kind ({LATER}) that this release must know and does not, and belongs to no" in ostler.log()
        assert f"message {numbers['b']:016x} has a record of a kind ({LATER})" in line and line.endswith("held")
        assert ids(ostler)["b"]["queue_name"] == "hold" and "b@remote.test" not in sink.recipients()
        ostler.stop()
    ostler.start()
    ostler.tool("release", ids(ostler)["b"]["queue_id"])
    wait_for(lambda: "b@remote.test" in sink.recipients(), 20, "what an operator released")
    wait_for(lambda: not ostler.queue(), 20, "an empty queue")
    assert "damage" not in ostler.log()
