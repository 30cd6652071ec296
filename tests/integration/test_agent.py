"""The agent: mail for accounts is written as the account, into a directory of its own; all else as Ostler's user."""
import os
import pwd
import time

import pytest
from conftest import wait_for

ACCOUNT = "games"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the agent acts as other users")


def owner(path):
    return pwd.getpwuid(os.stat(path).st_uid).pw_name


@needs_root
def test_agent__account__owns_its_mail(ostler):
    ostler.send(f"{ACCOUNT}@local.test", body="for the account\r\n")
    path, = wait_for(lambda: ostler.maildir(ACCOUNT), what="Maildir")
    assert owner(path) == owner(path.parent) == owner(path.parent.parent) == ACCOUNT
    assert os.stat(path.parent.parent).st_mode & 0o777 == 0o700
    assert path.read_bytes().endswith(b"\n\nfor the account\n")
    wait_for(lambda: "status=sent (delivered to maildir)" in ostler.log(), what="log line")


@needs_root
def test_agent__no_account_and_root__belong_to_ostler(ostler):
    for user in ("no-such-account", "root"):
        ostler.send(f"{user}@local.test")
        path, = wait_for(lambda: ostler.maildir(user), what="Maildir")
        assert owner(path) == "ostler"


@needs_root
def test_agent__large_message__arrives_whole(ostler):
    body = "".join(f"{n:09} {'x' * 60}\r\n" for n in range(10000))
    ostler.send(f"{ACCOUNT}@local.test", body=body)
    path, = wait_for(lambda: ostler.maildir(ACCOUNT), what="Maildir")
    assert path.read_bytes().endswith(body.replace("\r\n", "\n").encode())


# rules: Y12
@needs_root
def test_agent__somebody_elses_directory__mail_waits_and_says_what_to_do(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                         {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s"})
    home = ostler.dir / "mail" / ACCOUNT
    home.mkdir()
    os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)
    ostler.send(f"{ACCOUNT}@local.test")
    wait_for(lambda: "status=deferred (maildir delivery failed: mail directory games belongs to uid 65534, "
             "not to its user: chown -R games it)" in ostler.log(), what="log line")
    os.chown(home, pwd.getpwnam(ACCOUNT).pw_uid, -1)
    wait_for(lambda: ostler.maildir(ACCOUNT), what="Maildir")


@needs_root
def test_agent__link_in_place_of_a_directory__is_not_followed(make_ostler, sink, tmp_path):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}")
    os.symlink(tmp_path, ostler.dir / "mail" / ACCOUNT)
    ostler.send(f"{ACCOUNT}@local.test")
    wait_for(lambda: "status=deferred (maildir delivery failed: open mail directory games" in ostler.log(),
             what="log line")
    assert list(tmp_path.iterdir()) == []


@needs_root
def test_agent__killed__mail_waits_for_the_next_one(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}",
                         {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s"})
    for number in range(60):
        if number % 20 == 10:
            ostler.kill("agent")
        ostler.send(f"{ACCOUNT}@local.test", subject=f"number {number}")
    wait_for(lambda: len({path.read_bytes().split(b"Subject: ")[1].split(b"\n")[0]
                          for path in ostler.maildir(ACCOUNT)}) == 60, 30, "all sixty")


@needs_root
def test_agent_and_runner__are_the_only_roles_with_any_of_roots_rights(ostler):
    for role, pids in wait_for(lambda: "agent" in ostler.children() and ostler.children(), what="roles").items():
        status = open(f"/proc/{pids[0]}/status").read()
        uid = status.split("Uid:\t")[1].split("\t")[0]
        capabilities = int(status.split("CapEff:\t")[1].split("\n")[0], 16)
        assert (uid == "0") == (role in ("agent", "runner")), role
        assert capabilities == {"agent": 0xe3, "runner": 0xe0}.get(role, 0), (role, hex(capabilities))
