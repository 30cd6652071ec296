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


def speak(ostler, lines):
    done = subprocess.run([BUILD / "sendmail", "-C", ostler.etc, "-bs"], timeout=60, capture_output=True,
                          input="".join(f"{line}\r\n" for line in lines).encode())
    assert done.returncode == 0, done
    return [line[:3] for line in done.stdout.decode().splitlines() if line[3:4] != "-"]


def test_bs__smtp_on_standard_input__hands_in_mail_as_its_user(ostler, sink):
    codes = speak(ostler, [
        "EHLO here", "DATA", "MAIL FROM:<joe@client.test> SIZE=10 BODY=8BITMIME", "MAIL FROM:<x@y.test>",
        "RCPT TO:<a@dest.test>", "RCPT TO:<b@dest.test> NOTIFY=NEVER", "RCPT TO:<>", "DATA", "Subject: one",
        "", "..dot", ".", "NOISE", "MAIL FROM:<>", "RCPT TO:<b@dest.test>", "RSET", "DATA", "MAIL FROM:<>",
        "RCPT TO:<c@dest.test>", "DATA", "Subject: two", "", "end", ".", "QUIT", "MAIL FROM:<x@y.test>"])
    assert codes == ["220", "250", "503", "250", "503", "250", "555", "501", "354", "250", "502", "250",
                     "250", "250", "503", "250", "250", "354", "250", "221"]
    wait_for(lambda: len(sink.messages) == 2, what="delivery")
    first, second = sorted(sink.messages, key=lambda m: m[1])
    assert (first[0], first[1]) == ("joe@client.test", ["a@dest.test"])
    assert first[2].endswith(b"\r\n\r\n.dot\r\n") and b"userid" in first[2]
    assert (second[0], second[1]) == ("", ["c@dest.test"])


def test_bs__input_that_ends_within_content_or_is_too_large__hands_in_nothing(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"message_size_limit": "1000"})
    envelope = ["HELO here", "MAIL FROM:<a@client.test>", "RCPT TO:<a@dest.test>", "DATA"]
    assert speak(ostler, [*envelope, "cut off"])[-1] == "354"
    assert speak(ostler, [*envelope, "x" * 2000, ".", "QUIT"])[-2:] == ["552", "221"]
    assert speak(ostler, ["x" * 5000, "QUIT"]) == ["220", "500", "221"]
    assert speak(ostler, ["MAIL FROM:<a@client.test> SIZE=2000"])[-1] == "552"
    ostler.stop()
    assert speak(ostler, [*envelope, "Subject: later", "", ".", "QUIT"])[-2:] == ["250", "221"]
    assert sink.messages == []
    ostler.start()
    wait_for(lambda: sink.recipients() == ["a@dest.test"], what="mail from the maildrop")
