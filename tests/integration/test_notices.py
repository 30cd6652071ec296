"""Notices to the postmaster about SMTP sessions with errors: who gets them, what they hold, and that they stay few."""
import email
import email.policy
import smtplib
import socket
import time

import pytest
from conftest import wait_for
from peer import Peer


def notices(sink, to="postmaster@ostler.test"):
    return [email.message_from_bytes(content, policy=email.policy.default)
            for sender, recipients, content in sink.messages if sender.startswith("double-bounce@")
            and recipients == [to]]


def config(sink, classes, **more):
    return {"notify_classes": classes, "error_notice_recipient": "errors@dest.test",
            "transport_maps": "inline:{ { ostler.test = smtp:[127.0.0.1]:%d } }" % sink.port, **more}


def talk(port, *lines):
    """Says the lines one after the other; returns what came back."""
    replies = []
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        file = connection.makefile("rb")
        replies.append(file.readline())
        for line in lines:
            connection.sendall(line + b"\r\n")
            reply = file.readline()
            while reply[3:4] == b"-":
                reply = file.readline()
            replies.append(reply)
        connection.sendall(b"QUIT\r\n")
        file.read()
    return replies


# rules: N27 T66
@pytest.mark.parametrize("kind, lines, said", [
    ("policy", [b"EHLO me", b"MAIL FROM:<s@client.test>", b"RCPT TO:<x@elsewhere.test>"],
     "554 5.7.1 <x@elsewhere.test>: Relay access denied"),
    ("protocol", [b"EHLO me", b"RCPT TO:<a@dest.test>"], "503 5.5.1 Error: need MAIL command"),
    ("bounce", [b"EHLO me", b"MAIL FROM:<s@client.test>", b"RCPT TO:<nobody@here.test>"],
     "550 5.1.1 <nobody@here.test>: Recipient address rejected: User unknown in local recipient table"),
])
def test_smtpd__class_is_wanted__the_transcript_is_sent(make_ostler, sink, kind, lines, said):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", config(
        sink, kind, mynetworks="192.0.2.0/24", relay_domains="dest.test", mydestination="here.test",
        local_recipient_maps="inline:{ { known = x } }"))
    talk(ostler.port, *lines)
    notice, = wait_for(lambda: notices(sink, "errors@dest.test"), what="notice")
    assert notice["Subject"] == "Ostler SMTP server: errors from unknown[127.0.0.1]"
    assert notice["To"] == "errors@dest.test" and notice["Auto-Submitted"] == "auto-generated"
    assert notice["From"] == "Mail Delivery System <MAILER-DAEMON@ostler.test>" and notice["Message-ID"]
    text = " ".join(notice.get_content().split())
    assert "Out: 220 ostler.test ESMTP" in text and "In: EHLO me Out: 250-ostler.test" in text
    assert f"In: {lines[-1].decode()} Out: {said}" in text and "In: QUIT Out: 221 2.0.0 Bye" in text
    assert "postmaster notice: errors in a session with unknown[127.0.0.1]" in ostler.log()


# rules: N27
@pytest.mark.parametrize("classes", ["resource, software", "2bounce, delay"])
def test_smtpd__class_is_not_wanted__nothing_is_sent(make_ostler, sink, classes):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", config(sink, classes))
    talk(ostler.port, b"EHLO me", b"RCPT TO:<a@dest.test>", b"NONSENSE")
    ostler.send("a@dest.test")
    wait_for(lambda: sink.messages, what="mail")
    time.sleep(0.3)
    assert notices(sink, "errors@dest.test") == []


# Neither passwords nor what comes behind a refused DATA are shown.
def test_smtpd__secrets_and_content__are_not_in_the_transcript(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", config(sink, "protocol"))
    talk(ostler.port, b"EHLO me", b"AUTH PLAIN c2VjcmV0", b"c2VjcmV0", b"DATA secret", b"secret text: hello",
         b"HELP secret")
    notice, = wait_for(lambda: notices(sink, "errors@dest.test"), what="notice")
    text = notice.get_content().replace("\r\n", "\n")
    assert "secret" not in text and "c2Vj" not in text
    assert "In:  AUTH\n" in text and "In:  (unknown command, 8 bytes)" in text and "In:  DATA\n" in text


def test_smtpd__long_session__has_its_end_only(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", config(sink, "protocol", smtpd_junk_command_limit="10000"))
    talk(ostler.port, b"EHLO me", *[b"MAIL FROM:<s@" + b"x" * 300 + b">"] * 3, *[b"NOOP"] * 120, b"BAD")
    notice, = wait_for(lambda: notices(sink, "errors@dest.test"), what="notice")
    text = notice.get_content().replace("\r\n", "\n")
    assert len(text) < 10000 and text.count("In: ") + text.count("Out: ") <= 102 and "EHLO" not in text
    assert "In:  (unknown command, 3 bytes)\n" in text and max(map(len, text.splitlines())) <= 80


# rules: N27
def test_smtpd__lost_connection_behind_an_error__is_the_reason(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", config(sink, "protocol"))
    with socket.create_connection(("127.0.0.1", ostler.port), 10) as connection:
        connection.recv(4096)
        connection.sendall(b"RCPT TO:<x@dest.test>\r\n")
        connection.recv(4096)
    notice, = wait_for(lambda: notices(sink, "errors@dest.test"), what="notice")
    assert "Session aborted, reason: lost connection" in notice.get_content()


# rules: N27
@pytest.mark.parametrize("script, said", [
    ({"mail": "503 5.5.1 not now"}, "In: 503 5.5.1 not now"),
    ({"rcpt": "555 5.5.4 what?"}, "In: 555 5.5.4 what?"),
    ({"data": "nonsense"}, "Out: DATA"),
    ({"rcpt": "550 5.1.1 unknown"}, None),
])
def test_smtp__protocol_error_of_a_session__is_told(make_ostler, sink, script, said):
    peer = Peer(lambda stage, number: script.get(stage))
    try:
        ostler = make_ostler(f"[127.0.0.1]:{peer.port}", config(sink, "protocol", **{
            "error_notice_recipient": "errors@ostler.test"}))
        ostler.send("a@far.test", sender="s@ostler.test")
        wait_for(lambda: "status=" in ostler.log(), what="result")
        if said is None:
            wait_for(lambda: sink.messages, what="report")
            time.sleep(0.3)
            assert notices(sink, "errors@ostler.test") == []
            return
        notice, = wait_for(lambda: notices(sink, "errors@ostler.test"), what="notice")
        assert notice["Subject"] == "Ostler SMTP client: errors from 127.0.0.1[127.0.0.1]"
        text = " ".join(notice.get_content().split())
        assert "Out: EHLO ostler.test In: 250-peer.test" in text and said in text
        assert "Subject: test" not in text
    finally:
        peer.stop()


# One a minute for a peer; the rest is counted, and said once in the log.
def test_flood_of_bad_sessions__one_notice(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", config(sink, "protocol"))
    for _ in range(40):
        talk(ostler.port, b"NONSENSE")
    wait_for(lambda: notices(sink, "errors@dest.test"), what="notice")
    time.sleep(1.5)
    assert len(notices(sink, "errors@dest.test")) == 1
    assert ostler.log().count("is held back") == 1


# What cannot be delivered is reported to nobody.
def test_notice_that_is_refused__ends(make_ostler, sink):
    sink.rcpt_replies["errors@dest.test"] = ["550 5.1.1 no such user"] * 5
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", config(sink, "protocol, bounce, 2bounce"))
    talk(ostler.port, b"NONSENSE")
    wait_for(lambda: "undeliverable postmaster notification discarded" in ostler.log(), what="end")
    wait_for(lambda: ostler.queue() == [], what="empty queue")
    assert sink.messages == []


def test_soft_bounce__refusals_of_smtpd__are_temporary(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"soft_bounce": "yes", "mynetworks": "192.0.2.0/24"})
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.ehlo("me")
        assert client.docmd("NONSENSE") == (400, b"4.5.2 Error: command not recognized")
        client.mail("s@client.test")
        assert client.rcpt("x@elsewhere.test")[0] == 454
    wait_for(lambda: "NOQUEUE: reject: RCPT from unknown[127.0.0.1]: 454 4.7.1" in ostler.log(), what="log")
