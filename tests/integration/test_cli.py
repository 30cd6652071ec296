"""The tools against a running instance: sendmail by socket and by maildrop, mailq, changes, config, stop."""
import json
import os
import pwd
import re
import subprocess
import time

from conftest import BUILD, free_port, wait_for
from test_bad_peers import peers  # noqa: F401 (a fixture)

MESSAGE = "To: x@remote.test\nBcc: hidden@remote.test\nSubject: by sendmail\n\nhello\n.dot\n"


def sendmail(instance, *words, text=MESSAGE):
    return subprocess.run([BUILD / "sendmail", "-C", instance.etc, *words], input=text,
                          capture_output=True, text=True, timeout=60)


def names(instance):
    return [m["queue_name"] for m in instance.queue()]


def test_sendmail__running__mail_arrives_with_its_fields(ostler, sink):
    done = sendmail(ostler, "-i", "-f", "a@client.test", "-t")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: len(sink.recipients()) == 2, what="both recipients")
    sender, _, content = sink.messages[0]
    assert sender == "a@client.test"
    assert sorted(sink.recipients()) == ["hidden@remote.test", "x@remote.test"]
    head, body = content.split(b"\r\n\r\n", 1)
    for field in (b"Received: ", b"Message-ID: ", b"Date: ", b"From: ", b"Subject: by sendmail"):
        assert field.lower() in head.lower()
    assert b"hidden" not in content
    assert body == b"hello\r\n.dot\r\n"


# rules: O16
def test_output__cannot_be_written__is_an_error(make_ostler):
    instance = make_ostler(f"[127.0.0.1]:{free_port()}")
    for n in range(100):
        instance.send(f"x{n}@remote.test")
    for words in (["queue"], ["status"], ["config", "-d"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([BUILD / "ostler", "-c", instance.etc, *words], stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=30)
        assert (done.returncode, done.stderr) == (74, "ostler: the output could not be written in full\n"), words


# rules: O47
def test_queue_ids__that_are_none__are_refused_by_name(ostler):
    for words in (["hold", "UPPER!"], ["delete", "../x"], ["requeue", "a" * 100], ["show", "4jb"]):
        done = ostler.tool(*words, check=False)
        assert done.returncode == 64 and words[1][:50] in done.stderr, (words, done.stderr)


# rules: J6
def test_sendmail__log_has_who_it_was(ostler, sink):
    assert sendmail(ostler, "-f", "a@client.test", "x@remote.test").returncode == 0
    wait_for(lambda: sink.recipients() == ["x@remote.test"], what="delivery")
    queue_id = re.search(r"ostler/pickup\[\d+\]: (\w+): uid=(\d+) from=<a@client.test>", ostler.log())
    assert int(queue_id[2]) == os.getuid()
    assert f"{queue_id[1]}: from=<a@client.test>, size=" in ostler.log()


# rules: J15
def test_delays__have_four_parts_and_their_sum(make_ostler, peers):  # noqa: F811
    slow = peers(lambda stage, number: time.sleep({"connect": 0.4, "dot": 0.8}.get(stage, 0)))
    instance = make_ostler(f"[127.0.0.1]:{slow.port}")
    instance.send("x@remote.test")
    wait_for(lambda: "status=sent" in instance.log(), what="delivery")
    delay, *parts = (float(n) for n in re.search(
        r"delay=([\d.]+), delays=([\d.]+)/([\d.]+)/([\d.]+)/([\d.]+),", instance.log()).groups())
    arrival, queue, connection, transmission = parts
    assert arrival < 0.4 and queue < 0.4
    assert 0.4 <= connection < 0.8 <= transmission < 1.5
    assert abs(delay - sum(parts)) < 0.2


# rules: L1
def test_sendmail__stopped__mail_waits_in_maildrop(ostler, sink):
    ostler.stop()
    done = sendmail(ostler, "x@remote.test")
    assert done.returncode == 0, done.stderr
    assert len(list((ostler.dir / "queue" / "maildrop").iterdir())) == 1
    ostler.start()
    wait_for(lambda: sink.recipients() == ["x@remote.test"], what="mail out of maildrop")
    wait_for(lambda: not list((ostler.dir / "queue" / "maildrop").iterdir()), what="its removal")


# rules: O11
def test_sendmail__bad_usage__has_its_exit_code(ostler):
    assert sendmail(ostler).returncode == 64
    assert sendmail(ostler, "-bd").returncode == 64
    assert sendmail(ostler, "a b@c").returncode == 65
    assert sendmail(ostler, "-N", "sometimes", "x@y.test").returncode == 64


# rules: L1 O10 O20 O24 O31 O40 O41 O42 O46
def test_queue__hold_release_delete__change_it(make_ostler):
    instance = make_ostler(f"[127.0.0.1]:{free_port()}")
    instance.send("x@remote.test")
    wait_for(lambda: names(instance) == ["deferred"], what="deferral")
    message = instance.queue()[0]
    assert message["recipients"][0]["address"] == "x@remote.test"
    assert "onnect" in message["recipients"][0]["delay_reason"]
    listing = subprocess.run([BUILD / "mailq", "-C", instance.etc], capture_output=True, text=True,
                             check=True).stdout
    assert listing.startswith("----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n")
    assert listing.endswith(" in 1 Request.\n") and message["queue_id"] in listing
    assert "1 message" in instance.tool("hold", "ALL").stderr
    wait_for(lambda: names(instance) == ["hold"], what="hold")
    assert message["queue_id"] + "!" in instance.tool("queue").stdout
    instance.tool("release", message["queue_id"])
    wait_for(lambda: names(instance) in (["deferred"], ["active"]), what="release")
    assert instance.tool("show", message["queue_id"], "--content").stdout.count("hello") == 1
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (instance.etc, *instance.etc.parents):
            if path.stat().st_mode & 0o001 == 0 and str(path).startswith("/tmp/pytest"):
                path.chmod(0o755)
        done = subprocess.run([BUILD / "ostler", "-c", instance.etc, "show", message["queue_id"], "--content"],
                              capture_output=True, text=True, user=nobody.pw_uid, group=nobody.pw_gid)
        assert done.returncode == 77 and "hello" not in done.stdout, done
    instance.tool("delete", message["queue_id"])
    wait_for(lambda: instance.queue() == [], what="removal")
    assert instance.tool("queue").stdout == "Mail queue is empty\n"
    assert instance.tool("show", message["queue_id"], check=False).returncode == 66


# rules: O13
def test_status_and_stop__running_then_not(ostler):
    assert isinstance(json.loads(ostler.tool("status", "--json").stdout), dict)
    ostler.tool("reload")
    ostler.tool("stop")
    ostler.process.wait(10)
    assert ostler.tool("status", check=False).returncode == 69
    assert ostler.tool("stop", check=False).returncode == 69


def test_config__values_and_errors(make_ostler):
    instance = make_ostler("", start=False)
    assert instance.tool("config", "myhostname").stdout == "myhostname = ostler.test\n"
    assert instance.tool("config", "-x", "-h", "smtpd_banner").stdout == "ostler.test ESMTP Ostler\n"
    assert instance.tool("config", "-d", "hopcount_limit").stdout == "hopcount_limit = 50\n"
    set_names = [line.split(" =")[0] for line in instance.tool("config", "-n").stdout.splitlines()]
    assert sorted(set_names) == sorted(instance.values)
    assert instance.tool("config", "--check").returncode == 0
    instance.write_main({**instance.values, "hopcount_limit": "many"})
    bad = instance.tool("config", "--check", check=False)
    assert bad.returncode == 78
    assert "hopcount_limit = many" in bad.stderr and "main.cf, line" in bad.stderr


def test_sendmail__address_beyond_ascii__asks_for_smtputf8(ostler, sink):
    subprocess.run([BUILD / "sendmail", "-C", ostler.etc, "-f", "s@client.test", "jürgen@dest.test"],
                   input=b"Subject: t\n\nhello\n", check=True, timeout=30)
    wait_for(lambda: sink.recipients() == ["jürgen@dest.test"], what="delivery")
    assert sink.smtputf8 == [True]


def test_mailq__no_queue_here__says_how_an_instance_is_chosen(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "MAIL_CONFIG"}
    done = subprocess.run([BUILD / "mailq"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 69 and "No such file" in done.stderr
    assert "MAIL_CONFIG" in done.stderr and "-C DIR" in done.stderr
