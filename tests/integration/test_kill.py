"""Kill any process under load: nothing that was acknowledged is lost, and little is repeated.

Goal: promise 1 and 2 of the design. Method: several clients send numbered messages and note each 250;
meanwhile roles, or the whole tree, are killed with SIGKILL; at the end every noted message must have
reached the sink. OSTLER_LONG=1 runs 50 rounds of each instead of 5.
"""
import random
import smtplib
import threading
import time

import pytest
from conftest import LONG, wait_for

ROUNDS = 50 if LONG else 5
AGAIN = 6  # master's delay before a restart doubles; after so many rounds it begins anew
SETTINGS = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
            "smtpd_client_connection_count_limit": "0"}


class Load(threading.Thread):
    """One client; `acknowledged` are the recipients whose message got its 250, `refused` the other replies."""

    def __init__(self, port, name, body="body\r\n"):
        super().__init__(daemon=True)
        self.body = body
        self.port, self.name_, self.stopped = port, name, threading.Event()
        self.acknowledged, self.refused = [], []

    def run(self):
        number = 0
        while not self.stopped.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, timeout=10) as client:
                    for _ in range(50):
                        if self.stopped.is_set():
                            return
                        number += 1
                        address = f"{self.name_}.{number}@dest.test"
                        client.sendmail("s@client.test", [address],
                                        f"Subject: {number}\r\n\r\n{self.body}")
                        self.acknowledged.append(address)
            except smtplib.SMTPResponseException as reply:
                self.refused.append(reply.smtp_code)
                time.sleep(0.02)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.05)


def run_rounds(ostler, sink, strike, rounds):
    loads = [Load(ostler.port, f"load{n}") for n in range(4)]
    for load in loads:
        load.start()
    for number in range(1, rounds + 1):
        time.sleep(random.uniform(0.2, 0.6))
        strike()
        if number % AGAIN == 0:
            ostler.stop()
            ostler.start()
    time.sleep(1)
    for load in loads:
        load.stopped.set()
    for load in loads:
        load.join(30)
    acknowledged = {a for load in loads for a in load.acknowledged}
    assert len(acknowledged) > 20
    missing = lambda: acknowledged - set(sink.recipients())
    wait_for(lambda: not missing(), 90, "every acknowledged message at the sink")
    # Notices to the postmaster say that a queue manager died; each is a message of its own.
    delivered = [r for r in sink.recipients() if r.endswith("@dest.test")]
    return len(delivered) - len(set(delivered))


# rules: M3 F13 X9a X9b Y9 Y20
@pytest.mark.parametrize("role", ["qmgr", "smtpd", "smtp", "resolver", "pickup",
                                  "local", "log"])
def test_kill__one_role__loses_nothing(make_ostler, sink, role):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", SETTINGS)

    def strike():
        wait_for(lambda: ostler.kill(role), 40, f"a living {role}")

    repeated = run_rounds(ostler, sink, strike, ROUNDS)
    if role != "smtp":
        assert repeated == 0, "a finished transaction was repeated though its worker lived"


# rules: Y10
def test_stop__right_after_qmgr_was_killed__repeats_nothing(make_ostler, sink):
    """Workers have results that only a queue manager can record: a stop starts it once more for that."""
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {**SETTINGS, "stop_grace": "20s"})

    def strike():
        wait_for(lambda: ostler.kill("qmgr"), 40, "a living qmgr")
        time.sleep(random.choice((0, 0, 0.02, 0.15)))
        ostler.stop()
        ostler.start()

    assert run_rounds(ostler, sink, strike, ROUNDS) == 0


# rules: L45
def test_kill__whole_tree__loses_nothing(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", SETTINGS)

    def strike():
        ostler.kill_tree()
        ostler.start()

    run_rounds(ostler, sink, strike, ROUNDS)
