"""qmgr dies at each boundary of two stages after delivery: one report goes out, nothing is lost, nothing doubled.

Builds with check_slow have a switch: qmgr dies, once, where journal/die-at says. What is at a boundary: before
a stage begins, when its batch is on its way to the disk, when it is durable and nobody has heard of it.
"""
import time

import pytest
from conftest import BUILD, wait_for

pytestmark = pytest.mark.skipif(b"die-at" not in (BUILD / "ostlerd").read_bytes(), reason="built without check_slow")
FAST = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}
WRITTEN = ("report is written", "report is durable")
REPORT = ["sender@client.test"]
SCENARIOS = {  # what is sent, what dest.test says to it, settings, who gets how many, boundaries
    "failure": ({"to": ["a@dest.test", "b@dest.test"]}, {"a@dest.test": ["550 5.1.1 no"]}, {},
                {"b@dest.test": 1, "sender@client.test": 1},
                ("result is written", "result is durable", "settled", "failure report", *WRITTEN)),
    "silence": ({"to": ["a@dest.test"], "rcpt_options": ["NOTIFY=NEVER"]}, {"a@dest.test": ["550 5.1.1 no"]}, {}, {},
                ("removal", "removal is written", "removal is durable")),
    "success": ({"to": ["a@dest.test"], "rcpt_options": ["NOTIFY=SUCCESS"]}, {}, {},
                {"a@dest.test": 1, "sender@client.test": 1}, ("settled", "success report", *WRITTEN)),
    "deferral": ({"to": ["a@dest.test", "b@dest.test"]}, {"a@dest.test": ["450 4.2.0 later", "250 2.1.5 ok"]}, {},
                 {"a@dest.test": 1, "b@dest.test": 1},
                 ("settled", "deferral", "deferral is written", "deferral is durable", "removal is written",
                  "removal is durable")),
    "warning": ({"to": ["a@dest.test"]}, {"a@dest.test": ["450 4.2.0 later", "450 4.2.0 later", "250 2.1.5 ok"]},
                {"delay_warning_time": "1s"}, {"a@dest.test": 1, "sender@client.test": 1},
                ("delay warning", *WRITTEN)),
    "expiry": ({"to": ["a@dest.test"]}, {"a@dest.test": ["450 4.2.0 later"]}, {"maximal_queue_lifetime": "0"},
               {"sender@client.test": 1}, ("expiry", "failure report", *WRITTEN)),
    "batches": ({"to": [f"u{n}@dest.test" for n in range(12)]}, {},
                {"qmgr_message_recipient_limit": "4", "qmgr_message_active_limit": "4",
                 "qmgr_message_recipient_minimum": "2"},
                {f"u{n}@dest.test": 1 for n in range(12)}, ("next batch",)),
}
TABLE = [(name, boundary) for name, scenario in SCENARIOS.items() for boundary in scenario[4]]


def counts(sink):
    got = {}
    for _, recipients, _ in sink.messages:
        for recipient in recipients:
            got[recipient] = got.get(recipient, 0) + 1
    return got


@pytest.mark.parametrize("name, boundary", TABLE)
def test_boundary__qmgr_dies_there__all_comes_once(make_ostler, sink, name, boundary):
    mail, replies, settings, want, _ = SCENARIOS[name]
    sink.rcpt_replies.update({address: list(texts) for address, texts in replies.items()})
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {**FAST, **settings}, start=False)
    ostler.start()
    ostler.stop()
    (ostler.dir / "queue" / "journal" / "die-at").write_text(boundary + "\n")
    ostler.start()
    first = ostler.children()["qmgr"]
    ostler.send(**mail)
    wait_for(lambda: ostler.children().get("qmgr", first) != first, what=f"death at {boundary!r}")
    wait_for(lambda: ostler.queue() == [], what="end of all mail")
    assert counts(sink) == want
    time.sleep(0.1)
    assert counts(sink) == want


@pytest.mark.parametrize("boundary", ["requeue is written", "requeue is durable"])
def test_boundary__of_a_requeue__mail_is_there_once(make_ostler, sink, boundary):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {**FAST, "defer_transports": "smtp"})
    ostler.stop()
    (ostler.dir / "queue" / "journal" / "die-at").write_text(boundary + "\n")
    ostler.start()
    first = ostler.children()["qmgr"]
    ostler.send(["a@dest.test", "b@dest.test"])
    wait_for(lambda: [m["queue_name"] for m in ostler.queue()] == ["deferred"], what="deferral")
    ostler.tool("requeue", ostler.queue()[0]["queue_id"], check=False)
    wait_for(lambda: ostler.children().get("qmgr", first) != first, what=f"death at {boundary!r}")
    wait_for(lambda: [len(m["recipients"]) for m in ostler.queue()] == [2], what="the message, once")
    ostler.tool("flush")
    wait_for(lambda: ostler.queue() == [], what="end of all mail")
    assert counts(sink) == {"a@dest.test": 1, "b@dest.test": 1}
