"""What an operator sees of connections: streams that fall silent over a reconnect, refusals with a date, and the budget of
attempts over restarts."""

import json
import socket

import harness

MARKET = ["--synthetic", "--symbols", 3, "--seed", 8, "--mix", "trade=100", "--pace", "rate=600"]


class Control:
    """The replayer's control channel."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rw")

    def __call__(self, command: str) -> dict:
        self.lines.write(command + "\n")
        self.lines.flush()
        answer = json.loads(self.lines.readline())
        assert answer["ok"], answer
        return answer


def start(programs, tmp_path, *more, collector=None, **entry):
    path = tmp_path / "faults"
    replayer = programs.replayer(*MARKET, "--control", path, *more)
    made = programs.collector(
        [harness.exchange(
            replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}], **entry)],
        {"type": "null"}, **({"collector": collector} if collector else {}))
    return replayer, Control(path), made


def states(collector) -> set[str]:
    status, body = collector.get("/v1/streams")
    assert status == 200, body
    return {stream["state"] for stream in json.loads(body)["streams"]}


def told(replayer) -> list[tuple[int, str]]:
    """(time in ns, text) of what the replayer wrote down besides frames."""
    found = []
    for line in replayer.truth.read_text(errors="replace").splitlines():
        _, when, text = line.split("\t", 2)
        if text.startswith("! "):
            found.append((int(when), text[2:]))
    return found


def test_streams_that_are_silent_after_a_reconnect_are_told(programs, tmp_path):
    replayer, control, collector = start(
        programs, tmp_path, watchdog={"streamSilence": "2s", "streamFloor": "1s"})
    collector.wait_ready()
    harness.wait_until("data of all streams", lambda: states(collector) == {"delivering"})
    control("on open each silent *@trade")
    control("cut all")
    # Acknowledged, open, and without a word: what came on the connection before says nothing of this one.
    harness.wait_until("silence that is told", lambda: states(collector) == {"silent"})
    status, body = collector.get("/readyz")
    assert status == 503 and "none of 3 streams delivers" in body, body
    assert collector.metrics().total("collector_streams", state="silent") == 3
    control("forget")
    control("resume all")
    harness.wait_until("data of all streams again", lambda: states(collector) == {"delivering"})
    collector.wait_ready()
    metrics = collector.metrics()
    assert metrics.total("collector_reconnects_total") >= 1
    assert metrics.total("collector_connection_attempts_failed_total") == 0
    assert collector.terminate() == 0
    assert replayer.terminate() == 0


def test_a_refusal_until_a_date_is_obeyed(programs, tmp_path):
    replayer, control, collector = start(programs, tmp_path)
    collector.wait_ready()
    control("refuse 418 retry-after-date 4s")
    control("cut all")
    harness.wait_until(
        "the refusal", lambda: collector.metrics().total("collector_connection_attempts_failed_total", cause="upgrade") >= 1)
    control("welcome")
    harness.wait_until("an open connection", lambda: states(collector) == {"delivering"})
    assert collector.metrics().total("collector_connection_attempts_failed_total") == 1
    assert collector.terminate() == 0
    assert replayer.terminate() == 0
    events = told(replayer)
    refused = [when for when, text in events if text == "refused 418"]
    opened = [when for when, text in events if text.startswith("open ")]
    assert len(refused) == 1 and len(opened) == 2, events
    assert opened[1] - refused[0] >= 4e9, events


def test_attempts_are_counted_over_a_crash(programs, tmp_path):
    attempts = {
        "name": "end-to-end", "lanes": 1, "idle": "park", "dataDirectory": str(tmp_path / "data"),
        "connectionAttempts": {"perWindow": 6, "window": "5m"},
    }
    replayer, control, collector = start(programs, tmp_path, "--upgrade-status", 503, collector=attempts)
    harness.wait_until(
        "the budget's end", lambda: (m := collector.metrics()) and m.total("collector_connection_attempts") == 6)
    # What was granted last is written within two seconds.
    kept = tmp_path / "data" / "attempts.json"
    harness.wait_until(
        "the file", lambda: kept.exists() and len(json.loads(kept.read_text())["budgets"]["all"]["attempts"]) == 6)
    collector.kill()
    again = programs.collector(
        [harness.exchange(replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}])],
        {"type": "null"}, collector=attempts, name="again")
    again.wait_for("the budget of connection attempts is used up")
    assert again.metrics().total("collector_connection_attempts") == 6
    assert again.terminate() == 0
    assert replayer.terminate() == 0
    assert len([text for _, text in told(replayer) if text.startswith("refused")]) == 6
