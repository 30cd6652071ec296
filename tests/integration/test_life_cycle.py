"""Rules of the life cycle as they show outside: expiry, reports, flush, hold, requeue, log lines.

The comment above a test names the rules that it proves; tests/rules has the whole list.
"""
import email
import re
import smtplib
import socket
import time

from conftest import free_port, wait_for

SLOW = {"minimal_backoff_time": "1000s", "maximal_backoff_time": "1000s"}
FAST = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}


def down_but_for_client(sink, settings=None):
    """Everything but client.test goes to a next hop that refuses connections."""
    return f"[127.0.0.1]:{free_port()}", {
        **SLOW, "transport_maps": f"inline:{{ client.test=smtp:[127.0.0.1]:{sink.port} }}", **(settings or {})}


def report_fields(content):
    """The report's parts: header, text, fields of the message, fields of recipients, original."""
    parsed = email.message_from_bytes(content)
    text, status, original = parsed.get_payload()
    message, *recipients = status.get_payload()
    return parsed, text.get_payload(), message, recipients, original


def restart(ostler, **changes):
    ostler.stop()
    ostler.write_main({**ostler.values, **changes})
    ostler.start()


# --- expiry ------------------------------------------------------------------------------------------

# rules: B9 B10 D42 D43 D51 J19 N11 T23
def test_expiry__lifetime_over__sender_gets_the_reasons(make_ostler, sink):
    ostler = make_ostler(*down_but_for_client(sink, {"maximal_queue_lifetime": "0"}))
    ostler.send(["a@dest.test", "b@dest.test"])
    wait_for(lambda: sink.messages, what="report")
    sender, recipients, content = sink.messages[0]
    assert (sender, recipients) == ("", ["sender@client.test"])
    _, text, _, fields, _ = report_fields(content)
    assert [f["Final-Recipient"] for f in fields] == ["rfc822; a@dest.test", "rfc822; b@dest.test"]
    assert {f["Action"] for f in fields} == {"failed"}
    assert all(f["Status"].startswith("4.") for f in fields) and "Connection refused" in text.replace("\n    ", " ")
    assert ": from=<sender@client.test>, status=expired, returned to sender" in ostler.log()
    wait_for(lambda: ostler.queue() == [], what="end")
    assert len(sink.messages) == 1


# rules: B9 D42 T24 N21 J19
def test_expiry__null_sender__has_its_own_lifetime(make_ostler, sink):
    ostler = make_ostler(*down_but_for_client(sink, {"bounce_queue_lifetime": "0"}))
    ostler.send("a@dest.test", sender="")
    ostler.send("b@dest.test")
    wait_for(lambda: ": from=<>, status=expired, returned to sender" in ostler.log(), what="expiry")
    wait_for(lambda: [m["sender"] for m in ostler.queue()] == ["sender@client.test"], what="the other stays")
    assert sink.messages == []


# rules: D51 O50
def test_expiry__on_hold__waits_for_release(make_ostler, sink):
    ostler = make_ostler(*down_but_for_client(sink))
    ostler.send("a@dest.test")
    wait_for(lambda: [m["queue_name"] for m in ostler.queue()] == ["deferred"], what="deferral")
    ostler.tool("hold", "ALL")
    restart(ostler, maximal_queue_lifetime="0")
    ostler.tool("flush")
    time.sleep(0.5)
    assert [m["queue_name"] for m in ostler.queue()] == ["hold"] and "status=expired" not in ostler.log()
    ostler.tool("release", "ALL")
    wait_for(lambda: sink.recipients() == ["sender@client.test"], what="report after the release")


# --- reports -----------------------------------------------------------------------------------------

# rules: N6 J11 T72
def test_soft_bounce__refusal__is_deferred(make_ostler, sink):
    sink.rcpt_replies["a@dest.test"] = ["550 5.1.1 no"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {**SLOW, "soft_bounce": "yes"})
    ostler.send("a@dest.test")
    wait_for(lambda: "status=SOFTBOUNCE (host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no" in ostler.log(), what="line")
    entry, = wait_for(lambda: [m for m in ostler.queue() if m["queue_name"] == "deferred"], what="deferral")
    assert "550 5.1.1 no" in entry["recipients"][0]["delay_reason"]
    assert sink.messages == []


# rules: N20 N21 N22 T64 T66
def test_double_bounce__goes_to_postmaster_and_ends_there(make_ostler, sink):
    sink.rcpt_replies["gone@dest.test"] = ["550 5.1.1 no"]
    sink.rcpt_replies["boss@dest.test"] = ["250 ok", "550 5.1.1 no boss"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {
        "notify_classes": "2bounce", "2bounce_notice_recipient": "boss@dest.test"})
    ostler.send("gone@dest.test", sender="")
    wait_for(lambda: sink.recipients() == ["boss@dest.test"], what="report to postmaster")
    assert sink.messages[0][0] == "double-bounce@ostler.test"
    assert b"Subject: Postmaster Copy: Undelivered Mail" in sink.messages[0][2]
    ostler.send("gone@dest.test", sender="")
    wait_for(lambda: "undeliverable postmaster notification discarded" in ostler.log(), what="end of the second")
    wait_for(lambda: ostler.queue() == [], what="empty queue")
    assert len(sink.messages) == 1


# rules: N10 N15 N16 N41 N42 N44 N61 N65 T67
def test_report__dsn_parameters__decide_what_it_holds(make_ostler, sink):
    for name in ("never", "failure", "success"):
        sink.rcpt_replies[f"{name}@dest.test"] = ["550 5.1.1 no"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"bounce_size_limit": "2000"})
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.ehlo("client.test")
        client.mail("sender@client.test", ["RET=HDRS", "ENVID=a+2Bb"])
        client.rcpt("never@dest.test", ["NOTIFY=NEVER"])
        client.rcpt("success@dest.test", ["NOTIFY=SUCCESS"])
        client.rcpt("failure@dest.test", ["NOTIFY=FAILURE", "ORCPT=rfc822;first+2Bx@client.test"])
        client.data("Subject: original\r\n\r\nsecret body\r\n")
    wait_for(lambda: sink.messages, what="report")
    _, _, message, fields, original = report_fields(sink.messages[0][2])
    assert message["Original-Envelope-Id"] == "a+b"
    assert [f["Final-Recipient"] for f in fields] == ["rfc822; failure@dest.test"]
    assert fields[0]["Original-Recipient"] == "rfc822;first+x@client.test"
    assert fields[0]["Remote-MTA"] == "dns; 127.0.0.1"
    assert original.get_content_type() == "text/rfc822-headers"
    assert b"secret" not in sink.messages[0][2] and b"Subject: original" in sink.messages[0][2]
    ostler.send("never@dest.test", body="x" * 70 + "\r\n", subject="whole")
    ostler.send("failure@dest.test", body=("y" * 70 + "\r\n") * 40, subject="too large")
    wait_for(lambda: len(sink.messages) == 3, what="two more reports")
    by_subject = {subject: m[2] for m in sink.messages for subject in ("whole", "too large")
                  if f"Subject: {subject}".encode() in m[2]}
    assert b"x" * 70 in by_subject["whole"] and b"y" * 70 not in by_subject["too large"]
    wait_for(lambda: ostler.queue() == [], what="empty queue")


# rules: J11 Y18
# rules: Y14 R42 J13
def test_error_retry_discard__need_no_worker(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {**SLOW, "transport_maps": (
        "inline:{ { gone.test = error:5.1.2 no such domain }, { wait.test = retry:4.2.9 not yet }, "
        "plain.test=error:, drop.test=discard: }")})
    ostler.send(["a@gone.test", "b@wait.test", "c@drop.test"])
    wait_for(lambda: ostler.log().count(" status=") >= 3, what="three fates")
    log = ostler.log()
    for words in ("to=<a@gone.test>, relay=none, ", "dsn=5.1.2, status=bounced (no such domain)",
                  "dsn=4.2.9, status=deferred (not yet)", "to=<c@drop.test>, relay=none, ", "status=sent ("):
        assert words in log, words
    wait_for(lambda: sink.recipients() == ["sender@client.test"], what="report")


# --- operators ---------------------------------------------------------------------------------------

# rules: H12
# rules: F6 O1 O3 O4 W14 W17 X12 J17 B7
def test_flush__dead_site__is_tried_at_once_but_not_for_mail_on_hold(make_ostler, sink):
    sink.stop()
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {
        **SLOW, "scheduler_concurrency_policy": "classic",
        "default_destination_concurrency_failed_cohort_limit": "1", "initial_destination_concurrency": "1"})
    for name in ("a", "b", "held"):
        ostler.send(f"{name}@dest.test")
        wait_for(lambda: f"to=<{name}@dest.test>" in ostler.log(), what="deferral")
    assert "status=deferred (delivery temporarily suspended: connect to 127.0.0.1" in ostler.log()
    entries = {m["recipients"][0]["address"]: m["queue_id"] for m in ostler.queue()}
    ostler.tool("hold", entries["held@dest.test"])
    sink.start()
    time.sleep(1)
    assert sink.messages == []
    ostler.tool("flush", "--id", entries["a@dest.test"])
    wait_for(lambda: sink.recipients() == ["a@dest.test"], what="the one that was asked for")
    time.sleep(0.5)
    assert sink.recipients() == ["a@dest.test"]
    ostler.tool("flush")
    wait_for(lambda: len(sink.messages) == 2, what="the rest")
    time.sleep(0.5)
    assert "held@dest.test" not in sink.recipients()


# rules: O2
def test_flush__site__only_its_mail(make_ostler, sink):
    sink.stop()
    ostler = make_ostler("", {**SLOW, "transport_maps": f"inline:{{ *=smtp:[127.0.0.1]:{sink.port} }}"})
    for name in ("a@one.test", "b@two.test"):
        ostler.send(name)
        wait_for(lambda: f"to=<{name}>" in ostler.log(), what="deferral")
    sink.start()
    ostler.tool("flush", "--site", "two.test")
    wait_for(lambda: sink.recipients() == ["b@two.test"], what="mail of the site")
    time.sleep(0.5)
    assert sink.recipients() == ["b@two.test"]


# rules: R48 T50
def test_defer_transports__mail_waits_until_it_is_flushed_by_name(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {**FAST, "defer_transports": "smtp"})
    ostler.send("a@dest.test")
    wait_for(lambda: "dsn=4.3.2, status=deferred (deferred transport)" in ostler.log(), what="deferral")
    time.sleep(2.5)
    assert sink.messages == []
    ostler.tool("flush", "--id", ostler.queue()[0]["queue_id"])
    wait_for(lambda: sink.recipients() == ["a@dest.test"], what="delivery")


# rules: D66 O40 O46 O48 L41
def test_delete__by_name__no_report_and_nothing_left(make_ostler, sink):
    ostler = make_ostler(*down_but_for_client(sink))
    for number in range(3):
        ostler.send(f"a{number}@dest.test")
    wait_for(lambda: len([m for m in ostler.queue() if m["queue_name"] == "deferred"]) == 3, what="deferral")
    first = ostler.queue()[0]["queue_id"]
    ostler.tool("delete", first)
    wait_for(lambda: f"{first}: removed" in ostler.log(), what="log line")
    assert "0 message" in ostler.tool("delete", first, check=False).stderr
    ostler.tool("delete", "ALL")
    wait_for(lambda: ostler.queue() == [], what="empty queue")
    assert sink.messages == []


# --- log lines ---------------------------------------------------------------------------------------

# rules: J1 J2 J3 J4 J5 J7
def test_log__lines_of_a_session(ostler, sink):
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.ehlo("client.test")
        client.mail("sender@client.test")
        client.rcpt("a@dest.test")
        client.docmd("RCPT", "TO:<broken")
        client.data("Message-ID: <m1@client.test>\r\n\r\nx\r\n")
    with socket.create_connection(("127.0.0.1", ostler.port), 5) as s:
        s.recv(100)
        s.sendall(b"EHLO client.test\r\n")
        s.recv(500)
    restart(ostler, mynetworks="192.0.2.0/24")
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.ehlo("client.test")
        client.mail("sender@client.test")
        client.rcpt("a@dest.test")
    wait_for(lambda: ostler.log().count("disconnect from") >= 3, what="three ends")
    log = ostler.log()
    for pattern in (
            r"ostler/smtpd\[\d+\]: connect from unknown\[127\.0\.0\.1\]\n",
            r"ostler/smtpd\[\d+\]: \w+: client=unknown\[127\.0\.0\.1\]\n",
            r"ostler/smtpd\[\d+\]: \w+: message-id=<m1@client\.test>\n",
            r"disconnect from unknown\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=1/2 data=1 quit=1 commands=5/6\n",
            r"lost connection after EHLO from unknown\[127\.0\.0\.1\]\n",
            r"ostler/smtpd\[\d+\]: NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.1\]: 554 5\.7\.1 <a@dest\.test>: "
            r".*; from=<sender@client\.test> to=<a@dest\.test> proto=ESMTP helo=<client\.test>\n"):
        assert re.search(pattern, log), pattern


# rules: J12 J14
def test_log__original_recipient_and_use_of_a_session(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {
        "virtual_alias_maps": "inline:{ alias@dest.test=real@dest.test }", "default_destination_concurrency_limit": "1"})
    for number in range(3):
        ostler.send("alias@dest.test" if number == 0 else f"a{number}@dest.test")
    wait_for(lambda: len(sink.messages) == 3, what="three deliveries")
    log = wait_for(lambda: ostler.log().count(": removed") == 3 and ostler.log(), what="ends")
    assert "to=<real@dest.test>, orig_to=<alias@dest.test>, relay=127.0.0.1" in log
    assert "orig_to=<a1" not in log and re.search(r"relay=\S+, conn_use=2, delay=", log)
