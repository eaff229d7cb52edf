"""The collector with credentials of its own at a strict Pub/Sub service: whose tokens it sends, whom it lets pay, and what it does
when a token is refused."""

import json
import sys
from pathlib import Path

import pytest

import google_services as google
import harness

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "PublisherFaults"))

import scripts  # noqa: E402
from pubsub_server import Fate, Script, Server  # noqa: E402


@pytest.fixture
def services():
    made = google.Services()
    yield made
    made.stop()


class Guarded(Script):
    """Lets in who shows a token that the key of the account has signed, or one that was issued. `refused`: how many signed tokens are
    refused as if the key had been revoked. `fates`: of the first requests that were let in."""

    def __init__(self, services, refused=0, fates=()):
        super().__init__()
        self.services, self.refused, self.planned = services, refused, list(fates)
        self.heads, self.seen = [], []

    def note(self, head):
        self.heads.append(head)

    def token(self, value):
        scheme, _, token = value.partition(" ")
        assert scheme == "Bearer"
        if token in self.services.tokens:
            self.seen.append("issued")
            return self.services.tokens[token] == google.CLOUD
        # An independent library looks at signature, header and times.
        claims = self.services.decode(token)
        self.services.demand(set(claims) == {"iss", "sub", "scope", "iat", "exp"}, f"claims {set(claims)}")
        self.services.demand(claims["iss"] == claims["sub"] == google.ACCOUNT, "issuer and subject")
        self.services.demand(claims["scope"] == google.CLOUD, f"scope {claims['scope']}")
        self.seen.append("signed")
        self.refused -= 1
        return self.refused < 0

    def publish(self, topic, key, ids):
        return self.planned.pop(0) if self.planned else Fate()


def publish(programs, services, script, tmp_path, environment=None, seconds=30):
    """Runs the collector until 300 events are acknowledged; its log."""
    identity = scripts.certificate(tmp_path)
    file = tmp_path / "key.json"
    file.write_text(json.dumps({**services.key_file(), "quota_project_id": "billed-project"}))
    with Server(*identity, default=script) as service:
        replayer = programs.replayer("--synthetic", "--symbols", 3, "--seed", 5, "--mix", "trade=100", "--pace", "rate=300")
        collector = programs.collector(
            [harness.exchange(replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}])],
            {"type": "pubsub", "project": "test", "createTopics": True, "endpoint": service.endpoint},
            environment={
                "GOOGLE_APPLICATION_CREDENTIALS": str(file), "SSL_CERT_FILE": identity[0], **(environment or {})})
        harness.wait_until(
            "published events",
            lambda: (m := collector.metrics()) and m.total("collector_events_published_total") > 300, seconds)
        collector.metrics().check_identity()
        assert collector.terminate() == 0
        assert not service.strays and not service.protocol_errors
    assert not script.violations and not services.faults
    # Sequences without a hole: nothing was lost over the refusals.
    for (topic, key), stored in script.stored.items():
        numbers = [int(batch.rpartition("-")[2]) for batch, _ in stored]
        assert numbers == sorted(numbers), f"{topic} {key}"
    for text in ("eyJ", "ya29.", "PRIVATE KEY"):
        assert text not in collector.log()
    return collector.log()


def test_every_request_has_a_signed_token_and_names_the_project_that_pays(programs, services, tmp_path):
    script = Guarded(services)
    publish(programs, services, script, tmp_path)
    assert {head[":path"].rpartition("/")[2] for head in script.heads} == {"CreateTopic", "Publish"}
    assert {head.get("x-goog-user-project") for head in script.heads} == {"billed-project"}
    assert set(script.seen) == {"signed"} and len(script.seen) == len(script.heads) > 6
    assert services.count("oauth") == 0


def test_the_environments_project_pays_before_the_files(programs, services, tmp_path):
    script = Guarded(services)
    publish(programs, services, script, tmp_path, environment={"GOOGLE_CLOUD_QUOTA_PROJECT": "another-project"})
    assert {head.get("x-goog-user-project") for head in script.heads} == {"another-project"}


def test_a_refused_signed_token_is_followed_by_issued_ones(programs, services, tmp_path):
    """As when a key's own tokens are revoked while the collector runs: the token endpoint is asked, and it goes on."""
    script = Guarded(services, refused=10**6)
    publish(programs, services, script, tmp_path)
    assert "signed" in script.seen and script.seen[-1] == "issued"
    assert services.count("oauth") >= 1


def test_answers_of_a_front_end_are_taken_for_what_they_say(programs, services, tmp_path):
    """HTTP statuses without a gRPC status: 401 asks for another token, 429 and 503 are tried again."""
    fates = [Fate(store=False, end="http", http_status=status) for status in (429, 503, 401)]
    script = Guarded(services, fates=fates)
    publish(programs, services, script, tmp_path)
    assert not script.planned
    assert script.seen[0] == "signed" and script.seen[-1] == "issued"
