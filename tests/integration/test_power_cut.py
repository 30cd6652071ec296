"""Power cut: the queue's block device is copied at an instant under load; the copy must have every
acknowledged message.

Method: the queue lies on a loop-mounted ext4 image. At a random moment all processes of Ostler are stopped,
the image is copied when the device is quiet (two copies in a row are the same: nothing dirty was flushed by
us, as nobody calls sync), and they go on. The copy is mounted (the file system replays its own journal) and a
second Ostler delivers what it finds. Acknowledged = at the first sink by then, or delivered from the copy.
"""
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time

import pytest
from conftest import LONG, Sink, wait_for
from test_kill import Load, SETTINGS

ROUNDS = 20 if LONG else 3
IMAGE_MB = 128
SMALL = {**SETTINGS, "journal_segment_size": "1048576", "journal_size_min": "8388608",
         "queue_minfree": "0"}


def command(*words):
    return subprocess.run(words, capture_output=True, text=True)


class Image:
    """A file with a file system, mounted at `path`."""

    def __init__(self, directory):
        self.file, self.path = f"{directory}/image", f"{directory}/mounted"
        os.makedirs(self.path)

    def make(self):
        with open(self.file, "wb") as f:
            f.truncate(IMAGE_MB << 20)
        assert command("mkfs.ext4", "-q", "-F", self.file).returncode == 0

    def mount(self):
        done = command("mount", "-o", "loop", self.file, self.path)
        assert done.returncode == 0, done.stderr
        os.chmod(self.path, 0o755)

    def unmount(self):
        wait_for(lambda: command("umount", self.path).returncode == 0, 10, "umount")


def can_mount(directory):
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        return False
    image = Image(f"{directory}/probe")
    image.make()
    if command("mount", "-o", "loop", image.file, image.path).returncode != 0:
        return False
    image.unmount()
    return True


def digest(path):
    return hashlib.blake2b(open(path, "rb").read()).digest()


def copy_at_an_instant(ostler, source, target):
    """The device's content while every process of Ostler is stopped."""
    pids = [ostler.process.pid, *(p for group in ostler.children().values() for p in group)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(0.02)  # what the device was doing is done
        for _ in range(100):  # the kernel may go on writing back for a moment: an instant has none of that
            before = digest(source)
            shutil.copyfile(source, target)
            if before == digest(target) == digest(source):
                return
        raise AssertionError("the device does not come to rest")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_power_cut__every_acknowledged_message_is_on_the_device(make_ostler, sink, tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("needs root, e2fsprogs and loop devices")
    os.chmod(tmp_path, 0o755)
    disk, cut = Image(tmp_path / "disk"), Image(tmp_path / "cut")
    disk.make()
    disk.mount()
    late = Sink()
    late.start()
    ostler = None
    try:
        ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                             {**SMALL, "queue_directory": f"{disk.path}/queue"})
        for number in range(ROUNDS):
            one_round(ostler, make_ostler, sink, late, disk, cut, number)
    finally:
        late.stop()
        if ostler is not None:
            ostler.stop()
        disk.unmount()


def one_round(ostler, make_ostler, sink, late, disk, cut, number):
    # Half of the rounds find mail waiting in the queue, the others mail in flight.
    if number % 2 == 0:
        sink.rcpt_replies.clear()
    loads = [Load(ostler.port, f"r{number}c{n}") for n in range(4)]
    for load in loads:
        load.start()
    time.sleep(random.uniform(0.5, 1.5))
    if number % 2 == 1:
        sink.stop()
        time.sleep(0.5)
    acknowledged = {a for load in loads for a in list(load.acknowledged)}
    copy_at_an_instant(ostler, disk.file, cut.file)
    delivered = set(sink.recipients())
    for load in loads:
        load.stopped.set()
    for load in loads:
        load.join(30)
    assert len(acknowledged) > 20
    late.messages.clear()
    cut.mount()
    try:
        copy = make_ostler(f"[127.0.0.1]:{late.port}",
                           {**SMALL, "queue_directory": f"{cut.path}/queue"})
        wait_for(lambda: acknowledged <= delivered | set(late.recipients()), 60,
                 f"round {number}: every acknowledged message, from the sink or the copy")
        copy.stop()
    finally:
        cut.unmount()
    if number % 2 == 1:
        sink.start()
    everything = {a for load in loads for a in load.acknowledged}
    wait_for(lambda: everything <= set(sink.recipients()), 60, "the real one delivers all")
