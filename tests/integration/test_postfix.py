"""Postfix and its test tools as peers: smtp-source in, smtp-sink out, Postfix as client and as next hop, swaks."""
import os
import pwd
import re
import shutil
import subprocess
import time

import pytest
from conftest import free_port, wait_for

needs_postfix = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/usr/lib/postfix/sbin/master"), reason="needs root and postfix")
MAIN = """compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.test
mydestination = inbox.test
local_recipient_maps =
alias_maps =
mailbox_transport = lmtp:inet:127.0.0.1:{discard}
local_transport = discard:
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
relayhost = [127.0.0.1]:{next_port}
maillog_file = {dir}/maillog
maillog_file_prefixes = /var, /dev/stdout, {dir}
"""
MASTER = """127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, directory, next_port, settings):
        self.dir, self.port = str(directory), free_port()
        user = pwd.getpwnam("postfix")
        for name in ("etc", "queue", "data"):
            os.makedirs(f"{self.dir}/{name}")
        os.chown(f"{self.dir}/data", user.pw_uid, user.pw_gid)
        fill = {"dir": self.dir, "port": self.port, "next_port": next_port, "discard": free_port()}
        more = "".join(f"{name} = {value}\n" for name, value in settings.items())
        open(f"{self.dir}/etc/main.cf", "w").write(MAIN.format(**fill) + more)
        open(f"{self.dir}/etc/master.cf", "w").write(MASTER.format(**fill))
        self.env = dict(os.environ, MAIL_CONFIG=f"{self.dir}/etc", MAIL_LOGTAG="postfix")
        subprocess.run(["postfix", "-c", f"{self.dir}/etc", "check"], check=True,
                       capture_output=True, env=self.env)
        self.process = subprocess.Popen(["/usr/lib/postfix/sbin/master", "-d", "-c", f"{self.dir}/etc"],
                                        env=self.env, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def log(self):
        path = f"{self.dir}/maillog"
        return open(path, errors="replace").read() if os.path.exists(path) else ""

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def make_postfix(tmp_path_factory):
    import tempfile
    made, directory = [], tempfile.mkdtemp(prefix="ostler-postfix-", dir="/var/tmp")
    os.chmod(directory, 0o755)

    def make(next_port, settings=None):
        made.append(Postfix(f"{directory}/{len(made)}", next_port, settings or {}))
        wait_for(lambda: subprocess.run(
            ["swaks", "--silent", "3", "--quit-after", "BANNER", "-s", f"127.0.0.1:{made[-1].port}"],
            capture_output=True).returncode == 0, 20, "greeting of Postfix")
        return made[-1]

    yield make
    for postfix in made:
        postfix.stop()
    shutil.rmtree(directory, ignore_errors=True)


def source(port, count, *words):
    subprocess.run(["smtp-source", "-c", "-s", "10", "-m", str(count), "-f", "s@client.test", *words,
                    f"127.0.0.1:{port}"], check=True, timeout=60, stdout=subprocess.DEVNULL)


@needs_postfix
def test_postfix__as_client__hands_over_all_its_mail(make_ostler, sink, make_postfix):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}")
    postfix = make_postfix(ostler.port)
    source(postfix.port, 50, "-l", "3000", "-t", "r@dest.test")
    wait_for(lambda: len(sink.messages) == 50, 30, "fifty messages through Postfix and Ostler")
    assert postfix.log().count("status=sent (250 2.0.0 Ok: queued as ") == 50


@needs_postfix
def test_postfix__as_next_hop__takes_all_and_its_queue_ids_are_logged(make_ostler, make_postfix):
    postfix = make_postfix(free_port())
    ostler = make_ostler(f"[127.0.0.1]:{postfix.port}")
    source(ostler.port, 50, "-l", "3000", "-t", "r@inbox.test", "-r", "3")
    wait_for(lambda: ostler.log().count(": removed") == 50, 30, "fifty messages at Postfix")
    ids = re.findall(r"status=sent \(250 2\.0\.0 Ok: queued as (\w+)\)", ostler.log())
    assert len(ids) == 150 and len(set(ids)) == 50
    wait_for(lambda: all(i in postfix.log() for i in ids), what="the same IDs in Postfix's log")


@needs_postfix
def test_burst_right_after_a_start__is_taken(make_ostler):
    """Segments are made while mail comes faster than they would be at ease: nothing is refused for want of one."""
    ostler = make_ostler(f"[127.0.0.1]:{free_port()}", {
        "journal_segment_size": "16777216", "journal_size_min": "268435456", "maximal_backoff_time": "1d",
        "minimal_backoff_time": "1d", "smtpd_client_connection_count_limit": "0"})
    source(ostler.port, 4000, "-s", "50", "-l", "51200", "-t", "r@dest.test")  # fails at a 452

@needs_postfix
def test_smtp_sink__that_refuses_some__everything_ends(make_ostler):
    """smtp-sink answers part of the commands with 450: no loss, no second delivery of what it took."""
    port = free_port()
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", "-c", "-Q", "0", "-r", "rcpt",
                             f"127.0.0.1:{port}", "100"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    try:
        ostler = make_ostler(f"[127.0.0.1]:{port}",
                             {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s"})
        time.sleep(0.2)
        source(ostler.port, 20, "-t", "r@dest.test")
        wait_for(lambda: ostler.log().count("status=deferred") >= 20, 20, "deferrals")
        assert len(ostler.queue()) == 20
    finally:
        sink.terminate()
        sink.wait(10)


@pytest.mark.skipif(shutil.which("swaks") is None, reason="swaks is not installed")
def test_swaks__pipelined_with_attachment(ostler, sink, tmp_path):
    (tmp_path / "data").write_bytes(os.urandom(50000))
    done = subprocess.run(["swaks", "--server", f"127.0.0.1:{ostler.port}", "--from", "s@client.test",
                           "--to", "a@dest.test,b@dest.test", "--attach", f"@{tmp_path}/data",
                           "--pipeline", "--h-Subject", "from swaks"], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0, done.stdout
    wait_for(lambda: sorted(sink.recipients()) == ["a@dest.test", "b@dest.test"], what="delivery")
    assert b"Subject: from swaks" in sink.messages[0][2]
