"""End of data and line ends as attackers send them: only CRLF.CRLF ends a message."""
import socket
import time

import pytest
from conftest import wait_for

ENVELOPE = b"MAIL FROM:<a@client.test>\r\nRCPT TO:<b@dest.test>\r\n"
FORGED = b"MAIL FROM:<forged@client.test>\r\nRCPT TO:<victim@dest.test>\r\nDATA\r\nsmuggled\r\n"


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.file = self.socket.makefile("rb")
        self.reply()
        self.say(b"EHLO client.test\r\n")
        self.say(b"MAIL FROM:<a@client.test>\r\n")
        self.say(b"RCPT TO:<b@dest.test>\r\n")
        assert self.say(b"DATA\r\n").startswith(b"354")

    def reply(self):
        while True:
            line = self.file.readline()
            if line[3:4] != b"-":
                return line

    def say(self, data):
        self.socket.sendall(data)
        return self.reply()

    def drip(self, data):
        for byte in data:
            self.socket.sendall(bytes([byte]))


@pytest.mark.parametrize("ending", [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\0\r\n.\n",
    b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n..\r\n", b"\r\n.\r\r\n"])
@pytest.mark.parametrize("split", [False, True])
def test_smtpd__almost_an_end_of_data__does_not_end_it(ostler, sink, ending, split):
    client = Client(ostler.port)
    data = b"Subject: x\r\n\r\nfirst" + ending + FORGED
    (client.drip if split else client.socket.sendall)(data)
    assert client.say(b"last\r\n.\r\n").startswith(b"250")
    wait_for(lambda: sink.messages, what="delivery")
    time.sleep(0.05)
    assert [m[0] for m in sink.messages] == ["a@client.test"]
    content = sink.messages[0][2]
    assert b"smuggled" in content and content.replace(b"\r\n", b"").find(b"\n") < 0
    assert b"\r" not in content.replace(b"\r\n", b"")


def test_smtpd__data_behind_data__is_refused(ostler, sink):
    with socket.create_connection(("127.0.0.1", ostler.port), 10) as client:
        client.recv(200)
        client.sendall(b"EHLO x\r\n")
        client.recv(1000)
        client.sendall(ENVELOPE + b"DATA\r\nSubject: early\r\n\r\nx\r\n.\r\n")
        seen = b""
        while part := client.recv(1000):
            seen += part
    assert b"554 5.5.0 Error: SMTP protocol synchronization" in seen
    time.sleep(0.2)
    assert sink.messages == []


def test_smtpd__chunks__arrive_as_one_message(ostler, sink):
    with socket.create_connection(("127.0.0.1", ostler.port), 10) as client:
        file = client.makefile("rb")
        file.readline()
        client.sendall(b"EHLO x\r\n")
        while file.readline()[3:4] == b"-":
            pass
        client.sendall(ENVELOPE + b"BDAT 14\r\nSubject: c\r\n\r\nBDAT 8 LAST\r\n.dot\r\nx\n")
        replies = [file.readline() for _ in range(4)]
    assert [reply[:3] for reply in replies] == [b"250"] * 4, replies
    wait_for(lambda: sink.messages, what="delivery")
    assert sink.messages[0][2].endswith(b"\r\n\r\n.dot\r\nx\r\n")
