"""Sites: what replies and operators do to them, settings of single ones, and whose mail is next.

The comment above a test names the rules that it proves; tests/rules has the whole list.
"""
import asyncio
import json
import time

from conftest import Sink, wait_for


def sites(ostler):
    return [json.loads(line) for line in ostler.tool("sites", "--json").stdout.splitlines()]


def test_site__reply_of_the_table__slows_it_until_an_operator_ends_that(make_ostler, sink):
    sink.rcpt_replies["a@dest.test"] = ["450 4.7.28 Our system has detected an unusual rate"] * 9
    site = f"[127.0.0.1]:{sink.port}"
    ostler = make_ostler(site)
    ostler.send("a@dest.test")
    wait_for(lambda: f"site {site} (smtp): slowed down for 600 s: host 127.0.0.1" in ostler.log(),
             what="reaction")
    row, = sites(ostler)
    assert row["slowed_to_per_hour"] == 3600 and 500 < row["slowed_s"] <= 600
    assert "4.7.28" in row["because"]
    assert ostler.tool("site", "suspend", site, "10m").returncode == 0
    ostler.send("b@dest.test")
    time.sleep(0.5)
    assert sink.recipients() == []
    row, = sites(ostler)
    assert 590 <= row["suspended_s"] <= 600 and row["waiting"] == 1
    ostler.tool("site", "reset", site)
    wait_for(lambda: sink.recipients() == ["b@dest.test"], what="delivery")
    assert "slowed_s" not in "".join(map(str, sites(ostler)))
    assert f"site {site} (smtp): reset by" in ostler.log()


def test_site__wrong_words__are_told(make_ostler, sink):
    ostler = make_ostler(f"[127.0.0.1]:{sink.port}")
    for words, code in ((["suspend", "nowhere.test"], 69), (["stop", "x"], 64), (["suspend"], 64),
                        (["slow", "x"], 64), (["suspend", "x", "1y"], 64)):
        assert ostler.tool("site", *words, check=False).returncode == code, words
    assert ostler.tool("sites", "x", check=False).returncode == 64
    assert sites(ostler) == []


def test_settings__rate_of_a_site__is_kept(make_ostler, sink):
    site = f"[127.0.0.1]:{sink.port}"
    ostler = make_ostler(site, {"destination_settings_maps": "inline:{ {%s=rate=120/min} }" % site})
    begun = time.monotonic()
    for number in range(5):
        ostler.send(f"r{number}@dest.test")
    wait_for(lambda: len(sink.recipients()) == 5, what="deliveries")
    assert time.monotonic() - begun >= 2


class SlowSink(Sink):
    """Takes its time for each message."""

    async def handle_DATA(self, server, session, envelope):
        await asyncio.sleep(0.3)
        return await super().handle_DATA(server, session, envelope)


def takes(ostler, sink, address, sender):
    begun = time.monotonic()
    ostler.send(address, sender=sender)
    wait_for(lambda: address in sink.recipients(), what=f"delivery to {address}")
    return time.monotonic() - begun


def test_fairness__mail_of_one_sender_is_queued__a_single_message_of_another_leaves_at_once(make_ostler):
    sink = SlowSink()
    sink.start()
    try:
        ostler = make_ostler(f"[127.0.0.1]:{sink.port}", {"smtp_destination_concurrency_limit": "4"})
        idle = takes(ostler, sink, "idle@dest.test", "b@client.test")
        for number in range(80):
            ostler.send(f"n{number}@dest.test", sender="news@client.test")
        loaded = [takes(ostler, sink, f"one{n}@dest.test", "b@client.test") for n in range(3)]
        # 80 messages at 4 in 0.3 s: in the order of admission it would have taken seconds.
        assert len(ostler.queue()) > 20
        assert sorted(loaded)[1] < 2 * idle, (idle, loaded)
    finally:
        sink.stop()
