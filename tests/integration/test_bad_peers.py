"""Next hops that hang, drop the connection or defer, stage by stage: mail waits or goes elsewhere, never lost."""
import time

import pytest
from conftest import free_port, wait_for
from dnslib import MX, A
from peer import Peer
from test_peers import names  # noqa: F401 (a fixture)

RETRY = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s"}
SHORT = {**RETRY, **{f"smtp_{stage}_timeout": "1s" for stage in (
    "connect", "helo", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset", "quit")}}
WHILE = {"connect": "receiving the initial server greeting", "ehlo": "performing the EHLO handshake",
         "mail": "sending MAIL FROM", "rcpt": "sending RCPT TO", "data": "sending DATA command",
         "dot": "sending end of data -- message may be sent more than once"}


@pytest.fixture
def peers():
    made = []

    def make(script, **options):
        made.append(Peer(script, **options))
        return made[-1]

    yield make
    for peer in made:
        peer.stop()


def first_time(stage, what):
    """The first connection meets `what` at this stage, all others nothing."""
    return lambda at, number: what if at == stage and number == 1 else None


# rules: J17
@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "body", "dot"])
def test_peer__lost_connection__mail_waits_and_arrives(make_ostler, peers, stage):
    peer = peers(first_time(stage, "drop"))
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}", SHORT)
    ostler.send("a@dest.test", body="x" * 70 + "\r\n")
    wait_for(lambda: peer.recipients() == ["a@dest.test"], what="delivery after a lost connection")
    line = next(l for l in ostler.log().splitlines() if "status=deferred" in l)
    assert "dsn=4.4.2" in line and "(lost connection with 127.0.0.1[127.0.0.1] while " in line
    assert stage == "body" or WHILE[stage] in line
    wait_for(lambda: ostler.queue() == [], what="empty queue")
    time.sleep(0.3)
    assert len(peer.messages) == 1


# rules: J17
@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "dot"])
def test_peer__hangs__the_stage_times_out_and_mail_arrives_later(make_ostler, peers, stage):
    peer = peers(first_time(stage, "hang"))
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}", SHORT)
    ostler.send("a@dest.test")
    wait_for(lambda: peer.recipients() == ["a@dest.test"], what="delivery after a time-out")
    line = next(l for l in ostler.log().splitlines() if "status=deferred" in l)
    assert f"(conversation with 127.0.0.1[127.0.0.1] timed out while {WHILE[stage]})" in line


def test_peer__hangs__other_destinations_are_not_held_up(make_ostler, peers, sink):
    peer = peers(lambda stage, number: "hang" if stage == "connect" else None)
    ostler = make_ostler("", {**RETRY, "transport_maps": (
        f"inline:{{ slow.test=smtp:[127.0.0.1]:{peer.port}, fast.test=smtp:[127.0.0.1]:{sink.port} }}")})
    for number in range(30):
        ostler.send(f"a{number}@slow.test")
    began = time.monotonic()
    ostler.send("b@fast.test")
    wait_for(lambda: sink.recipients() == ["b@fast.test"], what="delivery")
    assert time.monotonic() - began < 2


def test_peer__one_session_hangs_at_the_final_dot__other_mail_of_the_site_goes_on(make_ostler, peers):
    """The next message takes another session at once; the stuck one keeps its own and nobody else's."""
    peer = peers(first_time("dot", "hang"))
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}")
    ostler.send("stuck@dest.test")
    wait_for(lambda: ("DATA" in (line for _, line in peer.commands)), what="the content of the first")
    began = time.monotonic()
    wanted = [f"b{number}@dest.test" for number in range(50)]
    for address in wanted:
        ostler.send(address)
    wait_for(lambda: set(peer.recipients()) == set(wanted), 5, "all the others", 0.005)
    assert time.monotonic() - began < 5
    assert [m["queue_name"] for m in ostler.queue()] == ["active"]


def test_peer__session_closed_between_two_messages__second_goes_at_once(make_ostler, peers):
    peer = peers(lambda stage, number: "drop" if stage == "idle" else None)
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}")
    for number in range(5):
        ostler.send(f"a{number}@dest.test")
        wait_for(lambda: len(peer.messages) == number + 1, 5, "delivery on a fresh session")
    assert "status=deferred" not in ostler.log()


def test_peer__421_between_two_messages__second_goes_at_once(make_ostler, peers):
    seen = set()

    def script(stage, number):
        if stage == "mail" and number in seen:
            return "421 4.4.2 idle for too long"
        if stage == "dot":
            seen.add(number)
        return None

    peer = peers(script)
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}")
    for number in range(3):
        ostler.send(f"a{number}@dest.test")
        wait_for(lambda: len(peer.messages) == number + 1, 5, "delivery on a fresh session")
    assert "status=deferred" not in ostler.log()


def two_hosts(make_ostler, names, port):
    server = names({("dest.test", "MX"): [MX("first.dest.test", 10), MX("second.dest.test", 20)],
                    ("first.dest.test", "A"): [A("127.0.0.2")], ("second.dest.test", "A"): [A("127.0.0.3")]})
    return make_ostler("", {**RETRY, "resolver_nameservers": server, "smtp_tcp_port": str(port)})


# rules: J24 Y13
@pytest.mark.parametrize("stage,what,words", [
    ("rcpt", "450 4.2.0 greylisted", "said: 450 4.2.0 greylisted (in reply to RCPT TO command)"),
    ("mail", "451 4.3.0 busy", "said: 451 4.3.0 busy (in reply to MAIL FROM command)"),
    ("dot", "452 4.3.1 full", "said: 452 4.3.1 full (in reply to end of DATA command)"),
    ("data", "drop", "lost connection with first.dest.test[127.0.0.2] while sending DATA command"),
    ("connect", "554 5.0.0 not you", None)])
def test_hosts__first_one_defers__second_takes_it_at_once(make_ostler, peers, names, stage, what, words):  # noqa: F811
    first = peers(lambda at, number: what if at == stage else None, address="127.0.0.2", port=free_port())
    second = peers(lambda at, number: None, address="127.0.0.3", port=first.port)
    ostler = two_hosts(make_ostler, names, first.port)
    ostler.send("a@dest.test")
    wait_for(lambda: second.recipients() == ["a@dest.test"], 5, "delivery by the second host")
    wait_for(lambda: "removed" in ostler.log(), what="end")
    assert "status=deferred" not in ostler.log()
    assert "relay=second.dest.test[127.0.0.3]:" in ostler.log()
    if words is not None:
        assert words in ostler.log()
    assert first.messages == []


# rules: Y6 Y7 Y13
def test_hosts__each_recipient_ends_where_it_was_decided(make_ostler, peers, names):  # noqa: F811
    replies = iter(["250 2.1.5 Ok", "450 4.2.0 later", "550 5.1.1 gone"])
    first = peers(lambda at, number: next(replies) if at == "rcpt" else None, address="127.0.0.2",
                  port=free_port())
    second = peers(lambda at, number: "450 4.2.0 nor here" if at == "rcpt" else None,
                   address="127.0.0.3", port=first.port)
    ostler = two_hosts(make_ostler, names, first.port)
    ostler.send(["a@dest.test", "b@dest.test", "c@dest.test"], sender="")
    wait_for(lambda: ostler.log().count(" status=") == 3, what="three results")
    log = ostler.log()
    assert "to=<a@dest.test>, relay=first.dest.test[127.0.0.2]" in log
    assert "to=<c@dest.test>, relay=first.dest.test[127.0.0.2]" in log
    assert "to=<b@dest.test>, relay=second.dest.test[127.0.0.3]" in log
    entry, = wait_for(ostler.queue, what="queue entry")
    assert [r["address"] for r in entry["recipients"]] == ["b@dest.test"]
    assert first.recipients() == ["a@dest.test"] and second.messages == []


# rules: Y13
def test_hosts__first_defers_and_second_is_down__recipient_waits(make_ostler, peers, names):  # noqa: F811
    first = peers(lambda at, number: "450 4.2.0 later" if at == "rcpt" and number == 1 else None,
                  address="127.0.0.2", port=free_port())
    ostler = two_hosts(make_ostler, names, first.port)
    ostler.send("a@dest.test")
    wait_for(lambda: first.recipients() == ["a@dest.test"], what="delivery at the second attempt")
    assert "status=deferred (connect to second.dest.test[127.0.0.3]" in ostler.log()
