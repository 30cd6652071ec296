"""What operators do to mail in the queue: by conditions, with confirmation, with rights, as it stands in the log.

The comment above a test names the rules that it proves; tests/rules has the whole list.
"""
import json
import os
import pty
import pwd
import subprocess

import pytest

from conftest import BUILD, free_port, wait_for

SLOW = {"minimal_backoff_time": "1000s", "maximal_backoff_time": "1000s"}


@pytest.fixture
def deferring(make_ostler, sink):
    """Mail from ann and bob that waits for a site which refuses connections; client.test has the sink."""
    ostler = make_ostler(f"[127.0.0.1]:{free_port()}", {
        **SLOW, "transport_maps": f"inline:{{ client.test=smtp:[127.0.0.1]:{sink.port} }}"})
    for sender, to in (("ann@client.test", "a@one.test"), ("ann@client.test", "b@two.test"),
                       ("bob@client.test", "c@two.test")):
        ostler.send(to, sender=sender)
        wait_for(lambda: f"to=<{to}>" in ostler.log(), what="deferral")
    wait_for(lambda: {m["queue_name"] for m in ostler.queue()} == {"deferred"}, what="deferred")
    return ostler


def senders(ostler):
    return sorted(m["sender"] for m in ostler.queue())


# rules: O44 D41 J26 F11
def test_expire__by_sender__returns_mail_with_its_reason(deferring, sink):
    done = deferring.tool("expire", "-y", "--sender", "ann@client.test", "--why", "gone")
    assert done.stderr == "ostler: Force-expired: 2 messages\n"
    wait_for(lambda: len(sink.messages) == 2, what="two reports")
    assert all(b"Connection refused" in content for _, _, content in sink.messages)
    wait_for(lambda: senders(deferring) == ["bob@client.test"], what="end of the reports")
    log = deferring.log()
    assert log.count("status=force-expired, returned to sender") == 2
    assert log.count(": expired by root (uid 0): gone\n") == 2
    assert "expire by root (uid 0): 2 messages: gone\n" in log


# rules: O41 O42 O45 O23 J26
def test_hold__then_expire__waits_for_release_or_says_so(deferring, sink):
    deferring.tool("hold", "-y", "--recipient", "one.test")
    deferring.tool("expire", "-y", "--recipient", "one.test")
    held = [m for m in deferring.queue() if m["queue_name"] == "hold"]
    assert [m["forced_expire"] for m in held] == [True] and sink.messages == []
    assert "!# " in deferring.tool("queue").stdout or "!#" in deferring.tool("queue").stdout
    log = deferring.log()
    assert f"{held[0]['queue_id']}: placed on hold by root (uid 0)\n" in log
    deferring.tool("release", held[0]["queue_id"])
    wait_for(lambda: len(sink.messages) == 1, what="report")
    assert f"{held[0]['queue_id']}: released from hold by root (uid 0)\n" in deferring.log()
    deferring.tool("hold", "ALL")
    deferring.tool("expire", "-y", "--release", "--site", "two.test")
    wait_for(lambda: len(sink.messages) == 3, what="reports")


def test_conditions__dry_run_and_refusal__change_nothing(deferring):
    done = deferring.tool("delete", "-n", "--json", "--sender", "ann@client.test", "--site", "two.test")
    assert [json.loads(line)["recipients"][0]["address"] for line in done.stdout.splitlines()] == ["b@two.test"]
    assert "1 Request" in deferring.tool("delete", "-n", "--reason", "refused", "--site", "one.test").stdout
    done = deferring.tool("delete", "--sender", "client.test", check=False)
    assert done.returncode == 64 and "3 messages fit: nothing was done" in done.stderr
    assert len(deferring.queue()) == 3
    assert json.loads(deferring.tool("delete", "-y", "--json", "--age", "-1h", "--sender", "bob@client.test"
                                     ).stdout)["done"] == 1
    assert senders(deferring) == ["ann@client.test"] * 2
    for words in (["--age", "x"], ["--size", "4Q"], ["--sender"], ["--nonsense"], []):
        assert deferring.tool("hold", *words, check=False).returncode == 64, words


def on_terminal(ostler, answer, *words):
    """Runs a command whose input is a terminal at which somebody answers."""
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    done = subprocess.run([BUILD / "ostler", "-c", ostler.etc, *words], stdin=theirs, capture_output=True,
                          text=True, timeout=30)
    os.close(ours)
    os.close(theirs)
    return done


def test_confirmation__on_a_terminal__decides(deferring):
    done = on_terminal(deferring, b"n\n", "delete", "--sender", "ann@client.test")
    assert "delete, without any report, 2 messages? [y/N]" in done.stderr and "nothing was done" in done.stderr
    assert len(deferring.queue()) == 3
    done = on_terminal(deferring, b"y\n", "delete", "--sender", "ann@client.test")
    assert "Deleted: 2 messages" in done.stderr
    assert senders(deferring) == ["bob@client.test"]


# rules: M13 R48 B14 O1
def test_flush_of_all__overrides_defer_transports(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {**SLOW, "defer_transports": "smtp"})
    ostler.send("a@dest.test")
    wait_for(lambda: "(deferred transport)" in ostler.log(), what="deferral")
    ostler.tool("-q", program="sendmail")
    wait_for(lambda: sink.recipients() == ["a@dest.test"], what="delivery")


# rules: O7 T79 O12
def test_rights__lists_of_users__decide_who_looks_and_who_flushes(deferring):
    nobody = pwd.getpwnam("nobody")

    def run(*words):
        return subprocess.run([BUILD / "ostler", "-c", deferring.etc, *words], capture_output=True, text=True,
                              timeout=30, user=nobody.pw_uid, group=nobody.pw_gid)

    assert run("queue").returncode == 0 and run("flush", "--site", "none.test").returncode == 0
    assert run("hold", "ALL").returncode == 77 and run("expire", "ALL").returncode == 77
    deferring.write_main({**deferring.values, "authorized_mailq_users": "!nobody, static:anyone",
                          "authorized_flush_users": "operator"})
    deferring.tool("reload")

    def refused():
        done = run("queue")
        return done.returncode == 77 and "authorized_mailq_users" in done.stderr

    wait_for(refused, what="new rights")
    done = run("flush")
    assert done.returncode == 77 and "authorized_flush_users" in done.stderr
    assert run("status").returncode == 77
    assert len(deferring.queue()) == 3
    deferring.write_main({**deferring.values, "authorized_mailq_users": "nobody"})
    deferring.tool("reload")
    wait_for(lambda: run("queue").returncode == 0, what="rights by name")
    assert run("flush").returncode == 77
