"""A next hop that misbehaves on demand: SMTP over a plain socket, one thread per connection."""
import socket
import threading


class Peer:
    """`script(stage, number)` says what connection `number` (from 1) meets at a stage: None (as usual), a
    reply line, "drop" (the connection is closed), or "hang" (nothing more is ever said).

    Stages: connect, ehlo, mail, rcpt, data, body (content has begun), dot, idle (after a message).
    """

    def __init__(self, script, address="127.0.0.1", port=0):
        self.script = script
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(100)
        self.port = self.listener.getsockname()[1]
        self.messages, self.connections, self.commands = [], 0, []
        self.stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self.stopped.set()
        self.listener.close()

    def recipients(self):
        return [r for recipients, _ in self.messages for r in recipients]

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections),
                             daemon=True).start()

    def _serve(self, connection, number):
        try:
            with connection:
                self._talk(connection, connection.makefile("rb"), number)
        except (OSError, ValueError):
            pass

    def _say(self, connection, stage, number, usual):
        what = self.script(stage, number)
        if what == "hang":
            self.stopped.wait(60)
            raise ValueError
        if what == "drop":
            raise ValueError
        connection.sendall(((what or usual) + "\r\n").encode())
        return what is None or what.startswith(("2", "3"))

    def _talk(self, connection, lines, number):
        recipients, has_mail = [], False
        self._say(connection, "connect", number, "220 peer.test ESMTP")
        for line in lines:
            word = line[:4].upper().strip()
            self.commands.append((number, line.decode(errors="replace").strip()))
            if word in (b"EHLO", b"LHLO"):
                self._say(connection, "ehlo", number,
                          "250-peer.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
            elif word == b"MAIL":
                recipients = []
                has_mail = self._say(connection, "mail", number, "250 2.1.0 Ok")
            elif word == b"RCPT":
                if not has_mail:
                    connection.sendall(b"503 5.5.1 MAIL first\r\n")
                elif self._say(connection, "rcpt", number, "250 2.1.5 Ok"):
                    recipients.append(line.split(b"<")[1].split(b">")[0].decode())
            elif word == b"DATA":
                if not recipients:
                    connection.sendall(b"503 5.5.1 no recipients\r\n")
                elif self._say(connection, "data", number, "354 go ahead"):
                    self._content(connection, lines, number, recipients)
            elif word == b"QUIT":
                connection.sendall(b"221 2.0.0 Bye\r\n")
                return
            else:
                connection.sendall(b"250 2.0.0 Ok\r\n")

    def _content(self, connection, lines, number, recipients):
        content = bytearray()
        for line in lines:
            if line == b".\r\n":
                break
            content += line
            if self.script("body", number) == "drop":
                raise ValueError
        else:
            return
        if self._say(connection, "dot", number, "250 2.0.0 Ok: taken"):
            self.messages.append((recipients, bytes(content)))
        if self.script("idle", number) == "drop":
            raise ValueError
