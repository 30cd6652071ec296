"""Mixed load for long, with all that goes wrong in a day: memory stays flat, no descriptor leaks, nothing is lost.

Method: clients send all the while to a next hop that is well, one that is slow, one that defers and one that comes
and goes; roles are killed now and then. Resident memory and open descriptors of each role are noted. OSTLER_LONG=1 runs
it for an hour, else for some seconds, which shows that it works, not that nothing grows.
"""
import os
import random
import resource
import smtplib
import threading
import time

from conftest import LONG, Sink, free_port, wait_for
from peer import Peer

SECONDS = int(os.environ.get("OSTLER_SOAK_SECONDS", 3600 if LONG else 20))
STRIKE_EVERY_S = 20 if LONG else 4  # longer than master's delay grows
PAUSE_S = 0.01
DOMAINS = ("well.test", "slow.test", "later.test", "away.test")


class Client(threading.Thread):
    """Sends to one domain until it is stopped; notes what was acknowledged."""

    def __init__(self, port, domain):
        super().__init__(daemon=True)
        self.port, self.domain, self.stopped, self.acknowledged = port, domain, threading.Event(), []

    def run(self):
        number = 0
        while not self.stopped.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, timeout=20) as client:
                    for _ in range(20):
                        number += 1
                        to = f"{number}@{self.domain}"
                        body = ("x" * 70 + "\r\n") * random.randrange(70)
                        client.sendmail("s@client.test", [to], f"Subject: {number}\r\n\r\n{body}")
                        self.acknowledged.append(to)
                        if self.stopped.wait(PAUSE_S * (1 if self.domain == "well.test" else 20)):
                            return
            except (OSError, smtplib.SMTPException):
                time.sleep(0.1)


def measure(ostler):
    """{role: (resident KiB, descriptors)} of the largest process of each."""
    sizes = {}
    for role, pids in ostler.children().items():
        for pid in pids:
            try:
                with open(f"/proc/{pid}/statm") as f:
                    kib = int(f.read().split()[1]) * resource.getpagesize() // 1024
                count = len(os.listdir(f"/proc/{pid}/fd"))
            except OSError:
                continue
            old = sizes.get(role, (0, 0))
            sizes[role] = (max(old[0], kib), max(old[1], count))
    return sizes


def highest(samples):
    return {role: tuple(max(s[role][i] for s in samples if role in s) for i in (0, 1))
            for role in samples[0]}


def test_soak__mixed_load_with_faults__nothing_grows_and_nothing_is_lost(make_ostler, sink):
    slow = Peer(lambda stage, number: time.sleep(0.3) if stage == "dot" else None)
    later = Peer(lambda stage, number: "450 4.2.0 later" if stage == "rcpt" and random.random() < 0.5 else None)
    away_port = free_port()
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {
        "minimal_backoff_time": "2s", "maximal_backoff_time": "5s", "smtpd_client_connection_count_limit": "0",
        "transport_maps": f"inline:{{ slow.test=smtp:[127.0.0.1]:{slow.port}, later.test=smtp:[127.0.0.1]:{later.port}, "
                          f"away.test=smtp:[127.0.0.1]:{away_port} }}"})
    away = Sink()
    away.port = away_port
    clients = [Client(ostler.port, domain) for domain in DOMAINS]
    for client in clients:
        client.start()
    samples, began, strike, is_there = [], time.monotonic(), 0.0, False
    while (now := time.monotonic() - began) < SECONDS:
        time.sleep(SECONDS / 200)
        samples.append(measure(ostler))
        if now - strike > STRIKE_EVERY_S:
            strike = now
            ostler.kill(random.choice(["smtp", "smtpd", "qmgr", "local", "resolver", "pickup"]))
            (away.stop if is_there else away.start)()
            is_there = not is_there
    for client in clients:
        client.stopped.set()
    for client in clients:
        client.join(30)
    if not is_there:
        away.start()
    acknowledged = {a for client in clients for a in client.acknowledged}
    assert all(client.acknowledged for client in clients)
    wait_for(lambda: not acknowledged - set(sink.recipients()) - set(slow.recipients()) - set(later.recipients())
             - set(away.recipients()), 120, "every acknowledged message somewhere", 0.5)
    wait_for(lambda: ostler.queue() == [], 60, "an empty queue", 0.5)
    away.stop()
    slow.stop()
    later.stop()
    # The first quarter is for warming up; what grows with time shows between the second and the last.
    quarter = len(samples) // 4
    early, late = highest(samples[quarter:2 * quarter]), highest(samples[-quarter:])
    for role, (kib, descriptors) in late.items():
        assert descriptors <= early[role][1] + 16, (role, early[role], late[role])
        assert not LONG or kib <= early[role][0] * 1.3 + 4096, (role, early[role], late[role])
