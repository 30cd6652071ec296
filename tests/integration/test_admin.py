"""The admin page for machines: health, metrics, queue, status; who may ask and how."""
import http.client
import json

import pytest
from conftest import free_port, wait_for


def ask(ostler, path, method="GET", host="localhost"):
    connection = http.client.HTTPConnection("127.0.0.1", ostler.admin_port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_admin__answers_for_machines(make_ostler):
    ostler = make_ostler(f"[127.0.0.1]:{free_port()}")
    assert ask(ostler, "/healthz") == (200, "ok\n")
    assert ask(ostler, "/api/queue") == (200, "[]\n")
    ostler.send("x@remote.test")
    wait_for(lambda: "status=deferred" in ostler.log(), what="deferral")
    status, text = ask(ostler, "/api/queue")
    message, = json.loads(text)
    assert status == 200 and message["recipients"][0]["address"] == "x@remote.test"
    assert json.loads(ask(ostler, "/api/status")[1])["accepted"] == 1
    status, text = ask(ostler, "/metrics")
    assert status == 200 and "\nostler_accepted_total 1\n" in text
    assert all(line.startswith(("#", "ostler_")) for line in text.splitlines())
    assert "\nostler_scrub_damage_total 0\n" in text
    assert json.loads(ask(ostler, "/api/status")[1])["scrub_last"] > 1_000_000_000


@pytest.mark.parametrize("path,method,host,status", [
    ("/healthz", "POST", "localhost", 405), ("/api/queue", "DELETE", "localhost", 405),
    ("/healthz", "GET", "evil.example", 403), ("/", "GET", "localhost", 404),
    ("/healthz", "GET", "127.0.0.1:1", 200), ("/healthz", "GET", "[::1]:8025", 200)])
def test_admin__who_may_ask(ostler, path, method, host, status):
    assert ask(ostler, path, method, host)[0] == status


def test_admin__without_a_queue_manager__comes_back(ostler):
    ostler.kill("qmgr")
    wait_for(lambda: ask(ostler, "/api/status")[0] == 200, what="status after a restart")
    assert ask(ostler, "/healthz")[0] == 200
