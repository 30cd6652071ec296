"""DSN through and through: to next hops that speak it or not, in UTF-8, and as two foreign parsers read it."""
import email
import email.policy
import smtplib
import subprocess
import time

import pytest
from conftest import BUILD, wait_for
from flufl.bounce import all_failures
from peer import Peer

FAST_RETRY = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s"}


def reports(sink):
    return [m for m in sink.messages if m[0] == ""]


@pytest.fixture
def make_peer():
    """A next hop with these extensions."""
    peers = []

    def make(*extensions):
        hello = "\r\n".join(["250-peer.test", *(f"250-{e}" for e in extensions), "250 ENHANCEDSTATUSCODES"])
        peers.append(Peer(lambda stage, number: hello if stage == "ehlo" else None))
        return peers[-1]

    yield make
    for peer in peers:
        peer.stop()


# rules: N10 N11 N13 N40 N41 N42
@pytest.mark.parametrize("reply, settings, kind", [
    ("550 5.1.1 no such user", {}, "permanent"),
    ("450 4.2.0 later", {"delay_warning_time": "1s"}, "temporary"),
    ("450 4.2.0 later", {"maximal_queue_lifetime": "1s"}, "permanent"),
])
def test_report__failure_and_delay__flufl_bounce_and_email_agree(make_ostler, sink, reply, settings, kind):
    for name in "ab":
        sink.rcpt_replies[f"{name}@dest.test"] = [reply]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", dict(FAST_RETRY, **settings))
    ostler.send(["a@dest.test", "b@dest.test", "c@dest.test"])
    wait_for(lambda: reports(sink), what="report")
    parsed = email.message_from_bytes(reports(sink)[0][2])
    temporary, permanent = all_failures(parsed)
    wanted = {b"a@dest.test", b"b@dest.test"}
    assert (temporary, permanent) == ((wanted, set()) if kind == "temporary" else (set(), wanted))
    strict = email.message_from_bytes(reports(sink)[0][2], policy=email.policy.default)
    assert strict.get_content_type() == "multipart/report" and not strict.defects
    text, status, original = strict.get_payload()
    assert [p.defects for p in strict.walk()] == [[]] * len(list(strict.walk()))
    assert "<a@dest.test>" in text.get_content() and status.get_content_type() == "message/delivery-status"


# rules: V3 V5
def test_report__verp__flufl_bounce_finds_the_one_recipient(make_ostler, sink):
    sink.rcpt_replies["b@dest.test"] = ["550 5.1.1 no"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"authorized_verp_clients": "127.0.0.1"})
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.sendmail("own@client.test", ["a@dest.test", "b@dest.test"], "Subject: s\r\n\r\nbody\r\n",
                        mail_options=["XVERP"])
    wait_for(lambda: reports(sink), what="report")
    assert all_failures(email.message_from_bytes(reports(sink)[0][2])) == (set(), {b"b@dest.test"})


# rules: N60 N61 N62 N63 N65
def test_dsn__next_hop_has_it__all_is_handed_on_and_no_report_is_made(make_ostler, make_peer):
    peer = make_peer("PIPELINING", "DSN")
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}")
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.sendmail("s@client.test", ["a@dest.test"], "Subject: s\r\n\r\nbody\r\n",
                        mail_options=["RET=HDRS", "ENVID=a+2Bb"],
                        rcpt_options=["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;x+3Dy@client.test"])
        client.sendmail("s@client.test", ["b@dest.test"], "Subject: s\r\n\r\nbody\r\n")
    wait_for(lambda: len(peer.messages) == 2 and ostler.queue() == [], what="mail")
    commands = [line for _, line in peer.commands]
    assert "MAIL FROM:<s@client.test> RET=HDRS ENVID=a+2Bb" in commands
    assert "RCPT TO:<a@dest.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+3Dy@client.test" in commands
    assert "MAIL FROM:<s@client.test>" in commands and "RCPT TO:<b@dest.test>" in commands
    assert not any(line.startswith("MAIL FROM:<>") for line in commands)


# rules: N41 N43
def test_report__smtputf8__has_the_types_of_rfc_6533(make_ostler, make_peer):
    peer = make_peer("PIPELINING", "8BITMIME", "SMTPUTF8")
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}",
                         {"transport_maps": "inline:{ { bad.test = error:5.1.9 gone } }"})
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.sendmail("sänder@client.test", ["empfänger@bad.test"],
                        "Subject: grüße\r\n\r\nkörper\r\n".encode(),
                        mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    wait_for(lambda: peer.messages, what="report")
    (to,), content = peer.messages[0]
    assert to == "sänder@client.test"
    assert any(line.startswith("MAIL FROM:<>") and "SMTPUTF8" in line for _, line in peer.commands)
    parsed = email.message_from_bytes(content)
    text, status, original = parsed.get_payload()
    assert parsed.get_param("report-type") == "delivery-status"
    assert text.get_content_charset() == "utf-8"
    assert "empfänger@bad.test" in text.get_payload(decode=True).decode()
    assert status.get_content_type() == "message/global-delivery-status"
    assert "Final-Recipient: utf-8; empfänger@bad.test\r\n".encode() in content
    assert "X-Ostler-Sender: utf-8; sänder@client.test\r\n".encode() in content
    assert original.get_content_type() == "message/global" and "körper".encode() in content


def ask_for_success(ostler, recipient="team@dest.test", notify="SUCCESS,FAILURE", **options):
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.sendmail("s@client.test", [recipient], "Subject: s\r\n\r\nbody\r\n", mail_options=["ENVID=e1"],
                        rcpt_options=[f"NOTIFY={notify}", "ORCPT=rfc822;Team+40Client@client.test"], **options)


# RFC 6533 3: an ORCPT beyond ASCII, as it came in either form.
@pytest.mark.parametrize("orcpt", ["utf-8;ä@client.test", "utf-8;\\x{E4}@client.test"])
def test_orcpt__utf8__goes_on_in_ascii(make_ostler, make_peer, orcpt):
    peer = make_peer("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN")
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}")
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.command_encoding = "utf-8"
        client.sendmail("s@client.test", ["a@dest.test"], b"Subject: s\r\n\r\nbody\r\n",
                        mail_options=["SMTPUTF8", "BODY=8BITMIME"], rcpt_options=[f"ORCPT={orcpt}"])
    wait_for(lambda: peer.messages, what="mail")
    assert "RCPT TO:<a@dest.test> ORCPT=utf-8;\\x{E4}@client.test" in [line for _, line in peer.commands]


# rules: N64 D25
@pytest.mark.parametrize("members", [["a@far.test", "b@far.test"], ["one@far.test"]])
def test_alias__success_is_wanted__expansion_is_told_at_once_and_members_tell_nothing(
        make_ostler, sink, make_peer, members):
    peer = make_peer("PIPELINING", "DSN")
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}", {
        "virtual_alias_maps": "inline:{ { team@dest.test = %s } }" % ", ".join(members),
        "transport_maps": "inline:{ { client.test = smtp:[127.0.0.1]:%d } }" % sink.port})
    ask_for_success(ostler)
    wait_for(lambda: reports(sink) and len(peer.recipients()) == len(members), what="report and mail")
    wait_for(lambda: ostler.queue() == [], what="empty queue")
    (_, _, content), = reports(sink)
    _, status, _ = email.message_from_bytes(content).get_payload()
    message, recipient = status.get_payload()
    assert message["Original-Envelope-Id"] == "e1" and recipient["Action"] == "expanded"
    assert recipient["Final-Recipient"] == "rfc822; team@dest.test" and recipient["Status"] == "2.0.0"
    assert recipient["Original-Recipient"] == "rfc822;Team@Client@client.test"
    assert all_failures(email.message_from_bytes(content)) == (set(), set())
    for member in members:
        assert f"RCPT TO:<{member}> NOTIFY=FAILURE ORCPT=rfc822;Team@Client@client.test" in \
            [line for _, line in peer.commands]
    assert ": to=<team@dest.test>" not in ostler.log()


# rules: N64
def test_alias__only_success_is_wanted__members_have_notify_never(make_ostler, sink, make_peer):
    peer = make_peer("PIPELINING", "DSN")
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}", {
        "virtual_alias_maps": "inline:{ { team@dest.test = a@far.test } { same@dest.test = same@dest.test } }",
        "transport_maps": "inline:{ { client.test = smtp:[127.0.0.1]:%d } }" % sink.port})
    ask_for_success(ostler, notify="SUCCESS")
    ask_for_success(ostler, "same@dest.test", notify="SUCCESS")
    wait_for(lambda: len(peer.recipients()) == 2 and reports(sink), what="mail and report")
    wait_for(lambda: ostler.queue() == [], what="empty queue")
    commands = [line.split(" ORCPT")[0] for _, line in peer.commands if line.startswith("RCPT")]
    # An alias for itself is none: the next hop has the duty to tell of success.
    assert sorted(commands) == ["RCPT TO:<a@far.test> NOTIFY=NEVER", "RCPT TO:<same@dest.test> NOTIFY=SUCCESS"]
    assert len(reports(sink)) == 1


# rules: N64 O43
def test_alias__message_is_requeued_and_shown_before_it_was_active__is_expanded_once(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {
        "virtual_alias_maps": "inline:{ { team@dest.test = a@far.test, b@far.test } }",
        "defer_transports": "smtp"})
    ask_for_success(ostler)

    def entry_of(sender):
        return next((e for e in ostler.queue() if e["sender"] == sender), None)

    report = wait_for(lambda: entry_of("") or entry_of("MAILER-DAEMON"), what="report")
    entry = entry_of("s@client.test")
    assert sorted(r["address"] for r in entry["recipients"]) == ["a@far.test", "b@far.test"]
    ostler.tool("requeue", entry["queue_id"])
    wait_for(lambda: entry_of("s@client.test")["queue_id"] != entry["queue_id"], what="requeue")
    assert sorted(r["address"] for r in entry_of("s@client.test")["recipients"]) == ["a@far.test", "b@far.test"]
    time.sleep(0.3)
    assert [e["queue_id"] for e in ostler.queue() if e["sender"] != "s@client.test"] == [report["queue_id"]]


# rules: N8 N40 N41 N42
def test_report__success_and_verify__both_parsers_agree(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}")
    ask_for_success(ostler, "a@dest.test")
    wait_for(lambda: reports(sink), what="report")
    (_, _, content), = reports(sink)
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert [p.defects for p in parsed.walk()] == [[]] * len(list(parsed.walk()))
    text, status, original = parsed.get_payload()
    message, recipient = status.get_payload()
    assert message["Reporting-MTA"] == "dns; ostler.test" and message["Original-Envelope-Id"] == "e1"
    assert message["Arrival-Date"] and message["X-Ostler-Sender"] == "rfc822; s@client.test"
    assert (recipient["Final-Recipient"], recipient["Action"], recipient["Status"]) == (
        "rfc822; a@dest.test", "relayed", "2.0.0")
    assert recipient["Remote-MTA"] == "dns; 127.0.0.1" and recipient["Diagnostic-Code"].startswith("smtp; 250")
    assert original.get_content_type() == "text/rfc822-headers" and "body" not in original.as_string()
    assert all_failures(email.message_from_bytes(content)) == (set(), set())


# rules: N60 N61 N62
@pytest.mark.parametrize("options, mail, rcpt", [
    (["-N", "success,delay", "-R", "hdrs", "-V", "id+1"], " RET=HDRS ENVID=id+2B1", " NOTIFY=SUCCESS,DELAY"),
    (["-N", "never"], "", " NOTIFY=NEVER"),
    (["-R", "full"], " RET=FULL", ""),
    ([], "", ""),
])
def test_sendmail__dsn_options__reach_the_next_hop(make_ostler, make_peer, options, mail, rcpt):
    peer = make_peer("PIPELINING", "DSN")
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}")
    done = subprocess.run([BUILD / "sendmail", "-C", ostler.etc, "-f", "s@client.test", *options, "a@dest.test"],
                          input="Subject: s\n\nbody\n", text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    wait_for(lambda: peer.messages, what="mail")
    commands = [line for _, line in peer.commands]
    assert f"MAIL FROM:<s@client.test>{mail}" in commands and f"RCPT TO:<a@dest.test>{rcpt}" in commands


# rules: N44
@pytest.mark.parametrize("options, settings, kind", [
    ([], {}, "message/rfc822"),
    (["RET=HDRS"], {}, "text/rfc822-headers"),
    (["RET=FULL"], {"bounce_size_limit": "100"}, "text/rfc822-headers"),
])
def test_report__ret_and_bounce_size_limit__decide_what_comes_back(make_ostler, sink, options, settings, kind):
    sink.rcpt_replies["a@dest.test"] = ["550 5.1.1 no"]
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", settings)
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.sendmail("s@client.test", ["a@dest.test"], "Subject: s\r\n\r\nbody\r\n" * 10, mail_options=options)
    wait_for(lambda: reports(sink), what="report")
    parsed = email.message_from_bytes(reports(sink)[0][2])
    original = parsed.get_payload()[2]
    assert original.get_content_type() == kind and ("body" in original.as_string()) == (kind == "message/rfc822")
    assert all_failures(parsed) == (set(), {b"a@dest.test"})
