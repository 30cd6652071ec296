"""Start, reload, stop: what an administrator meets first."""
import os
import pwd
import shutil
import signal
import smtplib
import socket
import subprocess
import threading
import time

import pytest
from conftest import BUILD, free_port, wait_for
from disk_faults import FDATASYNC, LIBRARY, SEGMENTS, SYNC_RANGE
from test_bad_peers import peers  # noqa: F401 (a fixture)
from test_disk_faults import faults  # noqa: F401 (a fixture)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def refusal(ostler, *words, user=None):
    """(exit code, stderr) of a start that must fail."""
    command = [BUILD / "ostlerd", "-c", ostler.etc, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, user=user)
    return done.returncode, done.stderr


def test_start__second_instance_on_the_same_queue__is_refused(ostler):
    code, words = refusal(ostler)
    assert code == 75 and f"another Ostler runs on {ostler.dir}/queue (pid {ostler.process.pid})" in words
    assert ostler.greets()


def test_start__bad_configuration__names_file_line_and_what_is_allowed(make_ostler):
    ostler = make_ostler("", start=False)
    path = ostler.etc / "main.cf"
    path.write_text(path.read_text() + "smtpd_soft_error_limit = many\n")
    line = len(path.read_text().splitlines())
    code, words = refusal(ostler)
    assert code == 78 and (f"{path}, line {line}: bad numerical configuration: smtpd_soft_error_limit = many "
                           "(allowed: 1 to 1000000)") in words


def test_start__port_in_use__says_which(make_ostler):
    ostler = make_ostler("", start=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ostler.port))
        taken.listen()
        code, words = refusal(ostler)
    assert code == 69 and f"127.0.0.1:{ostler.port}" in words and "Address already in use" in words


@needs_root
def test_start__wrong_owner__is_refused_with_the_command_that_mends_it(make_ostler):
    ostler = make_ostler("", start=False)
    ostler.start()
    ostler.stop()
    os.chown(ostler.dir / "queue/journal", 65534, -1)
    code, words = refusal(ostler)
    assert code != 0 and "chown" in words and "journal" in words
    command = next(line for line in words.splitlines() if "chown" in line)
    subprocess.run(["sh", "-c", command[command.index("chown"):]], check=True)
    ostler.start()


@needs_root
def test_start__below_a_directory_only_root_may_enter__works(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", start=False)
    closed = ostler.dir / "closed"
    closed.mkdir(mode=0o700)
    shutil.move(ostler.etc, closed / "etc")
    ostler.etc = closed / "etc"
    ostler.write_main({**ostler.values, "queue_directory": closed / "queue",
                       "mail_spool_directory": closed / "mail", "maillog_file": closed / "log"})
    ostler.start()
    ostler.send(["a@dest.test", "alice@local.test"])
    wait_for(lambda: sink.recipients() == ["a@dest.test"], what="delivery")
    wait_for(lambda: (closed / "mail/alice/new").is_dir() and os.listdir(closed / "mail/alice/new"),
             what="Maildir")
    wait_for(lambda: ostler.queue() == [], what="empty queue")


@needs_root
def test_start__ordinary_user__needs_no_root(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", start=False)
    nobody = pwd.getpwnam("nobody")
    for path in (ostler.dir, ostler.etc):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    process = subprocess.Popen([BUILD / "ostlerd", "-c", ostler.etc], user="nobody", group=nobody.pw_gid,
                               extra_groups=[], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ostler.process = process
    wait_for(ostler.greets, what="greeting")
    ostler.send(["a@dest.test", "alice@local.test"])
    wait_for(lambda: sink.recipients() == ["a@dest.test"] and ostler.maildir("alice"), what="deliveries")
    assert pwd.getpwuid(os.stat(ostler.maildir("alice")[0]).st_uid).pw_name == "nobody"
    assert "agent" not in ostler.children()


def test_options__override_main_cf__and_a_bad_one_is_refused(make_ostler):
    ostler = make_ostler("", start=False)
    code, words = refusal(ostler, "-o", "smtpd_soft_error_limit=many")
    assert code == 78 and "smtpd_soft_error_limit" in words
    process = subprocess.Popen([BUILD / "ostlerd", "-c", ostler.etc, "-o", "smtpd_banner=hello from -o"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ostler.process = process
    wait_for(ostler.greets, what="greeting")
    with socket.create_connection(("127.0.0.1", ostler.port), 5) as s:
        assert s.recv(100) == b"220 hello from -o\r\n"


# rules: M14 T11
def test_reload__new_values_count__bad_ones_change_nothing(ostler, sink):
    def banner():
        with socket.create_connection(("127.0.0.1", ostler.port), 5) as s:
            return s.recv(100)

    ostler.write_main({**ostler.values, "smtpd_banner": "second"})
    ostler.process.send_signal(signal.SIGHUP)
    wait_for(lambda: banner() == b"220 second\r\n", what="new banner")
    good = dict(ostler.values)
    ostler.write_main({**good, "smtpd_banner": "third", "queue_minfree": "much"})
    ostler.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "queue_minfree" in ostler.log(), what="log line")
    assert banner() == b"220 second\r\n"
    ostler.send("a@dest.test")
    wait_for(lambda: sink.recipients() == ["a@dest.test"], what="delivery after a bad reload")


def test_log__moved_away__a_reload_opens_a_new_one(ostler, sink):
    moved = ostler.dir / "maillog.1"
    ostler.log_path.rename(moved)
    ostler.process.send_signal(signal.SIGHUP)
    wait_for(ostler.log_path.exists, what="new log")
    ostler.send("a@dest.test")
    wait_for(lambda: "status=sent" in ostler.log(), what="line in the new log")


def test_log__moved_away__a_new_one_begins_without_a_signal(ostler, sink):
    moved = ostler.dir / "maillog.1"
    ostler.log_path.rename(moved)
    wait_for(ostler.log_path.exists, what="new log")
    ostler.send("a@dest.test")
    wait_for(lambda: "status=sent" in ostler.log_path.read_text(), what="line in the new log")
    assert "the log goes on in a new file" in moved.read_text() + ostler.log_path.read_text()
    assert "status=sent" not in moved.read_text()


def test_log__cannot_be_opened_anew__the_old_one_goes_on_and_says_so_once(ostler, sink):
    moved = ostler.dir / "maillog.1"
    ostler.log_path.rename(moved)
    ostler.log_path.mkdir()
    wait_for(lambda: "cannot be opened" in moved.read_text(), what="complaint in the old log")
    ostler.send("a@dest.test")
    wait_for(lambda: "status=sent" in moved.read_text(), what="line in the old log")
    ostler.log_path.rmdir()
    wait_for(ostler.log_path.exists, what="new log")
    assert moved.read_text().count("cannot be opened") == 1


def test_role__that_dies__is_started_again_with_growing_delay(ostler):
    for delay in (100, 200, 400):
        wait_for(lambda: ostler.kill("resolver"), what="living resolver")
        wait_for(lambda: "resolver" in ostler.log() and f"it is started again in {delay} ms" in ostler.log(),
                 what=f"{delay} ms")


def test_roles__each_running_one_is_behind_its_sandbox(ostler):
    """What the sandbox of a role refuses: tests/unit/ipc/test_role_sandbox.c; here: it has been entered."""
    roles = ostler.children()
    assert {"qmgr", "smtpd", "smtp", "resolver", "local", "pickup", "admin"} <= set(roles)
    for role, pids in roles.items():
        for pid in pids:
            status = open(f"/proc/{pid}/status").read()
            assert "\nSeccomp:\t2\n" in status and "\nNoNewPrivs:\t1\n" in status, role


def test_start__a_second_time__takes_under_two_seconds(ostler):
    ostler.stop()
    began = time.monotonic()
    ostler.start()
    assert time.monotonic() - began < 2


def test_stop__with_mail_past_the_dot__lets_it_finish(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}")
    for number in range(20):
        ostler.send(f"a{number}@dest.test")
    ostler.stop()
    ostler.start()
    wait_for(lambda: len(set(sink.recipients())) == 20, what="all of them")
    time.sleep(0.3)
    assert len(sink.recipients()) == 20


def stopped_after(ostler):
    began = time.monotonic()
    ostler.process.send_signal(signal.SIGTERM)
    assert ostler.process.wait(30) == 0
    return time.monotonic() - began


# rules: Y10
@pytest.mark.parametrize("grace, answer_s, is_sent", [(6, 2, True), (2, 30, False)])
def test_stop_grace__past_the_final_dot__gets_that_long(make_ostler, peers, grace, answer_s, is_sent):
    at_dot, over = threading.Event(), threading.Event()

    def script(stage, number):
        if stage == "dot":
            at_dot.set()
            over.wait(answer_s)
        return None

    next_hop = peers(script)
    ostler = make_ostler(f"[127.0.0.1]:{next_hop.port}", {"stop_grace": f"{grace}s"})
    ostler.send("a@dest.test")
    assert at_dot.wait(10)
    took = stopped_after(ostler)
    over.set()
    assert min(grace, answer_s) - 0.5 < took < min(grace, answer_s) + 1.5
    assert ("status=sent" in ostler.log()) == is_sent
    ostler.start()
    wait_for(lambda: next_hop.recipients().count("a@dest.test") == 2 - is_sent and ostler.queue() == [], 20,
             "delivery, again only where nobody heard of the first")


@pytest.mark.parametrize("stage", ["rcpt", "data"])
def test_stop_grace__before_the_final_dot__does_not_get_it(make_ostler, peers, stage):
    waits, over = threading.Event(), threading.Event()

    def script(now, number):
        if now == stage and number == 1:
            waits.set()
            over.wait(30)
        return None

    next_hop = peers(script)
    ostler = make_ostler(f"[127.0.0.1]:{next_hop.port}", {"stop_grace": "10s"})
    ostler.send("a@dest.test")
    assert waits.wait(10)
    assert stopped_after(ostler) < 2
    over.set()
    ostler.start()
    wait_for(lambda: next_hop.recipients() == ["a@dest.test"], what="delivery after the start")


@pytest.mark.skipif(not LIBRARY.exists(), reason="built without tests")
def test_stop_grace__clients__who_sent_the_final_dot_get_their_answer_others_do_not(
        make_ostler, sink, faults):  # noqa: F811
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"stop_grace": "8s"}, start=False)
    ostler.environment = faults.environment
    ostler.start()
    early, late = (smtplib.SMTP("127.0.0.1", ostler.port, timeout=20) for _ in range(2))
    for client in (early, late):
        client.ehlo()
        client.mail("a@client.test")
        client.rcpt("b@dest.test")
        assert client.docmd("DATA")[0] == 354
    late.send(b"Subject: late\r\n\r\nnot whole")
    faults.add(FDATASYNC, SEGMENTS, seconds=2, times=1)
    early.send(b"Subject: early\r\n\r\nwhole\r\n.\r\n")
    wait_for(lambda: faults.struck() > 0, what="a flush that takes its time")
    assert 1 < stopped_after(ostler) < 5
    assert early.getreply()[0] == 250 and early.getreply()[0] == 421
    with pytest.raises(smtplib.SMTPServerDisconnected):
        if late.getreply()[0] == 421:
            late.getreply()
    early.close()
    late.close()
    faults.clear()
    ostler.start()
    wait_for(lambda: sink.recipients() == ["b@dest.test"], what="the one message")


@pytest.mark.skipif(not LIBRARY.exists(), reason="built without tests")
def test_stop__while_a_segment_is_being_written__does_not_wait_for_its_small_pieces(
        make_ostler, sink, faults):  # noqa: F811
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"journal_segment_size": "67108864",
                                                      "journal_size_min": "335544320"}, start=False)
    ostler.environment = faults.environment
    faults.add(SYNC_RANGE, SEGMENTS, seconds=0.02)  # 512 of them: ten seconds
    ostler.start()
    wait_for(lambda: faults.struck() > 5, what="a segment in small pieces")
    assert stopped_after(ostler) < 2
    assert "did not stop in time" not in ostler.log()


def test_reload__listeners__come_and_go_and_clients_stay(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"smtpd_processes": "2"})
    first, second, busy = ostler.port, free_port(), socket.socket()
    busy.bind(("127.0.0.1", 0))
    busy.listen()
    master_cf = ostler.etc / "master.cf"
    text = master_cf.read_text()
    client = smtplib.SMTP("127.0.0.1", first)
    master_cf.write_text(text + f"127.0.0.1:{second} inet n - n - - smtpd\n  -o smtpd_banner=second\n")
    ostler.tool("reload")
    ostler.port = second
    wait_for(lambda: f"listening on 127.0.0.1:{second} now" in ostler.log() and ostler.greets(), what="second port")
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", second), 5) as s:
            assert s.recv(100) == b"220 second\r\n"
    taken = busy.getsockname()[1]
    master_cf.write_text(text.replace(str(first), str(second)) + f"127.0.0.1:{taken} inet n - n - - smtpd\n")
    ostler.tool("reload")
    wait_for(lambda: f"not listening on 127.0.0.1:{first} any more" in ostler.log(), what="first port to go")
    assert f"cannot listen on 127.0.0.1 port {taken}: Address already in use" in ostler.log()
    time.sleep(0.2)  # both processes have heard of it
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", first), 1)
    client.sendmail("a@b.test", ["c@dest.test"], "Subject: x\r\n\r\nstill here\r\n")
    client.quit()
    wait_for(lambda: sink.recipients() == ["c@dest.test"], what="delivery for the client that stayed")
    busy.close()


def test_reload__what_counts_at_a_start_only__is_said(ostler):
    ostler.write_main({**ostler.values, "smtp_processes": "2"})
    ostler.tool("reload")
    wait_for(lambda: "warning: smtp_processes = 2 counts from the next start of Ostler on" in ostler.log(),
             what="log line")
