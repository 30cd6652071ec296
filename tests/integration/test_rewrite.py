"""Addresses made canonical, and copies, in mail of other hosts and of this machine's users."""
import email
import smtplib
import subprocess

from conftest import BUILD, wait_for

TABLES = {
    "canonical_maps": "inline:{ joe@local.test=joe.doe@x.test, boss@x.test=chief@x.test }",
    "masquerade_domains": "x.test", "myorigin": "local.test",
}


def submit(ostler, text, *words):
    subprocess.run([BUILD / "sendmail", "-C", ostler.etc, *words], input=text.encode(), check=True,
                   timeout=30)


def test_canonical__envelope_and_header_of_local_mail__are_rewritten(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", TABLES)
    submit(ostler, "From: Joe <joe@local.test>\nTo: boss@x.test, other@a.x.test\nSubject: joe\n\n"
                   "To: joe\n", "-f", "joe", "boss@x.test", "other@dest.test")
    wait_for(lambda: sink.messages, what="delivery")
    sender, recipients, content = sink.messages[0]
    assert sender == "joe.doe@x.test"
    assert sorted(sink.recipients()) == ["chief@x.test", "other@dest.test"]
    parsed = email.message_from_bytes(content)
    assert parsed["From"] == "Joe <joe.doe@x.test>"
    assert parsed["To"] == "chief@x.test, other@x.test"
    assert parsed["Subject"] == "joe" and parsed.get_payload() == "To: joe\r\n"


def test_header__of_smtp_clients__is_rewritten_only_for_those_of_the_parameter(make_ostler, sink):
    for clients, wanted in (("permit_inet_interfaces", "joe.doe@x.test"), ("", "joe"),
                            ("permit_mynetworks", "joe.doe@x.test")):
        ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                             {**TABLES, "local_header_rewrite_clients": clients})
        count = len(sink.messages)
        ostler.send("boss@x.test", sender="joe")
        wait_for(lambda: len(sink.messages) > count, what="delivery")
        sender, recipients, content = sink.messages[-1]
        assert (sender, recipients) == ("joe.doe@x.test", ["chief@x.test"])
        assert email.message_from_bytes(content)["From"] == f"<{wanted}>"
        ostler.stop()


def test_bcc__new_mail__is_copied_without_notice_and_reports_are_not(make_ostler, sink):
    sink.rcpt_replies["gone@dest.test"] = ["550 5.1.1 gone"]
    sink.rcpt_replies["archive@x.test"] = ["550 5.1.1 gone"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {
        "always_bcc": "archive@x.test", "sender_bcc_maps": "inline:{ @client.test=audit@x.test }",
        "recipient_bcc_maps": "inline:{ a@dest.test=watch@x.test }"})
    ostler.send(["a@dest.test", "gone@dest.test"])
    wait_for(lambda: any(m[0] == "" for m in sink.messages), what="report")
    report = next(m for m in sink.messages if m[0] == "")
    assert b"gone@dest.test" in report[2] and b"archive@x.test" not in report[2]
    wait_for(lambda: ostler.queue() == [], what="empty queue")
    assert sorted(sink.recipients()) == ["a@dest.test", "audit@x.test", "sender@client.test",
                                         "watch@x.test"]
    submit(ostler, "Subject: local\n\nbody\n", "-f", "joe@client.test", "a@dest.test")
    wait_for(lambda: len(sink.recipients()) >= 7, what="copies of local mail")
    assert sorted(sink.recipients()[4:]) == ["a@dest.test", "audit@x.test", "watch@x.test"]


def test_canonical__table_that_goes_round__refuses_for_now(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {
        "canonical_maps": "inline:{ a@x.test=b@x.test, b@x.test=a@x.test }"})
    with smtplib.SMTP("127.0.0.1", ostler.port, timeout=30) as client:
        client.ehlo()
        assert client.mail("a@x.test") == (451, b"4.3.0 Temporary lookup failure")
        assert client.mail("c@x.test")[0] == 250
        assert client.rcpt("b@x.test")[0] == 451
        assert client.rcpt("c@x.test")[0] == 250
