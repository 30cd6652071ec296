"""8-bit and UTF-8 mail for next hops that take none: converted so that a reader finds what was sent, or returned."""
import email
import email.policy
import random
import re
import smtplib

import pytest
from conftest import free_port, wait_for
from peer import Peer
from test_bad_peers import two_hosts
from test_peers import names  # noqa: F401

MIME = b"MIME-Version: 1.0\r\n"


@pytest.fixture
def seven_bit():
    """A next hop that knows no 8BITMIME."""
    peers = []

    def make(*extensions):
        hello = "\r\n".join(["250-old.test", *(f"250-{e}" for e in extensions), "250 PIPELINING"])
        peers.append(Peer(lambda stage, number: hello if stage == "ehlo" else None))
        return peers[-1]

    yield make
    for peer in peers:
        peer.stop()


def send(ostler, content, recipients=("a@dest.test",), options=("BODY=8BITMIME",), sender="s@client.test"):
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        client.sendmail(sender, list(recipients), content, mail_options=list(options))


def undotted(content):
    return b"".join(line[1:] if line.startswith(b".") else line for line in content.splitlines(keepends=True))


def leaves(content):
    """What a reader of mail gets to see: type and decoded bytes of each part."""
    return [(part.get_content_type(), part.get_payload(decode=True))
            for part in email.message_from_bytes(content).walk() if not part.is_multipart()]


def in_one_form(content):
    """The parser of Python keeps a payload as text with LF unless it is base64."""
    return [(kind, payload.replace(b"\r\n", b"\n")) for kind, payload in leaves(content)]


def check_seven_bit(content):
    assert all(byte < 128 for byte in content)
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    assert b"\n" not in content.replace(b"\r\n", b"") and b"\r" not in content.replace(b"\r\n", b"")


def random_part(rng, depth, boundaries):
    """A MIME entity: header and body, without a line end behind it."""
    if depth < 3 and rng.random() < 0.35:
        boundary = rng.choice(["b", "bb", "b b", "b-", "=b?/"]) + str(len(boundaries))
        boundaries.append(boundary)
        parts = [random_part(rng, depth + 1, boundaries) for _ in range(rng.randint(1, 3))]
        kind = rng.choice([b"mixed", b"alternative", b"related", b"signed"])
        label = rng.choice([b"", b"Content-Transfer-Encoding: 8bit\r\n"])
        body = b"".join(b"\r\n--" + boundary.encode() + b"\r\n" + part for part in parts)
        end = rng.choice([b"", b"\r\n--" + boundary.encode() + b"--\r\nepilogue"])
        if not end and depth:
            end = b"\r\n--" + boundary.encode() + b"--"
        return b"Content-Type: multipart/" + kind + b"; boundary=\"" + boundary.encode() + b"\"\r\n" + label \
            + b"\r\npreamble" + body + end
    if depth < 3 and rng.random() < 0.15:
        return b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: inner\r\n" \
            + random_part(rng, depth + 1, boundaries)
    fields, lines = b"", []
    if rng.random() < 0.8:
        fields += b"Content-Type: " + rng.choice([b"text/plain; charset=iso-8859-1", b"text/html; charset=utf-8",
                                                  b"image/png", b"application/x"]) + b"\r\n"
    fields += rng.choice([b"", b"Content-Transfer-Encoding: 8bit\r\n", b"Content-Transfer-Encoding: binary\r\n"])
    high = rng.choice([0, 0.02, 0.5])
    for _ in range(rng.randint(0, 6)):
        size = rng.choice([0, 3, 30, 74, 75, 76, 77, 500])
        line = bytes(rng.randint(160, 255) if rng.random() < high else rng.choice(b"abc =.-\t") for _ in range(size))
        lines.append(b"x" + line if line.startswith(b"--") else line)
    return fields + b"\r\n" + b"\r\n".join(lines)


def test_random_mail__a_reader_finds_in_every_part_what_was_sent(make_ostler, seven_bit):
    peer = seven_bit()
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}")
    rng, sent = random.Random(5), {}
    with smtplib.SMTP("127.0.0.1", ostler.port) as client:
        for number in range(150):
            sent[number] = b"Subject: %d\r\n" % number + MIME + random_part(rng, 0, []) + b"\r\n"
            client.sendmail("s@client.test", [f"r{number}@dest.test"], sent[number],
                            mail_options=["BODY=8BITMIME"])
    wait_for(lambda: len(peer.messages) == len(sent), what="all mail")
    for (recipient,), content in peer.messages:
        number = int(recipient[1:].split("@")[0])
        check_seven_bit(content)
        assert in_one_form(undotted(content)) == in_one_form(sent[number]), number


# What is 7-bit goes out byte for byte, whatever was declared; what needs no conversion is not converted.
def test_next_hop_with_8bitmime_or_7bit_content__nothing_is_changed(make_ostler, seven_bit):
    peer, modern = seven_bit(), seven_bit("8BITMIME")
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}", {
        "transport_maps": "inline:{ { new.test = smtp:[127.0.0.1]:%d } }" % modern.port})
    plain = b"Subject: x\r\nContent-Transfer-Encoding: 8bit\r\n\r\n a = b \r\n" + b"y" * 900 + b"\r\n"
    eight = "Subject: ä\r\n\r\nkörper = \r\n".encode()
    send(ostler, plain)
    send(ostler, eight, ["a@new.test"])
    wait_for(lambda: peer.messages and modern.messages, what="mail")
    assert peer.messages[0][1].endswith(plain) and modern.messages[0][1].endswith(eight)
    assert "MAIL FROM:<s@client.test>" in [line for _, line in peer.commands]
    assert "MAIL FROM:<s@client.test> BODY=8BITMIME" in [line for _, line in modern.commands]


def test_large_content__is_converted_piece_by_piece__others_are_not_kept_waiting(make_ostler, seven_bit):
    peer = seven_bit("SIZE 100000000")
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}", {"message_size_limit": "20000000"})
    lines = b"".join(b"%06d \xe4\xf6\xfc = x\r\n" % i for i in range(300000))
    large = b"Subject: large\r\n" + MIME + b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n" + lines
    send(ostler, large)
    wait_for(lambda: peer.messages, seconds=60, what="mail")
    content = peer.messages[0][1]
    check_seven_bit(content)
    assert in_one_form(undotted(content)) == in_one_form(large)
    size = int(re.search(r"SIZE=(\d+)", [l for _, l in peer.commands if l.startswith("MAIL")][0])[1])
    assert 0.95 * len(content) < size < 1.1 * len(content)


@pytest.mark.parametrize("content, why", [
    (b"Subject: \xe4\r\n\r\nx\r\n", "bytes above 127 in a header"),
    (b"Content-Type: multipart/mixed\r\n\r\n\xe4\r\n", "a multipart without a boundary"),
    (b"Content-Transfer-Encoding: base64\r\n\r\n\xe4\r\n", "bytes above 127 in a part that is encoded already"),
    (b"Content-Type: message/partial; id=x\r\n\r\n\xe4\r\n", "bytes above 127 in a part that may not be encoded"),
])
def test_no_way_to_convert__returned_with_5_6_3(make_ostler, seven_bit, content, why):
    peer, home = seven_bit(), seven_bit("8BITMIME")
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}", {
        "transport_maps": "inline:{ { client.test = smtp:[127.0.0.1]:%d } }" % home.port})
    send(ostler, content)
    wait_for(lambda: home.messages, what="report")
    _, status, _ = email.message_from_bytes(home.messages[0][1]).get_payload()
    fields = status.get_payload()[1]
    assert fields["Status"] == "5.6.3" and fields["Action"] == "failed" and peer.messages == []
    assert f"8BITMIME is required, but was not offered by host 127.0.0.1[127.0.0.1]: {why}" in \
        " ".join(fields["Diagnostic-Code"].split())


def test_disable_mime_output_conversion__goes_as_it_is(make_ostler, seven_bit):
    peer = seven_bit()
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}", {"disable_mime_output_conversion": "yes"})
    content = b"Subject: \xe4\r\n\r\n\xe4 = \r\n"
    send(ostler, content)
    wait_for(lambda: peer.messages, what="mail")
    assert peer.messages[0][1].endswith(content)


# A host that fails behind the envelope leaves the mail to the next one, each in its own form.
@pytest.mark.parametrize("lines", [1, 20000])
def test_second_host_with_8bitmime__gets_it_as_it_was(make_ostler, names, lines):  # noqa: F811
    replies = {"ehlo": "250-first.test\r\n250 PIPELINING", "dot": "451 4.3.0 later"}
    first = Peer(lambda stage, number: replies.get(stage), "127.0.0.2", free_port())
    second = Peer(lambda stage, number: None, "127.0.0.3", first.port)
    try:
        ostler = two_hosts(make_ostler, names, first.port)
        content = b"Subject: x\r\n\r\n" + b"some text \xe4\r\n" * lines
        send(ostler, content)
        wait_for(lambda: second.messages, what="mail")
        assert second.messages[0][1].endswith(content) and b"quoted-printable" not in second.messages[0][1]
        assert first.messages == [] and "451 4.3.0 later" in ostler.log()
    finally:
        first.stop()
        second.stop()


@pytest.mark.parametrize("sender, recipient, content, is_taken", [
    ("s@client.test", "a@dest.test", "Subject: plain\r\n\r\nkörper\r\n", True),
    ("s@client.test", "a@dest.test", "Subject: grüße\r\n\r\nx\r\n", False),
    ("s@client.test", "ä@dest.test", "Subject: plain\r\n\r\nx\r\n", False),
    ("ä@client.test", "a@dest.test", "Subject: plain\r\n\r\nx\r\n", False),
])
def test_smtputf8__is_needed_only_by_what_is_not_ascii__else_5_6_7(
        make_ostler, seven_bit, sender, recipient, content, is_taken):
    peer, home = seven_bit("8BITMIME"), seven_bit("8BITMIME", "SMTPUTF8")
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}", {
        "transport_maps": "inline:{ { client.test = smtp:[127.0.0.1]:%d } }" % home.port})
    send(ostler, content.encode(), [recipient], ["SMTPUTF8", "BODY=8BITMIME"], sender)
    wait_for(lambda: peer.messages or home.messages, what="mail or report")
    assert bool(peer.messages) == is_taken
    if not is_taken:
        assert b"Status: 5.6.7\r\n" in home.messages[0][1]


# An alias may lead to an address that the sender knew nothing of.
def test_alias_to_utf8_address__next_hop_without_smtputf8__5_6_7(make_ostler, seven_bit):
    peer, home = seven_bit("8BITMIME"), seven_bit("8BITMIME")
    ostler = make_ostler(f"[127.0.0.1]:{peer.port}", {
        "virtual_alias_maps": "inline:{ { x@dest.test = ä@dest.test } }",
        "transport_maps": "inline:{ { client.test = smtp:[127.0.0.1]:%d } }" % home.port})
    send(ostler, b"Subject: x\r\n\r\nx\r\n", ["x@dest.test"], [])
    wait_for(lambda: peer.messages or home.messages, what="mail or report")
    assert peer.messages == [] and b"Status: 5.6.7\r\n" in home.messages[0][1]
    # The sender speaks no SMTPUTF8: what programs read is ASCII (RFC 6533).
    assert b"Content-Type: message/delivery-status\r\n" in home.messages[0][1]
    assert b"Final-Recipient: utf-8; \\x{E4}@dest.test\r\n" in home.messages[0][1]
