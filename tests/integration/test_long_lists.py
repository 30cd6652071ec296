"""One message to a hundred thousand recipients and more: taken, read in batches, killed half way."""
import collections
import os
import re
import socket
import statistics
import subprocess
import time

from conftest import BUILD, IS_SANITIZED, wait_for
from peer import Peer

RECIPIENTS = 200_000
IN_FLIGHT = 20 * 50  # sessions to a destination, recipients of a transaction
QMGR_MIB = 160 * (3 if IS_SANITIZED else 1)  # most memory of the queue manager


def send_long(port, count, domain="long.test"):
    """Returns the reply to the end of data."""
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        lines = client.makefile("rb")
        lines.readline()
        client.sendall(b"EHLO client.test\r\n")
        while lines.readline()[3:4] == b"-":
            pass
        client.sendall(b"MAIL FROM:<list@client.test>\r\n")
        assert lines.readline().startswith(b"250")
        for first in range(0, count, 500):
            numbers = range(first, min(first + 500, count))
            client.sendall(b"".join(b"RCPT TO:<subscriber%d@%s>\r\n" % (n, domain.encode())
                                    for n in numbers))
            for _ in numbers:
                reply = lines.readline()
                assert reply.startswith(b"250"), reply
        client.sendall(b"DATA\r\n")
        assert lines.readline().startswith(b"354")
        client.sendall(b"Subject: news\r\n\r\nhello all\r\n.\r\n")
        return lines.readline().decode()


def peak_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) / 1024


# rules: K2 K10 K12 F14
def test_200000_recipients__killed_half_way__nobody_twice_but_those_in_flight(make_ostler):
    peer = Peer(lambda stage, number: None)
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}", {
        "smtpd_recipient_limit": str(RECIPIENTS), "journal_segment_size": "67108864",
        "journal_size_min": "268435456"})
    try:
        begun = time.monotonic()
        reply = send_long(ostler.port, RECIPIENTS)
        taken = time.monotonic()
        assert reply.startswith("250 2.0.0 Ok: queued as"), reply
        wait_for(lambda: len(peer.recipients()) > RECIPIENTS // 2, 60, "half of them", step=0.2)
        first = peak_mib(ostler.children()["qmgr"][0])
        ostler.kill("qmgr")
        wait_for(lambda: ostler.queue() == [], 100, "the end", step=1)
        ended = time.monotonic()
        second = peak_mib(ostler.children()["qmgr"][0])
        counts = collections.Counter(peer.recipients())
        twice = sum(count - 1 for count in counts.values())
        print(f"taken in {taken - begun:.1f} s, delivered in {ended - taken:.1f} s, "
              f"qmgr {first:.0f} and {second:.0f} MiB, {twice} twice")
        assert len(counts) == RECIPIENTS
        assert twice <= IN_FLIGHT
        assert max(first, second) < QMGR_MIB
        assert ostler.log().count("status=sent") >= RECIPIENTS
    finally:
        peer.stop()


def latency(ostler, peer, count):
    """Median of the time from the beginning of a transaction to its arrival at the next hop, in ms."""
    times = []
    for _ in range(count):
        known, begun = len(peer.messages), time.monotonic()
        ostler.send("one@fresh.test")
        while len(peer.messages) == known:
            assert time.monotonic() < begun + 20
            time.sleep(0.0002)
        times.append((time.monotonic() - begun) * 1000)
        time.sleep(0.05)
    return statistics.median(times)


def test_200000_recipients__under_way__other_mail_is_not_slower(make_ostler):
    slow, quick = Peer(lambda stage, number: stage == "dot" and time.sleep(0.5) or None), \
        Peer(lambda stage, number: None)
    ostler = make_ostler("", {
        "smtpd_recipient_limit": str(RECIPIENTS), "journal_segment_size": "67108864",
        "journal_size_min": "268435456", "transport_maps": (
            f"inline:{{ long.test=smtp:[127.0.0.1]:{slow.port}, "
            f"fresh.test=smtp:[127.0.0.1]:{quick.port} }}")})
    try:
        latency(ostler, quick, 5)
        idle = latency(ostler, quick, 60)
        assert send_long(ostler.port, RECIPIENTS).startswith("250 2.0.0")
        wait_for(lambda: len(slow.messages) > 20, what="the first batch")
        busy = latency(ostler, quick, 60)
        done = len(slow.recipients())
        print(f"other mail: {idle:.2f} ms idle, {busy:.2f} ms with {done} of {RECIPIENTS} delivered")
        assert 0 < done < RECIPIENTS
        # The claim of 1.2 times is measured on a quiet machine; this says that nobody waits in line.
        assert busy < 3 * idle + 5
    finally:
        slow.stop()
        quick.stop()


def test_sendmail__200000_recipients__are_taken_one_more_is_refused(make_ostler):
    ostler = make_ostler("", {"default_transport": "discard", "journal_segment_size": "67108864",
                              "journal_size_min": "268435456"})

    commands = "".join(f"RCPT TO:<subscriber{n}@long.test>\r\n" for n in range(RECIPIENTS + 1))
    done = subprocess.run([BUILD / "sendmail", "-C", ostler.etc, "-bs"], text=True, capture_output=True, timeout=100,
                          input=f"EHLO me\r\nMAIL FROM:<list@client.test>\r\n{commands}"
                                "DATA\r\nSubject: news\r\n\r\nhello\r\n.\r\nQUIT\r\n")
    replies = done.stdout.splitlines()
    assert replies.count("250 2.1.5 Ok") == RECIPIENTS and replies.count("452 4.5.3 Error: too many recipients") == 1
    assert any(reply.startswith("250 2.0.0 Ok: queued") for reply in replies), replies[-3:]
    wait_for(lambda: ostler.queue() == [], 100, "the end", step=1)
    assert f"nrcpt={RECIPIENTS} " in ostler.log()
