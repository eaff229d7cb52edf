"""Seeded scripts of misbehaviour, and what must be true when one is over."""

import random
import threading
import time

from google.rpc import code_pb2

import pubsub_server as server
from pubsub_server import Fate

KINDS = [
    "unavailable", "internal", "aborted", "unknown", "deadline-stored", "quota", "denied", "poison", "missing", "token",
    "stall", "stall-stored", "reset", "reset-stored", "refused-stream", "cut", "cut-stored", "goaway", "goaway-cut", "bare", "half", "http",
    "slow", "create-fails", "create-lost", "door",
]


class Seeded(server.Script):
    """Each seed has some kinds of faults, each with its likelihood, one key that is struck far more than others, and an end: after so
    many requests all goes well, so that what was not delivered then never is."""

    def __init__(self, seed, owner):
        super().__init__()
        self.random = random.Random(seed)
        self.owner = owner
        self.kinds = self.random.sample(KINDS, self.random.randint(1, 5))
        self.likelihood = self.random.choice([0.03, 0.1, 0.3])
        self.struck = f"binance:S{self.random.randrange(6)}"
        self.left = self.random.randint(40, 150)
        self.good_token = 1
        # These take seconds, and a door that is shut is shut for all scripts.
        self.costly = 5
        self.poisoned = set()

    def token(self, value):
        number = int(value.removeprefix("Bearer token-")) if value.startswith("Bearer token-") else 0
        if "token" in self.kinds and self.left > 0 and self.random.random() < self.likelihood / 2:
            self.good_token = number + 1
        return number >= self.good_token

    def is_poison(self, batch):
        """Whether the service never takes that batch; the same for each try, so it does not end with the script."""
        return "poison" in self.kinds and random.Random(f"{self.likelihood} {batch}").random() < 0.05

    def publish(self, topic, key, ids):
        is_letter = topic.startswith("market.deadletter.")
        poisoned = [] if is_letter else [batch for batch in ids if self.is_poison(batch)]
        if poisoned:
            self.poisoned.update(poisoned)
            return Fate(store=False, status=server.INVALID_ARGUMENT, message=f"schema: unzulässig ({len(ids)} messages)")
        self.left -= 1
        chance = min(0.6, self.likelihood * (5 if key == self.struck else 1))
        if self.left < 0 or self.random.random() >= chance:
            return Fate(delay=self.random.choice([0, 0, 0.002]))
        return self.strike(self.random.choice(self.kinds), topic)

    def strike(self, kind, topic):
        code = {"unavailable": "UNAVAILABLE", "internal": "INTERNAL", "aborted": "ABORTED", "unknown": "UNKNOWN"}.get(kind)
        roll = self.random.random
        if kind in ("stall", "stall-stored", "door"):
            self.costly -= 1
            if self.costly < 0:
                kind = "cut"
        match kind:
            case _ if code:
                return Fate(store=roll() < 0.3, status=code_pb2.Code.Value(code), message=f"try again: {code} 50 %")
            case "deadline-stored":
                return Fate(status=server.DEADLINE_EXCEEDED, message="Deadline Exceeded")
            case "quota":
                return Fate(store=False, status=server.RESOURCE_EXHAUSTED, message="quota", retry_delay=0.05 + roll() / 5)
            case "denied":
                return Fate(store=False, status=server.PERMISSION_DENIED, message="User not authorized to perform this action.")
            case "missing":
                self.topics.pop(topic, None)
                return Fate(store=False)
            case "stall" | "stall-stored":
                return Fate(store=kind == "stall-stored", end="nothing")
            case "reset" | "reset-stored":
                return Fate(store=kind == "reset-stored", end="reset", reset_code=self.random.choice([2, 8, 11]))
            case "refused-stream":
                return Fate(store=False, end="reset", reset_code=7)
            case "cut" | "cut-stored":
                return Fate(store=kind == "cut-stored", end="cut")
            case "goaway" | "goaway-cut" | "bare":
                return Fate(end=kind)
            case "half":
                return Fate(end="half")
            case "http":
                return Fate(store=False, end="http", http_status=self.random.choice([429, 502, 503, 504]))
            case "door":
                self.owner.close_door(0.1)
                return Fate(store=False, end="cut")
            case _:
                return Fate(delay=roll() / 3)

    def create(self, topic):
        self.left -= 1
        if self.left > 0 and self.random.random() < 0.4:
            if "create-fails" in self.kinds:
                return Fate(store=False, status=server.UNAVAILABLE, message="later")
            if "create-lost" in self.kinds:
                return Fate(end=self.random.choice(["cut", "reset", "nothing"]))
        return Fate()

    def verify(self, report):
        """What is wrong, in words; empty where all is right."""
        wrong = list(self.violations)

        def need(right, text):
            if not right:
                wrong.append(text)

        need(report["isDrained"], f"not drained: {report.get('problem')}")
        need(report["published"] + report["deadLettered"] == report["events"], f"books: {report['published']} + {report['deadLettered']}")
        need(report["inFlight"] == 0 and report["bytesHeld"] == 0, "something is still held")
        need(report["keysPaused"] == 0, f"{report['keysPaused']} keys still paused")
        letters = {}
        for message in self.dead_letters:
            letters[message.attributes["batch_id"]] = message
            need("unzulässig" in message.attributes["dead_letter_reason"], f"reason {message.attributes['dead_letter_reason']!r}")
        wanted_letters = set()
        for lane in report["lanes"]:
            wanted = [batch for batch in lane["ids"] if not self.is_poison(batch)]
            wanted_letters.update(batch for batch in lane["ids"] if self.is_poison(batch))
            stored = self.stored.get((lane["topic"], lane["key"]), [])
            firsts, digests = [], {}
            for batch, digest in stored:
                if batch not in digests:
                    digests[batch] = digest
                    firsts.append(batch)
                need(digests[batch] == digest, f"{batch} came twice with different contents")
            need(set(firsts) == set(wanted), f"{lane['topic']} {lane['key']}: {len(set(wanted) - set(firsts))} lost,"
                 f" {len(set(firsts) - set(wanted))} unasked")
            need(firsts == wanted, f"{lane['topic']} {lane['key']}: out of order")
            self.check_repeats(lane, [batch for batch, _ in stored], wanted, need)
        need(set(letters) == wanted_letters, f"dead letters: {sorted(wanted_letters ^ set(letters))[:5]}")
        return wrong

    @staticmethod
    def check_repeats(lane, stored, wanted, need):
        """A repetition begins again at a batch that came before and goes on from there: never a jump forward over one."""
        place = {batch: index for index, batch in enumerate(wanted)}
        reached = -1
        for batch in stored:
            index = place.get(batch)
            if index is None:
                continue
            need(index <= reached + 1, f"{lane['topic']} {lane['key']}: {batch} overtook one")
            reached = max(reached, index)


class Scripted(server.Server):
    """Knows the script of any project seed-N."""

    def close_door(self, seconds):
        self.closed_door = True
        threading.Timer(seconds, self.open_door).start()

    def open_door(self):
        self.closed_door = False

    def prepare(self, seeds):
        for seed in seeds:
            self.scripts[f"seed-{seed}"] = Seeded(seed, self)


def certificate(directory):
    """Paths of a new certificate for localhost, its own authority, and its key."""
    import subprocess
    pem, key = directory / "certificate.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", pem], check=True, capture_output=True)
    return str(pem), str(key)


def wait(seconds, done):
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.01)
