"""Full and failing disks with the real kernel: a file system that runs full, and one that turns read-only.

Goal: what a preloaded library can only pretend. Method: the queue lies on a loop-mounted ext4 image, as in
test_power_cut.py. A file takes all its room; or the kernel is told to find an error in it (trigger_fs_error),
with errors=remount-ro. Skipped without root, loop devices or that switch.
"""
import os
import socket
import time

import pytest
from conftest import wait_for
from test_disk_faults import SMALL, accepted_again, arrived, attempt, health
from test_kill import Load
from test_power_cut import Image, can_mount, command


def fill(path, leave=0):
    """A file that takes all the room there is but `leave` bytes."""
    with open(path, "wb", buffering=0) as f:
        try:
            for size in (1 << 20, 1 << 16, 1 << 12):
                while os.statvfs(path).f_bavail * os.statvfs(path).f_frsize > leave + size:
                    f.write(b"f" * size)
                if leave == 0:
                    try:
                        while True:
                            f.write(b"f" * size)
                    except OSError:
                        pass
        except OSError:
            pass


class Device:
    """An ext4 image, mounted."""

    def __init__(self, directory):
        self.image = Image(f"{directory}/disk")
        self.image.make()
        self.image.mount()

    def done(self):
        self.image.unmount()


@pytest.fixture
def device(tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("needs root, e2fsprogs and loop devices")
    for path in (tmp_path, *list(tmp_path.parents)[:2]):
        path.chmod(0o755)
    device = Device(tmp_path)
    yield device
    device.done()


@pytest.fixture
def thin(tmp_path):
    """A device that promises more than is behind it: writes go into the page cache, flushes fail."""
    if not can_mount(tmp_path):
        pytest.skip("needs root, e2fsprogs and loop devices")
    for path in (tmp_path, *list(tmp_path.parents)[:2]):
        path.chmod(0o755)
    behind = f"{tmp_path}/behind"
    os.mkdir(behind)
    assert command("mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", behind).returncode == 0
    device = Device(behind)
    device.behind = behind
    try:
        yield device
    finally:
        device.done()
        assert command("umount", behind).returncode == 0


@pytest.fixture
def on_device(make_ostler, sink, device):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                         {**SMALL, "queue_directory": f"{device.image.path}/queue"})
    yield ostler
    ostler.stop()


def greeting_s(ostler):
    """How long a client waits for it."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", ostler.port), 40) as s:
        s.settimeout(40)
        assert s.recv(4) == b"220 "
    return time.monotonic() - began


@pytest.fixture
def on_thin(make_ostler, sink, thin):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                         {**SMALL, "queue_directory": f"{thin.image.path}/queue"})
    yield ostler
    ostler.stop()


def test_flush_really_fails__greetings_and_refusals_come_at_once(on_thin, sink, thin):
    on_thin.send([f"w{n}@dest.test" for n in range(10)])
    fill(f"{thin.behind}/filler")
    load = Load(on_thin.port, "thin", body="x" * 70 + "\r\n" * 3000)
    load.start()
    wait_for(lambda: attempt(on_thin, "large@dest.test", body=("x" * 70 + "\r\n") * 5000) != 250, 20, "a failure")
    # Also a process that never had a queue ID: giving those out needs a write.
    on_thin.kill("smtpd")
    wait_for(on_thin.greets, 10, "another smtpd")
    slowest = 0
    for _ in range(50):
        slowest = max(slowest, greeting_s(on_thin))
        assert attempt(on_thin, "refused@dest.test") in (451, 452)
    assert slowest < 2 and set(load.refused) <= {451, 452} and health(on_thin)[0] == 503
    load.stopped.set()
    load.join(30)
    arrived(sink, load.acknowledged, 30)


def test_file_system_runs_full__mail_is_refused_deliveries_drain_and_service_returns(on_device, sink, device):
    sink.rcpt_replies["bounced@dest.test"] = ["450 4.2.0 not now"]
    waiting = [f"w{n}@dest.test" for n in range(50)]
    for address in waiting:
        sink.rcpt_replies[address] = ["450 4.2.0 not now"]
        on_device.send(address)
    on_device.send("bounced@dest.test", sender="back@dest.test")
    filler = f"{device.image.path}/filler"
    fill(filler)
    load = Load(on_device.port, "full", body="x" * 70 + "\r\n" * 500)
    load.start()
    wait_for(lambda: len(load.refused) >= 3, 30, "refusals")
    assert set(load.refused) == {452}
    wait_for(lambda: "new mail gets 452" in on_device.log(), 10, "log line")
    code, text = health(on_device)
    assert code == 503 and ("full" in text or "queue_minfree" in text)
    # What was there is delivered, recorded and bounced while no new mail comes.
    sink.rcpt_replies.clear()
    sink.rcpt_replies["bounced@dest.test"] = ["550 5.1.1 no such user"]
    arrived(sink, waiting, 30)
    wait_for(lambda: on_device.log().count(": removed") >= 50, 20, "ends of messages")
    assert health(on_device)[0] == 503
    load.stopped.set()
    load.join(30)
    os.unlink(filler)
    accepted_again(on_device)
    arrived(sink, ["back@dest.test", *load.acknowledged], 30)
    wait_for(lambda: "new mail is accepted again" in on_device.log(), 5, "log line")
    assert on_device.log().count("new mail gets 452") == 1


def test_file_system_turns_read_only__mail_is_refused_and_all_is_there_after_a_repair(on_device, sink, device):
    assert command("mount", "-o", "remount,errors=remount-ro", device.image.path).returncode == 0
    loop = os.path.basename(command("findmnt", "-no", "SOURCE", device.image.path).stdout.strip())
    trigger = f"/sys/fs/ext4/{loop}/trigger_fs_error"
    if not os.path.exists(trigger):
        pytest.skip("this kernel cannot be told to find an error in a file system")
    load = Load(on_device.port, "ro")
    load.start()
    time.sleep(0.5)
    with open(trigger, "w") as f:
        f.write("1")
    wait_for(lambda: len(load.refused) >= 3, 20, "refusals")
    assert set(load.refused) <= {451, 452} and health(on_device)[0] == 503
    load.stopped.set()
    load.join(30)
    on_device.stop()
    device.image.unmount()
    assert command("fsck.ext4", "-fy", device.image.file).returncode in (0, 1)
    device.image.mount()
    on_device.start()
    assert attempt(on_device, "after@dest.test") == 250
    arrived(sink, ["after@dest.test", *load.acknowledged])
