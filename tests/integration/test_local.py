"""Commands, files and lists of aliases: who runs them, what they get, what becomes of their end."""
import os
import pwd
import re
import smtplib
import stat

import pytest
from conftest import wait_for

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: commands run as another user")
FAST = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "recipient_delimiter": "+",
        "myorigin": "local.test"}


def aliases(**entries):
    return "inline:{ " + ", ".join("{ %s = %s }" % pair for pair in entries.items()) + " }"


@pytest.fixture
def box(tmp_path_factory):
    """A directory that everybody may write into."""
    path = tmp_path_factory.mktemp("box")
    for part in (path, *path.parents[:3]):
        os.chmod(part, part.stat().st_mode | stat.S_IXOTH)
    os.chmod(path, 0o777)
    return path


def script(box, text, name="command"):
    path = box / name
    path.write_text("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


def start(make_ostler, sink, settings):
    return make_ostler(f"[127.0.0.1]:{sink.port}", {**FAST, **settings})


def logged(ostler, pattern):
    return wait_for(lambda: re.search(pattern, ostler.log()), what=pattern)


def test_command__of_an_alias__gets_the_message_and_filtered_addresses(make_ostler, sink, box):
    command = script(box, f"cat > {box}/got\nenv > {box}/env\nid -un > {box}/user\n")
    ostler = start(make_ostler, sink, {"alias_maps": aliases(cmd=f"|{command}")})
    ostler.send("cmd+e`id`@local.test", sender="a$b@client.test")
    logged(ostler, rf"to=<cmd\+e`id`@local.test>.* dsn=2.0.0, status=sent \(delivered to command: {command}\)")
    lines = (box / "got").read_text().split("\n")
    assert re.fullmatch(r"From a\$b@client.test  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}", lines[0])
    assert lines[1] == "Return-Path: <a$b@client.test>"
    assert lines[-2:] == ["hello", ""]
    env = dict(line.split("=", 1) for line in (box / "env").read_text().splitlines())
    assert env["SENDER"] == "a_b@client.test" and env["EXTENSION"] == "e_id_"
    assert env["RECIPIENT"] == "cmd+e_id_@local.test" and env["LOCAL"] == "cmd+e_id_"
    assert "OSTLER" not in " ".join(env)
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    assert (box / "user").read_text().strip() == user


def test_command__with_shell_characters__goes_to_the_shell_as_it_is(make_ostler, sink, box):
    ostler = start(make_ostler, sink, {"alias_maps": aliases(cmd=f'"|wc -l > {box}/count; exit 0"')})
    ostler.send("cmd@local.test")
    logged(ostler, r"status=sent \(delivered to command: wc -l > ")
    assert int((box / "count").read_text()) > 5


def test_command__exit_codes_and_words__decide(make_ostler, sink, box):
    ostler = start(make_ostler, sink, {"alias_maps": aliases(
        nouser='"|exit 67"', later='"|echo busy; exit 75"', own='"|echo 5.7.1 go away; exit 1"',
        killed='"|kill -9 $$$$"', gone="|/no/such/command", both='"|exit 67", carol@dest.test')})
    for user in ("nouser", "later", "own", "killed", "gone", "both"):
        ostler.send(f"{user}@local.test")
    logged(ostler, r"to=<nouser@.* dsn=5.1.1, status=bounced \(user unknown\)")
    logged(ostler, r"to=<later@.* dsn=4.3.0, status=deferred \(temporary failure. Command output: busy\)")
    logged(ostler, r"to=<own@.* dsn=5.7.1, status=bounced \(go away\)")
    logged(ostler, r"to=<killed@.* dsn=4.3.0, status=deferred \(Command died with signal 9: ")
    logged(ostler, r"to=<gone@.* dsn=4.3.0, status=deferred \(temporary failure. Command output: cannot execute")
    # One target's refusal keeps nothing from the others.
    logged(ostler, r"to=<both@.* dsn=5.1.1, status=bounced")
    wait_for(lambda: "carol@dest.test" in sink.recipients(), what="the other target")


def test_command__over_its_time__is_killed_with_its_children(make_ostler, sink, box):
    command = script(box, f"sleep 300 &\necho $! > {box}/pid\nwait\n")
    ostler = start(make_ostler, sink, {"alias_maps": aliases(cmd=f"|{command}"),
                                       "command_time_limit": "1s"})
    ostler.send("cmd@local.test")
    logged(ostler, r"dsn=5.3.0, status=bounced \(Command time limit exceeded: ")
    pid = int((box / "pid").read_text())
    wait_for(lambda: not os.path.exists(f"/proc/{pid}") or
             " Z " in open(f"/proc/{pid}/stat").read(), what="end of the command's child")


def test_command__that_writes_without_end__is_drained(make_ostler, sink, box):
    ostler = start(make_ostler, sink, {"alias_maps": aliases(
        cmd='"|head -c 3000000 /dev/zero | tr \'\\\\0\' x; exit 67"')})
    ostler.send("cmd@local.test")
    logged(ostler, r"status=bounced \(user unknown. Command output: x{100,512}\)")


def test_file__of_an_alias__is_a_mailbox_or_a_maildir(make_ostler, sink, box):
    ostler = start(make_ostler, sink, {"alias_maps": aliases(box=f"{box}/box, {box}/dir/")})
    for number in (1, 2):
        ostler.send("box@local.test", body=f"From here {number}\r\nend\r\n")
    wait_for(lambda: ostler.log().count("status=sent (delivered to file: ") == 2, what="log")
    text = (box / "box").read_text()
    assert len(re.findall(r"^From sender@client.test  ", text, re.M)) == 2
    assert sorted(re.findall(r"^>From here \d$", text, re.M)) == [">From here 1", ">From here 2"]
    assert text.endswith("\nend\n\n")
    assert len(list((box / "dir/new").iterdir())) == 2
    if os.geteuid() == 0:
        assert pwd.getpwuid((box / "box").stat().st_uid).pw_name == "nobody"


def test_file__that_cannot_be_written__defers_and_keeps_what_it_had(make_ostler, sink, box):
    (box / "dir").mkdir()
    ostler = start(make_ostler, sink, {"alias_maps": aliases(box=f"{box}/dir")})
    ostler.send("box@local.test")
    logged(ostler, r"dsn=4.2.0, status=deferred \(cannot append message to file ")


def test_commands_and_files__not_allowed__are_refused(make_ostler, sink, box):
    ostler = start(make_ostler, sink, {"alias_maps": aliases(cmd="|/bin/true", box=f"{box}/box"),
                                       "allow_mail_to_commands": "", "allow_mail_to_files": ""})
    ostler.send("cmd@local.test")
    ostler.send("box@local.test")
    logged(ostler, r"dsn=5.7.1, status=bounced \(mail to command is restricted\)")
    logged(ostler, r"dsn=5.7.1, status=bounced \(mail to file is restricted\)")
    assert not (box / "box").exists()


@needs_root
def test_command__as_root__is_never_run(make_ostler, sink, box):
    ostler = start(make_ostler, sink, {"alias_maps": aliases(cmd=f'"|touch {box}/x"'),
                                       "default_privs": "root"})
    ostler.send("cmd@local.test")
    logged(ostler, r"dsn=4.3.5, status=deferred \(commands never run as root: root\)")
    assert not (box / "x").exists()


def test_runner__killed__command_runs_again(make_ostler, sink, box):
    command = script(box, f"echo begun >> {box}/begun\nsleep 1\ncat > {box}/got\n")
    ostler = start(make_ostler, sink, {"alias_maps": aliases(cmd=f"|{command}")})
    ostler.send("cmd@local.test")
    wait_for(lambda: (box / "begun").exists(), what="command")
    ostler.kill("runner")
    logged(ostler, r"status=deferred \(the delivery agent has gone away\)")
    logged(ostler, r"status=sent \(delivered to command: ")


# rules: K31
def test_include__list_in_a_file__is_one_message_from_its_owner(make_ostler, sink, box):
    (box / "list").write_text("# members\na@dest.test\n  \nB <b@dest.test>, c@dest.test\na@dest.test\nalice\nd@dest.test\n")
    (box / "bad").write_text("a@dest.test\n|/bin/true\n")
    ostler = start(make_ostler, sink, {"enable_original_recipient": "no",
                                       "virtual_alias_maps": aliases(**{"d@dest.test": "c@dest.test"}),
                                       "alias_maps": aliases(**{
        "list": f":include:{box}/list", "owner-list": "alice", "bad": f":include:{box}/bad",
        "none": f":include:{box}/none"})})
    for user in ("list", "bad", "none"):
        ostler.send(f"{user}@local.test")
    wait_for(lambda: len(sink.recipients()) == 3 and ostler.maildir("alice"), what="members")
    assert sorted(sink.recipients()) == ["a@dest.test", "b@dest.test", "c@dest.test"]
    assert {m[0] for m in sink.messages} == {"owner-list@local.test"}
    assert len(re.findall(r"qmgr\[\d+\]: \w+: from=<owner-list@local.test>, size=\d+, nrcpt=3 ", ostler.log())) == 1
    for user in ("bad", "none"):
        logged(ostler, rf"to=<{user}@.* dsn=4.3.5, status=deferred \(the file of :include:{box}/{user} could not be read")


def test_alias__notify__holds_for_members_but_not_of_a_list_with_an_owner(make_ostler, sink):
    sink.rcpt_replies["bad@dest.test"] = ["550 5.1.1 no"]
    ostler = start(make_ostler, sink, {"alias_maps": aliases(**{
        "one": "bad@dest.test", "many": "bad@dest.test", "owner-many": "boss@client.test"})})
    for user, notify in (("one", "NEVER"), ("one", "SUCCESS"), ("many", "NEVER"), ("one", "FAILURE")):
        ostler.send(f"{user}@local.test", rcpt_options=[f"NOTIFY={notify}"])
    wait_for(lambda: ostler.log().count("dsn=5.1.1, status=bounced") == 4 and ostler.queue() == [], what="end")
    told = [(m[1], re.search(rb"^Action: (\w+)", m[2], re.M)[1]) for m in sink.messages]
    assert sorted(told) == [(["boss@client.test"], b"failed"), (["sender@client.test"], b"delivered"),
                            (["sender@client.test"], b"failed")]


@pytest.mark.parametrize("roles", [["local"], ["qmgr"], ["local", "qmgr"]])
def test_alias__killed_again_and_again__each_member_gets_one_copy(make_ostler, sink, roles):
    """The copies and the end of what they are of are one batch. They wait here, to be counted."""
    ostler = start(make_ostler, sink, {"defer_transports": "smtp", "alias_maps": aliases(**{
        f"list{n}": f"a{n}@dest.test, b{n}@dest.test" for n in range(60)})})
    taken = []
    for number in range(60):
        try:
            ostler.send(f"list{number}@local.test")
            taken.append(number)
        except (smtplib.SMTPException, OSError):
            pass  # it may be there all the same, but only once
        if number % 10 == 5:
            for role in roles:
                wait_for(lambda: ostler.kill(role), 20, f"a living {role}")
    want = {f"{name}{n}@dest.test" for n in taken for name in "ab"}
    assert len(taken) > 40

    def members():
        return [r["address"] for m in ostler.queue() for r in m["recipients"]]
    wait_for(lambda: want <= set(members()) and not any("@local.test" in m for m in members()), 60,
             what="all copies and nothing else")
    assert len(members()) == len(set(members()))


def pipe_service(make_ostler, sink, arguments, **settings):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}", start=False, settings={
        **FAST, "transport_maps": "inline:{ piped.test=archive:hop }", **settings})
    text = (ostler.etc / "master.cf").read_text()
    (ostler.etc / "master.cf").write_text(f"{text}archive unix - n n - - pipe {arguments}\n")
    ostler.start()
    return ostler


def test_pipe__service__gets_its_words_and_only_the_fields_it_wants(make_ostler, sink, box):
    command = script(box, f'printf "%s\\n" "$@" > {box}/words\ncat > {box}/got\npwd > {box}/pwd\n')
    ostler = pipe_service(make_ostler, sink, "flags=DRu user=nobody directory=/usr\n"
                          f"  argv={command} -f ${{sender}} {{a  b}} ${{nexthop}} ${{user}} $(recipient)")
    ostler.send("Jo+X@piped.test", sender="a;`id`@client.test".replace(";", ""))
    logged(ostler, r"to=<Jo\+X@piped.test>, relay=archive, .* dsn=2.0.0, status=sent \(delivered via archive service\)")
    assert (box / "words").read_text().splitlines() == [
        "-f", "a`id`@client.test", "a  b", "hop", "jo", "jo+x@piped.test"]
    assert (box / "got").read_text().startswith(
        "Return-Path: <a`id`@client.test>\nDelivered-To: Jo+X@piped.test\nReceived: ")
    assert (box / "pwd").read_text() == "/usr\n"


def test_pipe__failures__are_told_by_exit_code(make_ostler, sink, box):
    command = script(box, 'case "$1" in later) exit 75;; esac\nexit 67\n')
    ostler = pipe_service(make_ostler, sink, f"user=nobody argv={command} ${{user}}")
    ostler.send(["later@piped.test", "gone@piped.test", "-x@piped.test"])
    logged(ostler, r"to=<later@.* dsn=4.3.0, status=deferred \(temporary failure\)")
    logged(ostler, r"to=<gone@.* dsn=5.1.1, status=bounced \(user unknown\)")
    logged(ostler, r"to=<-x@.* dsn=5.1.3, status=bounced \(an address that begins with - ")


def test_pipe__bad_attributes__defer_and_say_so(make_ostler, sink, box):
    ostler = pipe_service(make_ostler, sink, "chroot=/ user=nobody argv=/bin/cat")
    ostler.send("a@piped.test")
    logged(ostler, r"dsn=4.3.5, status=deferred \(pipe: allowed: user=")


def test_sessions__more_users_than_processes__all_get_their_mail(make_ostler, sink):
    """Each user is a destination of its own; a session that is idle must not keep another one's out."""
    ostler = start(make_ostler, sink, {"default_process_limit": "3"})
    users = [f"user{n}" for n in range(8)]
    for user in users:
        ostler.send(f"{user}@local.test")
    wait_for(lambda: all(ostler.maildir(user) for user in users), what="mail of all users")
