"""Parameters whose effect only a running instance shows: rights, time-outs, duplicates, sources, mailboxes."""
import os
import pwd
import socket
import subprocess

import pytest
from conftest import BUILD, wait_for


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_show__content__is_not_for_everybody(make_ostler, sink):
    sink.stop()
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}")
    ostler.send("a@dest.test", body="secret\r\n")
    entry, = wait_for(ostler.queue, what="entry")
    nobody = pwd.getpwnam("nobody")

    def show(*words):
        return subprocess.run([BUILD / "ostler", "-c", ostler.etc, "show", entry["queue_id"], *words],
                              capture_output=True, text=True, user=nobody.pw_uid, group=nobody.pw_gid)

    done = show("--content")
    assert done.returncode == 77 and "only root, the mail owner" in done.stderr, done
    assert "secret" not in done.stdout
    done = show()
    assert done.returncode == 0 and "a@dest.test" in done.stdout, done
    assert "secret" in ostler.tool("show", entry["queue_id"], "--content").stdout


def test_smtpd_timeout__half_a_command_buys_no_time(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"smtpd_timeout": "2s"})
    with socket.create_connection(("127.0.0.1", ostler.port), 10) as s:
        assert s.recv(200).startswith(b"220 ")
        s.settimeout(0.5)
        got = b""
        for _ in range(12):
            try:
                s.sendall(b"x")
                got = s.recv(200)
            except TimeoutError:
                continue
            break
    assert got.startswith(b"421 4.4.2 "), got
    wait_for(lambda: "timeout after CONNECT from unknown[127.0.0.1]" in ostler.log(), what="log line")


def test_duplicates__of_a_local_submission__go_once(ostler, sink):
    done = subprocess.run([BUILD / "sendmail", "-C", ostler.etc, "a@dest.test", "A@dest.test", "b@dest.test"],
                          input="Subject: x\n\nx\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wait_for(lambda: ": removed" in ostler.log(), what="delivery")
    assert sorted(sink.recipients()) == ["a@dest.test", "b@dest.test"]


def test_smtp_bind_address__is_the_source(make_ostler, sink):
    sources = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        ostler = make_ostler(f"[127.0.0.1]:{server.getsockname()[1]}", {"smtp_bind_address": "127.0.0.7"})
        ostler.send("a@dest.test")
        server.settimeout(10)
        client, address = server.accept()
        client.close()
        sources.append(address[0])
    assert sources == ["127.0.0.7"]


def test_smtp_bind_address__not_ours__nothing_is_sent_from_elsewhere(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"smtp_bind_address": "192.0.2.77"})
    ostler.send("a@dest.test")
    wait_for(lambda: "status=deferred (smtp_bind_address cannot be used" in ostler.log(), what="deferral")
    assert sink.messages == []


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_smtp_bind_address6__is_the_source(make_ostler, sink):
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 loopback")
    with server:
        ostler = make_ostler(f"[::1]:{server.getsockname()[1]}",
                             {"smtp_bind_address6": "::2", "inet_protocols": "all"})
        ostler.send("a@dest.test")
        wait_for(lambda: "smtp_bind_address cannot be used" in ostler.log(), what="refusal by the system")


def test_home_mailbox__is_below_the_users_directory(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"home_mailbox": "Mail/inbox/"})
    ostler.send("carla@local.test")
    new = ostler.dir / "mail/carla/Mail/inbox/new"
    wait_for(lambda: new.is_dir() and list(new.iterdir()), what="delivery")


def test_smtp_skip_5xx_greeting__no__bounces(make_ostler, sink):
    with socket.create_server(("127.0.0.1", 0)) as server:
        ostler = make_ostler("", {"smtp_skip_5xx_greeting": "no", "transport_maps":
                                  f"inline:{{ dest.test=smtp:[127.0.0.1]:{server.getsockname()[1]} }}"})
        ostler.send("a@dest.test", sender="s@local.test")
        server.settimeout(10)
        client, _ = server.accept()
        client.sendall(b"554 5.7.1 not you\r\n")
        wait_for(lambda: "dsn=5.7.1, status=bounced (host 127.0.0.1[127.0.0.1] refused to talk to me: "
                 "554 5.7.1 not you" in ostler.log(), what="bounce")
        client.close()
    wait_for(lambda: ostler.maildir("s"), what="report")


def test_double_bounce_sender__its_mail_is_discarded(ostler, sink):
    """rules: R47 N23"""
    ostler.send("Double-Bounce@localhost")
    wait_for(lambda: "relay=none" in ostler.log() and ": removed" in ostler.log(), what="its end")
    assert "dsn=2.0.0, status=sent (undeliverable postmaster notification discarded)" in ostler.log()
    assert sink.messages == [] and ostler.maildir("double-bounce") == []


# Of a next hop without a port each service has its own.
def test_smtp_tcp_port__of_one_service__is_used_by_it_alone(make_ostler, sink):
    ostler = make_ostler("", {"transport_maps": "inline:{ dest.test=other:[127.0.0.1] }", "smtp_tcp_port": "1"}, start=False)
    path = ostler.etc / "master.cf"
    path.write_text(path.read_text() + f"other unix - - n - - smtp\n  -o smtp_tcp_port={sink.port}\n")
    ostler.start()
    ostler.send("a@dest.test")
    wait_for(lambda: sink.recipients() == ["a@dest.test"], what="delivery")
