"""Side by side with Postfix: the same mail, the same next hop, the same configuration.

Method: every scenario has a domain and a next hop of its own, which follows a script; its sender's domain leads
to an inbox that takes all reports. All scenarios of a group go through Postfix and then through Ostler (with
scheduler_concurrency_policy = classic), and what came out is compared: what each recipient and sender got, the fields of
reports, status and dsn of the last log line of each recipient, what is left in the queue. DIFFERENT lists what
differs on purpose; docs/differences.md has the reasons. A difference that is gone fails too.
"""
import collections
import email
import email.policy
import os
import re
import smtplib
import socket
import subprocess
import threading
import time

import pytest
from conftest import free_port, wait_for
from test_postfix import make_postfix, needs_postfix  # noqa: F401 (a fixture)

ALL = ("PIPELINING", "SIZE 20000000", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN")
NO_DSN = ALL[:4]
BARE = ()


class NextHop:
    """One listener. script: {stage: reply or [replies, the last one repeats]}; a recipient's stage is rcpt:LOCAL."""

    def __init__(self, script, offers):
        self.script = {k: list(v) if isinstance(v, (list, tuple)) else [v] for k, v in script.items()}
        self.offers, self.got, self.connected, self.lock = offers, [], [], threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = free_port()
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(50)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connected.append(time.monotonic())
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def reply(self, stage, usual):
        with self.lock:
            replies = self.script.get(stage)
            if not replies:
                return usual
            return replies.pop(0) if len(replies) > 1 else replies[0]

    def serve(self, client):
        try:
            with client:
                client.settimeout(30)
                self.talk(client, client.makefile("rb"))
        except (OSError, EOFError):
            pass

    def talk(self, client, lines):
        def say(stage, usual):
            words = self.reply(stage, usual)
            if words == "drop":
                raise EOFError
            client.sendall((words + "\r\n").encode())
            return words[0] in "23"

        if not say("connect", "220 next.test ESMTP"):
            return
        sender, recipients = None, []
        for line in lines:
            text = line.decode("latin-1").strip()
            word = text[:4].upper()
            if word == "EHLO":
                offers = ["next.test", *self.offers]
                say("ehlo", "\r\n".join(f"250{'-' if i + 1 < len(offers) else ' '}{offer}"
                                        for i, offer in enumerate(offers)))
            elif word == "HELO":
                say("helo", "250 next.test")
            elif word == "MAIL":
                recipients = []
                sender = text[10:] if say("mail", "250 2.1.0 Ok") else None
            elif word == "RCPT":
                local = re.match(r"RCPT TO:<([^@>]*)", text, re.I)[1]
                if sender is None:
                    client.sendall(b"503 5.5.1 MAIL first\r\n")
                elif say("rcpt:" + local, "250 2.1.5 Ok"):
                    recipients.append(text[8:])
            elif word == "DATA":
                if not recipients:
                    client.sendall(b"554 5.5.1 no valid recipients\r\n")
                elif say("data", "354 go on"):
                    content = b""
                    for line in lines:
                        if line == b".\r\n":
                            break
                        content += line[1:] if line.startswith(b".") else line
                    else:
                        return
                    if say("dot", "250 2.0.0 Ok: queued as NEXT"):
                        self.got.append((sender, sorted(recipients), content))
                    sender, recipients = None, []
            elif word == "QUIT":
                client.sendall(b"221 2.0.0 Bye\r\n")
                return
            else:
                sender, recipients = None, []
                client.sendall(b"250 2.0.0 Ok\r\n")


Scenario = collections.namedtuple("Scenario", "name recipients script offers sender mail_options body",
                                  defaults=[(("u", ()),), {}, ALL, "from", (), "Hello.\r\n"])
S = Scenario
U = (("u", ()),)


def each(notify):
    return (("u", ("NOTIFY=" + notify,)),)


def with_reply(name, stage, reply, **more):
    return S(name, script={stage: reply}, **more)


REPLIES = [  # one recipient, one reply that is not the usual one
    with_reply("rcpt-550", "rcpt:u", "550 5.1.1 <u>: no such user"),
    with_reply("rcpt-550-plain", "rcpt:u", "550 no such user"),
    with_reply("rcpt-553", "rcpt:u", "553 5.1.3 bad syntax"),
    with_reply("rcpt-554-policy", "rcpt:u", "554 5.7.1 not wanted here"),
    with_reply("rcpt-552-full", "rcpt:u", "552 5.2.2 mailbox full"),
    with_reply("rcpt-450", "rcpt:u", "450 4.2.0 greylisted, try again later"),
    with_reply("rcpt-451", "rcpt:u", "451 4.3.0 trouble here"),
    with_reply("rcpt-452", "rcpt:u", "452 4.2.2 mailbox full"),
    with_reply("rcpt-450-plain", "rcpt:u", "450 later"),
    with_reply("rcpt-enhanced-disagrees", "rcpt:u", "550 4.1.1 which is it?"),
    with_reply("rcpt-multi-line", "rcpt:u", "550-5.1.1 The mailbox\r\n550-5.1.1 is not\r\n550 5.1.1 known"),
    with_reply("rcpt-long", "rcpt:u", "550 5.1.1 " + "x" * 400),
    with_reply("rcpt-421", "rcpt:u", "421 4.3.2 shutting down"),
    with_reply("mail-550", "mail", "550 5.7.1 sender refused"),
    with_reply("mail-501", "mail", "501 5.1.7 bad sender"),
    with_reply("mail-450", "mail", "450 4.7.1 later"),
    with_reply("mail-552-size", "mail", "552 5.3.4 too big"),
    with_reply("data-554", "data", "554 5.5.0 no"),
    with_reply("data-451", "data", "451 4.3.0 not now"),
    with_reply("dot-550", "dot", "550 5.7.1 content refused"),
    with_reply("dot-554-spam", "dot", "554 5.7.1 spam"),
    with_reply("dot-451", "dot", "451 4.7.1 content later"),
    with_reply("dot-452", "dot", "452 4.3.1 no room"),
    with_reply("dot-250-plain", "dot", "250 ok"),
    with_reply("connect-554", "connect", "554 5.3.2 go away"),
    with_reply("connect-421", "connect", "421 4.3.2 too busy"),
    with_reply("connect-450", "connect", "450 4.3.2 too busy"),
    with_reply("connect-drop", "connect", "drop"),
    with_reply("ehlo-500", "ehlo", "500 5.5.1 what?"),
    with_reply("ehlo-421", "ehlo", "421 4.3.2 too busy"),
    with_reply("ehlo-550", "ehlo", "550 5.7.1 your name?"),
    with_reply("ehlo-drop", "ehlo", "drop"),
    with_reply("mail-drop", "mail", "drop"),
    with_reply("rcpt-drop", "rcpt:u", "drop"),
    with_reply("data-drop", "data", "drop"),
    with_reply("dot-drop", "dot", "drop"),
    S("ehlo-and-helo-refused", script={"ehlo": "502 no", "helo": "550 5.7.1 nor so"}),
]
SEVERAL = [
    S("two-ok", recipients=(("u", ()), ("v", ()))),
    S("one-of-two-550", recipients=(("u", ()), ("v", ())), script={"rcpt:v": "550 5.1.1 unknown"}),
    S("both-550", recipients=(("u", ()), ("v", ())), script={"rcpt:u": "550 5.1.1 unknown",
                                                             "rcpt:v": "550 5.2.1 disabled"}),
    S("550-and-450", recipients=(("u", ()), ("v", ())), script={"rcpt:u": "550 5.1.1 unknown",
                                                                "rcpt:v": "450 4.2.0 later"}),
    S("ok-550-450", recipients=(("u", ()), ("v", ()), ("w", ())),
      script={"rcpt:v": "550 5.1.1 unknown", "rcpt:w": "450 4.2.0 later"}),
    S("three-and-the-dot-refused", recipients=(("u", ()), ("v", ()), ("w", ())),
      script={"dot": "550 5.7.1 no"}),
    S("one-refused-then-the-dot", recipients=(("u", ()), ("v", ())),
      script={"rcpt:u": "550 5.1.1 unknown", "dot": "550 5.7.1 no"}),
    S("the-same-twice", recipients=(("u", ()), ("u", ()))),
    S("case-of-local-part", recipients=(("u", ()), ("U", ()))),
]
DSN = [
    S("success-by-dsn-peer", recipients=each("SUCCESS")),
    S("success-without-dsn-peer", recipients=each("SUCCESS"), offers=NO_DSN),
    S("success-by-bare-peer", recipients=each("SUCCESS"), offers=BARE, script={"ehlo": "502 no"}),
    S("success-failure-and-550", recipients=each("SUCCESS,FAILURE"), script={"rcpt:u": "550 5.1.1 unknown"}),
    S("success-only-and-550", recipients=each("SUCCESS"), script={"rcpt:u": "550 5.1.1 unknown"}),
    S("never-and-550", recipients=each("NEVER"), script={"rcpt:u": "550 5.1.1 unknown"}),
    S("never-passed-on", recipients=each("NEVER")),
    S("failure-passed-on", recipients=each("FAILURE")),
    S("delay-and-550", recipients=each("DELAY"), script={"rcpt:u": "550 5.1.1 unknown"}),
    S("failure-delay-passed-on", recipients=each("FAILURE,DELAY")),
    S("never-beside-default", recipients=(("u", ("NOTIFY=NEVER",)), ("v", ())),
      script={"rcpt:u": "550 5.1.1 unknown", "rcpt:v": "550 5.1.1 unknown"}),
    S("orcpt-passed-on", recipients=(("u", ("ORCPT=rfc822;first+2Blast@old.test",)),)),
    S("orcpt-and-550", recipients=(("u", ("ORCPT=rfc822;first@old.test",)),),
      script={"rcpt:u": "550 5.1.1 unknown"}),
    S("envid-passed-on", mail_options=("ENVID=QQ+2B17",)),
    S("envid-and-550", mail_options=("ENVID=QQ+2B17",), script={"rcpt:u": "550 5.1.1 unknown"}),
    S("ret-hdrs-passed-on", mail_options=("RET=HDRS",)),
    S("ret-hdrs-and-550", mail_options=("RET=HDRS",), script={"rcpt:u": "550 5.1.1 unknown"}),
    S("ret-full-and-550", mail_options=("RET=FULL",), script={"rcpt:u": "550 5.1.1 unknown"}),
    S("success-and-550-mixed", recipients=(("u", ("NOTIFY=SUCCESS",)), ("v", ("NOTIFY=FAILURE",))), offers=NO_DSN,
      script={"rcpt:v": "550 5.1.1 unknown"}),
]
SENDERS = [
    S("null-sender", sender=None),
    S("null-sender-and-550", sender=None, script={"rcpt:u": "550 5.1.1 unknown"}),
    S("null-sender-and-450", sender=None, script={"rcpt:u": "450 4.2.0 later"}),
]
CONTENT = [
    S("dots", body=".\r\n..\r\n.a\r\n\r\n.\r\n.\r\nend\r\n"),
    S("long-lines", body="y" * 900 + "\r\n"),
    S("eight-bit", body="\xe4\xf6\xfc\r\n", mail_options=("BODY=8BITMIME",)),
    S("empty-body", body=""),
    S("no-size-no-pipelining", offers=("8BITMIME",)),
    S("big-report", body="z" * 70 + "\r\n" * 1 + ("q" * 70 + "\r\n") * 1000,
      script={"rcpt:u": "550 5.1.1 unknown"}),
    S("beyond-size-of-next-hop", body=("q" * 70 + "\r\n") * 100, offers=("SIZE 2000", *ALL[2:])),
]
AT_ONCE = REPLIES + SEVERAL + DSN + SENDERS + CONTENT
RETRIED = [
    with_reply("450-then-ok", "rcpt:u", ["450 4.2.0 later", "250 2.1.5 Ok"]),
    with_reply("dot-451-then-ok", "dot", ["451 4.3.0 later", "250 2.0.0 Ok"]),
    with_reply("450-then-550", "rcpt:u", ["450 4.2.0 later", "550 5.1.1 unknown"]),
    with_reply("connect-421-then-ok", "connect", ["421 4.3.2 busy", "220 next.test ESMTP"]),
    S("550-and-450-then-ok", recipients=(("u", ()), ("v", ())),
      script={"rcpt:u": "550 5.1.1 unknown", "rcpt:v": ["450 4.2.0 later", "250 2.1.5 Ok"]}),
    S("success-after-450", recipients=each("SUCCESS"), offers=NO_DSN,
      script={"rcpt:u": ["450 4.2.0 later", "250 2.1.5 Ok"]}),
]
EXPIRED = [  # maximal_queue_lifetime = 0: one attempt
    with_reply("expired-450", "rcpt:u", "450 4.2.0 later"),
    with_reply("expired-dot-451", "dot", "451 4.3.0 later"),
    S("expired-never", recipients=each("NEVER"), script={"rcpt:u": "450 4.2.0 later"}),
    S("expired-of-two", recipients=(("u", ()), ("v", ())), script={"rcpt:v": "450 4.2.0 later"}),
    S("expired-null-sender", sender=None, script={"rcpt:u": "450 4.2.0 later"}),
]
DELAYED = [  # a warning, once
    with_reply("warned-450", "rcpt:u", "450 4.2.0 later"),
    S("warned-notify-delay", recipients=each("DELAY"), script={"rcpt:u": "450 4.2.0 later"}),
    S("warned-never", recipients=each("NEVER"), script={"rcpt:u": "450 4.2.0 later"}),
    S("warned-failure-only", recipients=each("FAILURE"), script={"rcpt:u": "450 4.2.0 later"}),
    S("warned-null-sender", sender=None, script={"rcpt:u": "450 4.2.0 later"}),
    S("warned-of-one-of-two", recipients=(("u", ()), ("v", ())), script={"rcpt:v": "450 4.2.0 later"}),
    S("warned-dot", script={"dot": "451 4.3.0 later"}, mail_options=("RET=HDRS", "ENVID=e1")),
]
GROUPS = {
    "delayed": (DELAYED, {"delay_warning_time": "1s", "minimal_backoff_time": "2s",
                          "maximal_backoff_time": "2s", "queue_run_delay": "1s"}),
    "at-once": (AT_ONCE, {"minimal_backoff_time": "900s", "maximal_backoff_time": "900s"}),
    "retried": (RETRIED, {"minimal_backoff_time": "2s", "maximal_backoff_time": "2s", "queue_run_delay": "1s"}),
    "expired": (EXPIRED, {"maximal_queue_lifetime": "0", "bounce_queue_lifetime": "0"}),
}
# (scenario, what). docs/differences.md, "Seen side by side".
DIFFERENT = {(name, what)
             for name in ("ehlo-and-helo-refused",) for what in ("log", "reports", "left")}
# What pflogsumm counts more for Postfix, by group: the scenario that is DIFFERENT is returned, with a report.
MORE_COUNTED = {"at-once": {"delivered": 1, "bounced": 1}}
COMMON = {"smtp_destination_concurrency_limit": "5", "smtpd_client_connection_count_limit": "0",
          "notify_classes": "", "smtp_destination_concurrency_failed_cohort_limit": "0"}


def start_scenarios(scenarios):
    """Next hops, their inboxes, and the transport map that leads to them."""
    hops, routes = {}, []
    for n, scenario in enumerate(scenarios):
        hop, inbox = NextHop(scenario.script, scenario.offers), NextHop({}, ALL)
        hops[scenario.name] = (hop, inbox)
        routes += [f"d{n}.test=smtp:[127.0.0.1]:{hop.port}", f"s{n}.test=smtp:[127.0.0.1]:{inbox.port}"]
    return hops, "inline:{" + ", ".join(routes) + "}"


def submit(port, n, scenario):
    sender = "" if scenario.sender is None else f"{scenario.sender}@s{n}.test"
    content = (f"From: <from@s{n}.test>\r\nTo: <u@d{n}.test>\r\nSubject: {scenario.name}\r\n"
               f"Date: Thu, 26 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{scenario.name}@s{n}.test>\r\n\r\n"
               + scenario.body).encode("latin-1")
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo("client.test")
        assert client.mail(sender, scenario.mail_options)[0] == 250, scenario.name
        for local, options in scenario.recipients:
            assert client.rcpt(f"{local}@d{n}.test", options)[0] == 250, scenario.name
        code, _ = client.data(content)
        assert code == 250, scenario.name


def last_lines(log, n):
    """{recipient: (status, dsn)} by the last line of each."""
    found = {}
    for local, status, dsn in re.findall(
            rf"to=<([^@>]*)@d{n}\.test>,.* dsn=([\d.]+), status=(\w+)", log):
        found[local] = (dsn, status)
    return found


def is_over(log, n, scenario):
    wanted = {local for local, _ in scenario.recipients}
    have = last_lines(log, n)
    return {w.lower() for w in wanted} <= {h.lower() for h in have}


def report_of(content):
    message = email.message_from_bytes(content, policy=email.policy.compat32)
    if message.get_content_type() != "multipart/report":
        return {"type": message.get_content_type()}
    parts = message.get_payload()
    of_message, *of_recipients = parts[1].get_payload()
    seen = []
    for fields in of_recipients:
        code = re.sub(r"\s+", " ", fields.get("Diagnostic-Code", ""))
        code = re.sub("^X-(Postfix|Ostler); message size \\d+", "size", code)
        final, original = fields["Final-Recipient"].lower(), fields["Original-Recipient"]
        if original and original.lower().replace(";", "; ") == final:
            original = None  # Postfix says it of every recipient, Ostler where it was given
        seen.append((final, original, fields["Action"],
                     fields["Status"], fields["Remote-MTA"], code))
    return {"type": message.get_param("report-type"), "to": message["To"],
            "auto-submitted": message["Auto-Submitted"], "subject": message["Subject"],
            "envid": of_message["Original-Envelope-Id"], "recipients": sorted(seen, key=str),
            "returned": parts[2].get_content_type(),
            "first": re.search(rb"(?m)^Subject: (\S+)", content.split(b"boundary")[-1])[1]}


def outcome(hop, inbox, log, n, scenario, left):
    def plain(content):  # without what a relay adds in front
        head, _, body = content.partition(b"\r\n\r\n")
        head = re.sub(rb"(?m)^(Received|Delivered-To|Return-Path):.*\r\n([ \t].*\r\n)*", b"", head + b"\r\n")
        return head, body

    def mail_from(text):
        return sorted(re.sub(r"SIZE=\d+", "SIZE", text).split(" "))

    def rcpt(text):
        address, *parameters = text.split(" ")
        return address, sorted(p for p in parameters if p != f"ORCPT=rfc822;{address[1:-1]}")

    reports = []
    for sender, recipients, content in inbox.got:
        reports.append((sender.split(" ")[0], [r.split(" ")[0] for r in recipients], report_of(content)))
    return {
        "log": last_lines(log, n),
        "delivered": sorted(([mail_from(s), [rcpt(r) for r in rs], plain(c)] for s, rs, c in hop.got), key=str),
        "reports": sorted(reports, key=str),
        "left": left,
    }


def run(server, hops, scenarios, settle):
    """Sends all, waits until each has what it will get, and says what that was."""
    for n, scenario in enumerate(scenarios):
        submit(server.port, n, scenario)
    wait_for(lambda: all(is_over(server.log(), n, s) for n, s in enumerate(scenarios)), 40,
             "a line of each recipient", 0.2)
    settle()
    left = left_in_queue(server)
    log = server.log()
    return {s.name: outcome(*hops[s.name], log, n, s, sum(f"@d{n}.test" in line for line in left))
            for n, s in enumerate(scenarios)}


def left_in_queue(server):
    if hasattr(server, "env"):  # Postfix
        text = subprocess.run(["postqueue", "-c", f"{server.dir}/etc", "-p"], capture_output=True,
                              text=True, env=server.env).stdout
    else:
        text = server.tool("-C", str(server.etc), check=False, program="mailq").stdout
    return [line for line in text.splitlines() if re.match(r"^\s+\S+@d\d+\.test", line)]


def differences(one, other):
    for name in one:
        for what in one[name]:
            if one[name][what] != other[name][what]:
                yield name, what, one[name][what], other[name][what]


def check_retry_times(server, hops):
    """Not before the backoff of 2 s, and soon after it. Postfix may be early, as it compares times of files."""
    least = 0 if server == "postfix" else 1.9
    for name, (hop, _) in hops.items():
        gap = hop.connected[1] - hop.connected[0]
        assert least <= gap <= 6, f"{server}, {name}: tried again after {gap:.1f} s"


def totals(log, syslog_name, directory):
    """What pflogsumm counts; deferrals are left out, as parked mail is not tried."""
    path = f"{directory}/all.log"
    with open(path, "w") as f:
        f.write(log)
    text = subprocess.run(["pflogsumm", "--syslog-name", syslog_name, path], capture_output=True, text=True,
                          check=True, timeout=60).stdout
    return {what: int(re.search(rf"^\s+(\d+)\s+{what}\b", text, re.M)[1])
            for what in ("received", "delivered", "bounced", "rejected")}


@needs_postfix
@pytest.mark.parametrize("group", GROUPS)
def test_scenarios__come_out_as_with_postfix(group, make_ostler, make_postfix):  # noqa: F811
    scenarios, settings = GROUPS[group]
    settle = {"at-once": 3, "retried": 12, "expired": 4, "delayed": 12}[group]
    outcomes, counts = [], []
    for name in ("postfix", "ostler"):
        hops, routes = start_scenarios(scenarios)
        values = {**COMMON, **settings, "transport_maps": routes}
        if name == "postfix":
            server = make_postfix(free_port(), values)
        else:
            server = make_ostler(f"[127.0.0.1]:{free_port()}",
                                 {**values, "scheduler_concurrency_policy": "classic", "myhostname": "postfix.test"})
        result = run(server, hops, scenarios, lambda: time.sleep(settle))
        outcomes.append(result)
        counts.append(totals(server.log(), name, server.dir))
        if group == "retried":
            check_retry_times(name, hops)
        for pair in hops.values():
            for hop in pair:
                hop.close()
    found = list(differences(*outcomes))
    text = "\n".join(f"{name} {what}:\n  postfix {a}\n  ostler  {b}" for name, what, a, b in found
                     if (name, what) not in DIFFERENT)
    assert not text, "\n" + text
    for what, count in counts[0].items():
        assert count - MORE_COUNTED.get(group, {}).get(what, 0) == counts[1][what], (what, counts)
    gone = {key for key in DIFFERENT if key[0] in outcomes[0]} - {(name, what) for name, what, *_ in found}
    assert not gone, f"listed as different, and the same: {gone}"
