"""Reports to senders: deliveries (D25 to D28), delays (D45 to D50), expiry (D42, D46), copies (N24)."""
import email
import smtplib
import subprocess
import time

from conftest import BUILD, wait_for

FAST_RETRY = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s"}


def fields_of(report):
    """Per-message fields, list of per-recipient fields."""
    parsed = email.message_from_bytes(report)
    assert parsed.get_param("report-type") == "delivery-status"
    first, *others = parsed.get_payload()[1].get_payload()
    return parsed, first, others


def send_with(ostler, options, to="a@dest.test", mail_options=()):
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.ehlo()
        client.mail("sender@client.test", list(mail_options))
        code, text = client.rcpt(to, list(options))
        assert code == 250, text
        client.data("Subject: test\r\n\r\nbody\r\n")


def reports(sink):
    return [m for m in sink.messages if m[0] == ""]


# rules: D25 N1 N14 N63 L23
def test_reports__success_wanted_and_next_hop_without_dsn__relayed_is_told_once(ostler, sink):
    send_with(ostler, ["NOTIFY=SUCCESS", "ORCPT=rfc822;a@dest.test"], mail_options=["ENVID=abc"])
    wait_for(lambda: reports(sink), what="report")
    parsed, message, (recipient,) = fields_of(reports(sink)[0][2])
    assert parsed["Subject"] == "Successful Mail Delivery Report"
    assert message["Original-Envelope-Id"] == "abc"
    assert recipient["Action"] == "relayed" and recipient["Status"].startswith("2.")
    assert recipient["Original-Recipient"] == "rfc822;a@dest.test"
    assert parsed.get_payload()[2].get_content_type() == "text/rfc822-headers"
    time.sleep(0.5)
    assert len(reports(sink)) == 1 and ostler.queue() == []
    assert ": sender delivery status notification: " in ostler.log()


# rules: N10 N16 D26
def test_reports__failure_without_notify_failure__nobody_is_told(ostler, sink):
    sink.rcpt_replies["a@dest.test"] = ["550 5.1.1 no"]
    send_with(ostler, ["NOTIFY=SUCCESS,DELAY"])
    wait_for(lambda: ": removed" in ostler.log(), what="end")
    time.sleep(0.3)
    assert sink.messages == [] and ostler.queue() == []


# rules: D45 D47 N13 B11 B12 T25 R34 T26
def test_reports__mail_waits_longer_than_delay_warning_time__one_warning(make_ostler, sink):
    sink.rcpt_replies["a@dest.test"] = ["450 4.2.0 not yet"] * 4 + ["250 ok"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                         dict(FAST_RETRY, delay_warning_time="2s", confirm_delay_cleared="yes"))
    ostler.send("a@dest.test")
    wait_for(lambda: len(sink.messages) == 3, seconds=30, what="warning, mail, confirmation")
    (_, _, warning), (_, _, confirmation) = reports(sink)
    parsed, message, (recipient,) = fields_of(warning)
    assert parsed["Subject"] == "Delayed Mail (still being retried)"
    assert recipient["Action"] == "delayed" and recipient["Status"] == "4.2.0"
    assert recipient["Will-Retry-Until"]
    assert parsed.get_payload()[2].get_content_type() == "text/rfc822-headers"
    parsed, message, (recipient,) = fields_of(confirmation)
    assert recipient["Action"] == "relayed"
    assert ostler.log().count(": sender delay notification: ") == 1


# rules: D42 D43 D46 D50 N11
def test_reports__too_old__returned_with_the_last_reason_and_no_warning(make_ostler, sink):
    sink.rcpt_replies["a@dest.test"] = ["450 4.2.0 not yet"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                         dict(FAST_RETRY, maximal_queue_lifetime="2s", delay_warning_time="5s"))
    ostler.send("a@dest.test")
    wait_for(lambda: reports(sink), seconds=30, what="report")
    parsed, message, (recipient,) = fields_of(reports(sink)[0][2])
    assert recipient["Action"] == "failed" and recipient["Status"] == "4.2.0"
    assert "status=expired, returned to sender" in ostler.log()
    time.sleep(0.5)
    assert len(reports(sink)) == 1 and ostler.queue() == []


# rules: N24 N27 J20
def test_reports__class_bounce__postmaster_gets_the_header(make_ostler, sink):
    sink.rcpt_replies["a@dest.test"] = ["550 5.1.1 no"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                         {"notify_classes": "bounce", "bounce_notice_recipient": "boss@dest.test"})
    ostler.send("a@dest.test")
    wait_for(lambda: len(sink.messages) == 2, what="report and copy")
    copy = next(m for m in sink.messages if m[1] == ["boss@dest.test"])
    assert copy[0] == "double-bounce@ostler.test"
    parsed, _, _ = fields_of(copy[2])
    assert parsed["Subject"] == "Postmaster Copy: Undelivered Mail"
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed.get_payload()[2].get_content_type() == "text/rfc822-headers"
    assert ": postmaster non-delivery notification: " in ostler.log()


# rules: N25 N27 T66
def test_reports__class_delay__delay_notice_recipient_gets_the_header(make_ostler, sink):
    sink.rcpt_replies["a@dest.test"] = ["450 4.2.0 not yet"] * 4 + ["250 ok"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", dict(
        FAST_RETRY, delay_warning_time="2s", notify_classes="delay", delay_notice_recipient="late@dest.test",
        bounce_notice_recipient="no@dest.test", error_notice_recipient="no@dest.test"))
    ostler.send("a@dest.test")
    wait_for(lambda: len(sink.messages) == 3, seconds=30, what="warning, copy, mail")
    copy = next(m for m in sink.messages if m[1] == ["late@dest.test"])
    assert copy[0] == "double-bounce@ostler.test"
    parsed, _, (recipient,) = fields_of(copy[2])
    assert parsed["Subject"] == "Postmaster Warning: Delayed Mail" and recipient["Action"] == "delayed"
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed.get_payload()[2].get_content_type() == "text/rfc822-headers"
    assert ": postmaster delay notification: " in ostler.log()


# rules: R34 T26
def test_reports__delay_is_over__confirmed_only_if_that_is_wanted(make_ostler, sink):
    sink.rcpt_replies["a@dest.test"] = ["450 4.2.0 not yet"] * 4 + ["250 ok"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", dict(FAST_RETRY, delay_warning_time="2s"))
    ostler.send("a@dest.test")
    wait_for(lambda: len(sink.messages) == 2, seconds=30, what="warning and mail")
    time.sleep(0.5)
    assert len(reports(sink)) == 1 and ostler.queue() == []


# rules: T70 T71 N39
def test_reports__threaded_and_obsolete__header_says_so(make_ostler, sink):
    sink.rcpt_replies["a@dest.test"] = ["550 5.1.1 no"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                         {"enable_threaded_bounces": "yes", "header_from_format": "obsolete"})
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.sendmail("sender@client.test", ["a@dest.test"],
                        "Message-ID: <one@client.test>\r\nSubject: test\r\n\r\nbody\r\n")
    wait_for(lambda: reports(sink), what="report")
    parsed, _, _ = fields_of(reports(sink)[0][2])
    assert parsed["References"] == parsed["In-Reply-To"] == "<one@client.test>"
    assert parsed["From"] == "MAILER-DAEMON@ostler.test (Mail Delivery System)"


# rules: V1 V3 V4 V5 D44 D6 T73 T76
def test_verp__asked_by_smtp__own_senders_and_reports(make_ostler, sink):
    sink.rcpt_replies["b@dest.test"] = ["550 5.1.1 no"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"authorized_verp_clients": "127.0.0.1"})
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.ehlo()
        assert client.has_extn("xverp")
        for options, code in (["XVERP=#="], 501), (["XVERP=+"], 501):
            assert client.mail("own@client.test", options)[0] == code
        assert client.mail("", ["XVERP"])[0] == 503
        assert client.mail("own@client.test", ["XVERP"])[0] == 250
        for name in "abc":
            client.rcpt(f"{name}@dest.test")
        client.data("Subject: test\r\n\r\nbody\r\n")
    wait_for(lambda: len(sink.messages) == 3, what="two mails and a report")
    assert sorted(m[:2] for m in sink.messages) == [
        ("", ["own+b=dest.test@client.test"]),
        ("own+a=dest.test@client.test", ["a@dest.test"]),
        ("own+c=dest.test@client.test", ["c@dest.test"])]


# rules: V1 T76
def test_verp__client_not_authorized__is_not_offered(ostler):
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.ehlo()
        assert not client.has_extn("xverp")
        assert client.mail("own@client.test", ["XVERP"])[0] == 555


def sendmail(instance, *words):
    return subprocess.run([BUILD / "sendmail", "-C", instance.etc, *words], input="Subject: s\n\nbody\n",
                          capture_output=True, text=True, timeout=30)


# rules: V1 V2 T73 T74
def test_verp__asked_by_sendmail__own_senders(ostler, sink):
    for words in ("-XV#=", "-f", "own@client.test"), ("-XV+", "-f", "own@client.test"), ("-XV", "-f", ""):
        refused = sendmail(ostler, *words, "a@dest.test")
        assert refused.returncode == 64 and "-XV" in refused.stderr
    done = sendmail(ostler, "-XV-=", "-f", "own@client.test", "a@dest.test")
    assert done.returncode == 0, done.stderr
    done = sendmail(ostler, "-XV", "-f", "own@client.test", "b@dest.test")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: len(sink.messages) == 2, what="mail")
    assert sorted(m[0] for m in sink.messages) == ["own+b=dest.test@client.test",
                                                   "own-a=dest.test@client.test"]


# rules: L22 N50 D27 J17
def test_sendmail__v__delivers_and_reports(ostler, sink):
    sink.rcpt_replies["b@dest.test"] = ["550 5.1.1 no"]
    done = sendmail(ostler, "-v", "-f", "own@client.test", "a@dest.test", "b@dest.test")
    assert done.returncode == 0 and "will be mailed to <own@client.test>" in done.stdout
    wait_for(lambda: len(sink.messages) == 3, what="mail, failure, status report")
    told = [fields_of(m[2]) for m in reports(sink)]
    parsed, _, recipients = next(t for t in told if t[0]["Subject"] == "Mail Delivery Status Report")
    assert {r["Final-Recipient"]: r["Action"] for r in recipients} == {
        "rfc822; a@dest.test": "relayed", "rfc822; b@dest.test": "failed"}


# rules: N5 L22 L48 Y16 B13 N50
def test_sendmail__bv__asks_up_to_rcpt_and_reports(make_ostler, sink):
    sink.rcpt_replies["b@dest.test"] = ["550 5.1.1 no"]
    sink.rcpt_replies["c@dest.test"] = ["450 4.2.0 later"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {
        "mydestination": "ostler.test", "alias_maps": "inline:{ list=there@dest.test }",
        "local_recipient_maps": "inline:{ user=x }"})
    assert sendmail(ostler, "-bv").returncode == 64
    done = sendmail(ostler, "-bv", "-f", "own@client.test", "a@dest.test", "b@dest.test", "c@dest.test",
                    "user@ostler.test", "list@ostler.test", "nobody@ostler.test")
    assert done.returncode == 0 and "will be mailed to <own@client.test>" in done.stdout
    wait_for(lambda: sink.messages and ostler.queue() == [], what="report")
    (sender, to, text), = sink.messages
    parsed, _, recipients = fields_of(text)
    assert (sender, to) == ("", ["own@client.test"])
    assert {r["Final-Recipient"].split()[1]: (r["Action"], r["Status"]) for r in recipients} == {
        "a@dest.test": ("deliverable", "2.1.5"), "b@dest.test": ("undeliverable", "5.1.1"),
        "c@dest.test": ("undeliverable", "4.2.0"), "user@ostler.test": ("deliverable", "2.0.0"),
        "list@ostler.test": ("deliverable", "2.0.0"), "nobody@ostler.test": ("undeliverable", "5.1.1")}
    human = parsed.get_payload()[0].get_payload()
    assert "delivers to maildir" in human and "forwards to <there@dest.test>" in human
    assert "status=deliverable" in ostler.log() and "status=sent" in ostler.log()
    assert not ostler.maildir("user")


# rules: N49 N50 T68
def test_template__of_the_administrator__is_what_the_sender_reads(make_ostler, sink):
    sink.rcpt_replies["a@dest.test"] = ["550 5.1.1 no"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"bounce_template_file": "templates"}, start=False)
    (ostler.etc / "templates").write_text(
        "failure_template = <<EOF\nSubject: Sorry\n\nI am $myhostname.\nEOF\n"
        "verify_template = <<EOF\nSubject: As you asked\n\nkept for $maximal_queue_lifetime_days days\nEOF\n")
    ostler.start()
    assert sendmail(ostler, "-v", "-f", "own@client.test", "a@dest.test").returncode == 0
    wait_for(lambda: len(reports(sink)) == 2, what="reports")
    told = {parsed["Subject"]: parsed.get_payload()[0].get_payload()
            for parsed, _, _ in (fields_of(m[2]) for m in reports(sink))}
    assert set(told) == {"Sorry", "As you asked"}
    assert told["Sorry"].replace("\r", "").startswith("I am ostler.test.\n\n<a@dest.test>: host")
    assert told["As you asked"].startswith("kept for 5 days")
    shown = ostler.tool("config", "--templates").stdout
    assert "failure_template = <<EOF" in shown and "I am ostler.test.\n" in shown
    assert "Your message has not yet been delivered" in shown
