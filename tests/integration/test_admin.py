"""The admin page for machines: health, metrics, queue, status; who may ask and how."""
import http.client
import json
import time

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
    metrics = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("ostler_"))
    assert float(metrics['ostler_journal_flush_seconds{quantile="0.5"}']) > 0
    assert (float(metrics['ostler_journal_flush_seconds{quantile="0.5"}'])
            <= float(metrics['ostler_journal_flush_seconds{quantile="0.99"}'])
            <= float(metrics['ostler_journal_flush_seconds{quantile="1"}']))
    assert float(metrics["ostler_journal_batch_bytes"]) >= 4096
    assert float(metrics["ostler_journal_transactions_total"]) >= 1
    assert 0 < float(metrics["ostler_journal_live_share"]) < 1
    assert int(metrics["ostler_journal_oldest_segment_seconds"]) < 600
    assert int(metrics["ostler_journal_damaged_segments"]) == 0
    assert int(metrics["ostler_journal_reserve_segments"]) >= 1
    status = json.loads(ask(ostler, "/api/status")[1])
    assert status["scrub_last"] > 1_000_000_000
    assert 0 < status["flush_p50_us"] <= status["flush_p99_us"] <= status["flush_max_us"]
    assert {"durable_lag_us", "journal_reserve_segments", "checkpoint_age_s"} <= set(status)


def test_admin__oldest_segment__keeps_its_age_over_a_restart(make_ostler):
    ostler = make_ostler(f"[127.0.0.1]:{free_port()}")
    ostler.send("x@remote.test")
    wait_for(lambda: "status=deferred" in ostler.log(), what="deferral")
    time.sleep(2)
    ostler.stop()
    ostler.start()
    wait_for(lambda: ask(ostler, "/healthz")[0] == 200, what="an answer after the start")
    assert json.loads(ask(ostler, "/api/status")[1])["journal_oldest_segment_s"] >= 2


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
