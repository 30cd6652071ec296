"""Real peers and tools of the field: MX sets of a name server, LMTP, swaks, curl, pflogsumm."""
import json
import shutil
import subprocess
import time

import pytest
from aiosmtpd.lmtp import LMTP
from aiosmtpd.controller import Controller
from conftest import Sink, free_port, wait_for
from dnslib import CNAME, MX, QTYPE, RR, A
from dnslib.server import BaseResolver, DNSHandler, DNSServer


class Names(BaseResolver):
    """records: {(name, type): [RR, ...]}; names with nothing do not exist."""

    def __init__(self, records, ttl):
        self.records, self.ttl = records, ttl

    def resolve(self, request, handler):
        reply = request.reply()
        name = str(request.q.qname).rstrip(".")
        found = self.records.get((name, QTYPE[request.q.qtype]), [])
        if found == "SERVFAIL":
            reply.header.rcode = 2
            return reply
        for data in found:
            kind = QTYPE.CNAME if isinstance(data, CNAME) else request.q.qtype
            reply.add_answer(RR(name, kind, rdata=data, ttl=self.ttl))
        if not any(known == name for known, _ in self.records):
            reply.header.rcode = 3
        return reply


@pytest.fixture
def names():
    made = []

    def make(records, udp_size=0, ttl=60):
        port = free_port()
        handler = type("Handler", (DNSHandler,), {"udplen": udp_size})
        server = DNSServer(Names(records, ttl), port=port, address="127.0.0.1", handler=handler)
        tcp = DNSServer(Names(records, ttl), port=port, address="127.0.0.1", tcp=True)
        for one in (server, tcp):
            one.start_thread()
            made.append(one)
        return f"127.0.0.1:{port}"

    yield make
    for one in made:
        one.stop()
        one.server.server_close()


def settings(sink, server):
    return {"resolver_nameservers": server, "smtp_tcp_port": str(sink.port), "relayhost": "",
            "smtp_connect_timeout": "2s"}


def test_mx__best_first__the_next_when_it_refuses(make_ostler, sink, names):
    server = names({("dest.test", "MX"): [MX("bad.dest.test", 10), MX("good.dest.test", 20)],
                    ("bad.dest.test", "A"): [A("127.0.0.9")], ("good.dest.test", "A"): [A("127.0.0.1")]})
    ostler = make_ostler("", settings(sink, server))
    ostler.send("a@dest.test")
    wait_for(lambda: sink.recipients() == ["a@dest.test"], what="delivery")
    assert "relay=good.dest.test[127.0.0.1]" in wait_for(lambda: "status=sent" in ostler.log() and ostler.log())
    assert "connect to bad.dest.test[127.0.0.9]" in ostler.log()
    # What one session has found out all know: the bad one is the last for a while.
    time.sleep(2.5)
    ostler.send("b@dest.test")
    wait_for(lambda: len(sink.recipients()) == 2, what="delivery")
    assert ostler.log().count("connect to bad.dest.test[127.0.0.9]") == 1


class CountingSink(Sink):
    """Knows how many sessions there were."""

    def __init__(self):
        super().__init__()
        self.sessions = 0

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        self.sessions += 1
        return responses


@pytest.fixture
def counting_sink():
    sink = CountingSink()
    sink.start()
    yield sink
    sink.stop()


def test_site__two_domains_with_the_same_hosts__share_a_session_until_dns_or_settings_part_them(make_ostler, counting_sink, names):
    sink = counting_sink
    mx, own = [MX("mx.provider.test", 10)], [MX("mx.two.test", 10)]
    records = {("one.test", "MX"): mx, ("two.test", "MX"): mx, ("three.test", "MX"): mx,
               ("mx.provider.test", "A"): [A("127.0.0.1")], ("mx.two.test", "A"): [A("127.0.0.1")]}
    ostler = make_ostler("", {**settings(sink, names(records, ttl=1)),
                              "destination_settings_maps": "inline:{ {three.test=sessions=7} }"})
    for domain in ("one.test", "two.test", "three.test"):
        ostler.send(f"a@{domain}")
        wait_for(lambda: f"a@{domain}" in sink.recipients(), what="delivery")
    # three.test has settings of its own, so a session of its own.
    assert sink.sessions == 2
    rows = {row["name"]: row for row in map(json.loads, ostler.tool("sites", "--json").stdout.splitlines())}
    assert rows["one.test"]["serves"] == ["two.test"] and "two.test" not in rows
    records[("two.test", "MX")] = own
    time.sleep(6)  # answers hold 5 s at least, idle sessions 2 s
    for domain in ("one.test", "two.test"):
        ostler.send(f"b@{domain}")
        wait_for(lambda: f"b@{domain}" in sink.recipients(), what="delivery")
    assert "relay=mx.two.test[127.0.0.1]" in wait_for(lambda: ostler.log().count("status=sent") == 5 and ostler.log())
    assert sink.sessions == 4


def test_ttl__an_answer_that_changed__counts_when_the_old_one_has_expired(make_ostler, sink, names):
    """Answers hold at least 5 s; how failures expire: tests/unit/qmgr/test_nexthop.c."""
    records = {("dest.test", "MX"): [MX("mx.dest.test", 10)], ("mx.dest.test", "A"): [A("127.0.0.1")]}
    ostler = make_ostler("", {**settings(sink, names(records, ttl=2)), "smtp_connection_cache_time_limit": "1s",
                              "default_destination_concurrency_limit": "1"})
    ostler.send("a@dest.test")
    wait_for(lambda: sink.recipients() == ["a@dest.test"], what="delivery")
    records[("mx.dest.test", "A")] = [A("127.0.0.9")]
    began = time.monotonic()
    for number in range(100):
        ostler.send(f"b{number}@dest.test")
        if "[127.0.0.9]" in ostler.log():
            break
        time.sleep(1.2)  # its connection is closed by then
    assert 3 < time.monotonic() - began < 12


@pytest.mark.parametrize("domain,records,words", [
    ("none.test", {}, "dsn=5.4.4, status=bounced (Host or domain name not found. Name service error "
                      "for name=none.test type=MX: Host not found)"),
    ("null.test", {("null.test", "MX"): [MX(".", 0)]},
     "dsn=5.1.10, status=bounced (Domain null.test does not accept mail (nullMX))"),
    ("loop.test", {("loop.test", "MX"): [MX("ostler.test", 5)], ("ostler.test", "A"): [A("127.0.0.1")]},
     "dsn=5.4.6, status=bounced (mail for loop.test loops back to myself)")])
def test_mx__what_cannot_be_delivered__bounces(make_ostler, sink, names, domain, records, words):
    ostler = make_ostler("", settings(sink, names({("sender.test", "A"): [A("127.0.0.1")], **records})))
    ostler.send(f"a@{domain}", sender="me@sender.test")
    wait_for(lambda: words in ostler.log(), what=words)
    wait_for(lambda: sink.recipients() == ["me@sender.test"], what="report")


def test_mx__equal_preferences__share_the_mail(make_ostler, sink, names):
    server = names({("dest.test", "MX"): [MX(f"m{n}.dest.test", 10) for n in range(4)],
                    **{(f"m{n}.dest.test", "A"): [A(f"127.0.0.{n + 1}")] for n in range(4)}})
    ostler = make_ostler("", {**settings(sink, server), "smtp_connection_reuse_count_limit": "1"})
    for number in range(12):
        ostler.send(f"a{number}@dest.test")
    wait_for(lambda: len(sink.messages) == 12, 30, "twelve deliveries")
    tried = {line.split("connect to ")[1].split(".")[0] for line in ostler.log().splitlines()
             if ": connect to " in line}
    assert len(tried) >= 2, "always the same host came first"


def test_mx__none__the_domain_itself(make_ostler, sink, names):
    ostler = make_ostler("", settings(sink, names({("dest.test", "A"): [A("127.0.0.1")]})))
    ostler.send("a@dest.test")
    wait_for(lambda: sink.recipients() == ["a@dest.test"], what="delivery")
    assert "relay=dest.test[127.0.0.1]" in ostler.log()


def test_mx__alias_of_a_domain__is_followed(make_ostler, sink, names):
    ostler = make_ostler("", settings(sink, names({
        ("dest.test", "MX"): [CNAME("real.test")], ("dest.test", "A"): [CNAME("real.test")],
        ("real.test", "MX"): [MX("mx.real.test", 5)], ("mx.real.test", "A"): [A("127.0.0.1")]})))
    ostler.send("a@dest.test")
    wait_for(lambda: sink.recipients() == ["a@dest.test"], what="delivery")
    assert "relay=mx.real.test[127.0.0.1]" in ostler.log()


def test_mx__truncated_answer__is_asked_for_over_tcp(make_ostler, sink, names):
    many = [MX(f"a-rather-long-name-of-a-mail-exchanger-{n}.dest.test", 20) for n in range(40)]
    server = names({("dest.test", "MX"): [*many, MX("good.dest.test", 10)],
                    ("good.dest.test", "A"): [A("127.0.0.1")]}, udp_size=512)
    ostler = make_ostler("", settings(sink, server))
    ostler.send("a@dest.test")
    wait_for(lambda: sink.recipients() == ["a@dest.test"], what="delivery")
    assert "relay=good.dest.test[127.0.0.1]" in ostler.log()


# rules: Y21
def test_mx__server_failure__mail_waits_for_it(make_ostler, sink, names):
    records = {("dest.test", "MX"): "SERVFAIL"}
    server = names(records)
    ostler = make_ostler("", {**settings(sink, server), "minimal_backoff_time": "1s",
                              "maximal_backoff_time": "1s"})
    ostler.send("a@dest.test")
    wait_for(lambda: "status=deferred (Host or domain name not found. Name service error for name=dest.test "
             "type=MX: Host not found, try again)" in ostler.log(), 40, what="deferral")
    records[("dest.test", "MX")] = [MX("mx.dest.test", 10)]
    records[("mx.dest.test", "A")] = [A("127.0.0.1")]
    wait_for(lambda: sink.recipients() == ["a@dest.test"], 40, "delivery when the name server is well again")


class LmtpController(Controller):
    def factory(self):
        return LMTP(self.handler)


class LmtpSink(Sink):
    def start(self):
        self.controller = LmtpController(self, hostname="127.0.0.1", port=self.port)
        self.controller.start()


def test_lmtp__each_recipient_has_its_own_result(make_ostler):
    sink = LmtpSink()
    sink.start()
    try:
        sink.rcpt_replies["gone@dest.test"] = ["550 5.1.1 no such mailbox"]
        ostler = make_ostler("", {"transport_maps": f"inline:{{ dest.test=lmtp:[127.0.0.1]:{sink.port} }}"})
        ostler.send(["a@dest.test", "gone@dest.test"])
        wait_for(lambda: ostler.log().count("status=") >= 2, what="results")
        assert "to=<a@dest.test>" in ostler.log() and "status=sent" in ostler.log()
        assert "said: 550 5.1.1 no such mailbox (in reply to RCPT TO command)" in ostler.log()
    finally:
        sink.stop()


# rules: J28
@pytest.mark.skipif(shutil.which("pflogsumm") is None, reason="pflogsumm is not installed")
def test_log__pflogsumm__reports_what_happened(ostler, sink):
    sink.rcpt_replies["gone@dest.test"] = ["550 5.1.1 no"]
    for number in range(3):
        ostler.send(f"a{number}@dest.test")
    ostler.send("gone@dest.test")
    wait_for(lambda: len(sink.messages) == 4 and ostler.log().count(": removed") == 5, what="five ends")
    report = subprocess.run(["pflogsumm", "--syslog-name=ostler", ostler.log_path], capture_output=True,
                            text=True, check=True).stdout
    totals = {line.split()[1]: line.split()[0] for line in report.splitlines()
              if len(line.split()) >= 2 and line.split()[0].isdigit()}
    assert (totals["received"], totals["delivered"], totals["bounced"]) == ("4", "4", "1") or \
        (totals["received"], totals["delivered"], totals["bounced"]) == ("5", "4", "1"), report[:800]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_client__curl(ostler, sink, tmp_path):
    (tmp_path / "mail").write_text("Subject: from curl\r\n\r\n.x\r\n")
    subprocess.run(["curl", "-s", f"smtp://127.0.0.1:{ostler.port}/c.test", "--mail-from", "c@c.test",
                    "--mail-rcpt", "d@dest.test", "-T", tmp_path / "mail"], check=True, timeout=30)
    wait_for(lambda: sink.recipients() == ["d@dest.test"], what="delivery")
    assert sink.messages[0][2].endswith(b"\r\n.x\r\n")
