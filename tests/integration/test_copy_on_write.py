"""Segments that are appended and removed: journal_recycle, and real file systems that copy on write.

Goal: where an overwritten block gets a new place nothing is used again, the reserve is free space, and all
promises hold as elsewhere. Method: a btrfs image on a loop device (skipped without root, btrfs-progs or the kernel's
btrfs) under load, full, killed, and cut off; journal_recycle = no on whatever the tests run on.
"""
import os
import re
import shutil
import time

import pytest
from conftest import Sink, wait_for
from test_disk_faults import SMALL, accepted_again, arrived, health
from test_disk_full import fill
from test_kill import Load
from test_power_cut import Image, command, copy_at_an_instant

SEGMENT = int(SMALL["journal_segment_size"])
APPENDS = "segments of the journal are appended and removed, not used again"


class Btrfs(Image):
    """Two of the same identity cannot be mounted at a time."""

    def make(self):
        with open(self.file, "wb") as f:
            f.truncate(128 << 20)
        return command("mkfs.btrfs", "-q", "-f", "-M", self.file).returncode == 0


@pytest.fixture
def btrfs(tmp_path):
    if os.geteuid() != 0 or shutil.which("mkfs.btrfs") is None:
        pytest.skip("needs root and btrfs-progs")
    for path in (tmp_path, *list(tmp_path.parents)[:2]):
        path.chmod(0o755)
    image = Btrfs(f"{tmp_path}/disk")
    if not image.make() or command("mount", "-o", "loop", image.file, image.path).returncode != 0:
        pytest.skip("btrfs images cannot be mounted")
    os.chmod(image.path, 0o755)
    yield image
    if os.path.ismount(image.path):
        command("umount", "-l", image.path)  # also where a test failed, and Ostler still runs


def start(make_ostler, sink, image):
    return make_ostler(f"[127.0.0.1]:{sink.port}", {**SMALL, "queue_directory": f"{image.path}/queue"})


def segments(queue):
    names = [n for n in os.listdir(f"{queue}/journal") if re.fullmatch(r"\d{8}\.seg", n)]
    return {n: os.path.getsize(f"{queue}/journal/{n}") for n in names}


def fill_up_to(path, leave):
    """A file that leaves so much room. What is not flushed yet btrfs does not count."""
    with open(path, "wb", buffering=0) as f:
        while os.statvfs(path).f_bavail * os.statvfs(path).f_frsize > leave:
            f.write(os.urandom(1 << 18))
            os.fsync(f.fileno())


def churn(ostler, prefix, megabytes):
    """Mail that comes and goes, as much as that."""
    body = ("x" * 70 + "\r\n") * 1400
    addresses = [f"{prefix}{n}@dest.test" for n in range(megabytes * 10)]
    for address in addresses:
        ostler.send(address, body=body)
    return addresses


def test_journal_recycle_no__files_grow_and_are_removed(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                         {**SMALL, "journal_recycle": "no", "journal_scrub": "yes"})
    queue = f"{ostler.dir}/queue"
    arrived(sink, churn(ostler, "a", 12))
    assert APPENDS + "; journal_scrub has no effect" in ostler.log()
    wait_for(lambda: len(segments(queue)) < 14, 20, "segments are removed")
    sizes = sorted(segments(queue).values())
    assert sizes[0] == 0 and sizes[-1] <= SEGMENT and any(0 < s < SEGMENT for s in sizes)
    # Cut short and mended by the same rules: kill, start, and nothing is missing or damaged.
    sink.rcpt_replies["later@dest.test"] = ["450 4.2.0 not now"]
    ostler.send("later@dest.test")
    ostler.tool("snapshot", f"{ostler.dir}/copy")
    ostler.kill_tree()
    ostler.start()
    sink.rcpt_replies.clear()
    arrived(sink, ["later@dest.test"])
    assert "damage" not in ostler.log()
    ostler.stop()
    assert ostler.tool("check").returncode == 0


def test_mode_changes__what_was_written_before_is_read_and_goes(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {**SMALL, "journal_recycle": "no"})
    queue = f"{ostler.dir}/queue"
    sink.rcpt_replies["first@dest.test"] = ["450 4.2.0 not now"]
    ostler.send("first@dest.test")
    for recycle in ("yes", "no"):
        ostler.stop()
        ostler.write_main({**ostler.values, "journal_recycle": recycle})
        ostler.start()
        arrived(sink, churn(ostler, recycle, 12))
        whole = all(size == SEGMENT for size in segments(queue).values())
        assert whole == (recycle == "yes")
    sink.rcpt_replies.clear()
    arrived(sink, ["first@dest.test"])
    assert "damage" not in ostler.log()


def test_btrfs__segments_are_appended_and_kills_lose_nothing(make_ostler, sink, btrfs):
    ostler = start(make_ostler, sink, btrfs)
    assert APPENDS in ostler.log()
    load = Load(ostler.port, "k", body="x" * 70 + "\r\n" * 300)
    load.start()
    for _ in range(4):
        time.sleep(0.7)
        ostler.kill("qmgr")
        wait_for(ostler.greets, 20, "qmgr is back")
    load.stopped.set()
    load.join(30)
    assert len(load.acknowledged) > 20
    arrived(sink, load.acknowledged)
    sizes = segments(f"{btrfs.path}/queue")
    assert min(sizes.values()) == 0 and max(sizes.values()) <= SEGMENT
    assert "damage" not in ostler.log()
    ostler.stop()


def test_btrfs_power_cut__every_acknowledged_message_is_on_the_device(make_ostler, sink, btrfs):
    ostler = start(make_ostler, sink, btrfs)
    sink.rcpt_replies["kept@dest.test"] = ["450 4.2.0 not now"]
    ostler.send("kept@dest.test")
    loads = [Load(ostler.port, f"c{n}") for n in range(4)]
    for load in loads:
        load.start()
    time.sleep(1.5)
    acknowledged = {a for load in loads for a in list(load.acknowledged)} | {"kept@dest.test"}
    cut = Image(btrfs.file + "-cut")
    copy_at_an_instant(ostler, btrfs.file, cut.file)
    delivered = set(sink.recipients())
    for load in loads:
        load.stopped.set()
    for load in loads:
        load.join(30)
    assert len(acknowledged) > 20
    ostler.stop()
    btrfs.unmount()
    late = Sink()
    late.start()
    cut.mount()
    try:
        copy = start(make_ostler, late, cut)
        copy.tool("release", "ALL", check=False)  # in case the copied directory counts as another one
        wait_for(lambda: acknowledged <= delivered | set(late.recipients()), 60, "every acknowledged message")
        assert "damage" not in copy.log()
        copy.stop()
    finally:
        cut.unmount()
        late.stop()


def test_btrfs_full__mail_is_refused_in_time_deliveries_drain_and_service_returns(make_ostler, sink, btrfs):
    ostler = start(make_ostler, sink, btrfs)
    waiting = [f"w{n}@dest.test" for n in range(50)]
    for address in waiting:
        sink.rcpt_replies[address] = ["450 4.2.0 not now"]
        ostler.send(address)
    filler = f"{btrfs.path}/filler"
    fill_up_to(filler, 6 * SEGMENT)
    load = Load(ostler.port, "full", body="x" * 70 + "\r\n" * 500)
    load.start()
    wait_for(lambda: len(load.refused) >= 3, 60, "refusals")
    assert set(load.refused) == {452}
    code, text = health(ostler)
    assert code == 503 and "full" in text
    # The room that is left is for results.
    sink.rcpt_replies.clear()
    arrived(sink, waiting)
    wait_for(lambda: ostler.log().count(": removed") >= 50, 30, "ends of messages")
    assert "write or flush failed" not in ostler.log()
    load.stopped.set()
    load.join(30)
    os.unlink(filler)
    accepted_again(ostler)
    arrived(sink, load.acknowledged)
    assert "damage" not in ostler.log()
    ostler.stop()


def test_btrfs_wholly_full__nothing_unwritten_is_acknowledged_and_service_returns(make_ostler, sink, btrfs):
    ostler = start(make_ostler, sink, btrfs)
    load = Load(ostler.port, "none", body="x" * 70 + "\r\n" * 500)
    load.start()
    wait_for(lambda: len(load.acknowledged) >= 3, 20, "mail")
    filler = f"{btrfs.path}/filler"
    fill(filler)
    wait_for(lambda: len(load.refused) >= 3, 60, "refusals")
    assert set(load.refused) <= {451, 452}
    load.stopped.set()
    load.join(30)
    os.unlink(filler)
    accepted_again(ostler, 60)
    arrived(sink, load.acknowledged)
    assert "damage" not in ostler.log() and not [n for n in os.listdir(f"{btrfs.path}/queue/journal")
                                                 if n.startswith("bad-")]
    ostler.stop()
