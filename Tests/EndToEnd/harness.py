"""Starts the programs under test, and ends them by their process id."""

import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARIES = Path(os.environ.get("COLLECTOR_BINARIES", ROOT / ".build" / "release"))
COLLECTOR = BINARIES / "exchange-collector"
REPLAYER = BINARIES / "feed-replayer"
FEEDS = Path(os.environ.get("RECORDED_FEEDS", ROOT.parent / "shared" / "feeds"))

# The synthesised market's symbols, in the replayer's order.
SYMBOLS = (
    "BTCUSDT ETHUSDT BNBUSDT SOLUSDT XRPUSDT DOGEUSDT ADAUSDT TRXUSDT AVAXUSDT LINKUSDT DOTUSDT LTCUSDT "
    "BCHUSDT UNIUSDT ATOMUSDT ETCUSDT FILUSDT APTUSDT ARBUSDT OPUSDT NEARUSDT INJUSDT SUIUSDT SEIUSDT "
    "TIAUSDT PEPEUSDT SHIBUSDT BONKUSDT FLOKIUSDT WIFUSDT AAVEUSDT MKRUSDT ALGOUSDT XLMUSDT HBARUSDT "
    "VETUSDT ICPUSDT GRTUSDT SANDUSDT MANAUSDT AXSUSDT THETAUSDT EGLDUSDT FTMUSDT RUNEUSDT ETHBTC BNBBTC "
    "SOLBTC LDOUSDT CRVUSDT"
).split()


class TimedOut(AssertionError):
    """Something did not happen within its deadline."""


def wait_until(what: str, condition, seconds: float = 30, step: float = 0.05):
    """The first true value of `condition()`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimedOut(f"within {seconds:g} s there was no {what}")
        time.sleep(step)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A child process in a session of its own, its output in files."""

    def __init__(self, name: str, command: list, directory: Path, environment: dict | None = None):
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.out = directory / f"{name}.out"
        self.err = directory / f"{name}.err"
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.child = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                cwd=directory, env={**os.environ, **(environment or {})}, start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self.child.poll() is None

    def log(self) -> str:
        """Everything printed so far, both streams."""
        return self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def wait_for(self, pattern: str, seconds: float = 30) -> re.Match:
        """The first match of the pattern in the output; an early end of the process is an error."""

        def look():
            found = re.search(pattern, self.log())
            if not found and not self.is_running:
                raise AssertionError(f"{self.name} ended with {self.child.returncode}:\n{self.log()[-4000:]}")
            return found

        try:
            return wait_until(f"/{pattern}/ in the output of {self.name}", look, seconds)
        except TimedOut as error:
            raise TimedOut(f"{error}:\n{self.log()[-4000:]}") from None

    def send(self, number: int):
        """A signal to the whole session of the process."""
        if self.is_running:
            os.killpg(self.child.pid, number)

    def terminate(self, seconds: float = 30) -> int:
        """SIGTERM; the exit code. One that does not end in time is an error, and is killed."""
        if self.is_running:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimedOut(f"{self.name} did not end within {seconds:g} s of SIGTERM:\n{self.log()[-4000:]}") from None

    def kill(self):
        if self.is_running:
            self.send(signal.SIGKILL)
            self.child.wait(10)


class Replayer(Process):
    """A feed-replayer. Its certificates and the record of what it sent lie in its directory."""

    def __init__(
        self, directory: Path, *arguments, plain: bool = False, truth: bool = True, listen: str = "127.0.0.1:0",
        name: str = "replayer",
    ):
        directory.mkdir(parents=True, exist_ok=True)
        self.truth = directory / f"{name}.sent"
        command = [REPLAYER, "serve", "--listen", listen, *arguments]
        if truth:
            command += ["--ground-truth", self.truth]
        if plain:
            command.append("--plain")
        elif "--certificate-directory" not in arguments:
            command += ["--certificate-directory", directory / "certificates"]
        super().__init__(name, command, directory)
        started = json.loads(self.wait_for(r'\{"listening".*\}').group())
        self.endpoint: str = started["listening"]
        self.authority: str | None = started.get("certificateAuthority")
        arguments = list(arguments)
        count = int(arguments[arguments.index("--symbols") + 1]) if "--symbols" in arguments else len(SYMBOLS)
        self.symbols = SYMBOLS[:count] if "--synthetic" in arguments else []

    def sent(self) -> list[tuple[int, int, bytes]]:
        """(connection, send time in ns, frame) of every frame of market data sent, injected ones included."""
        lines = self.truth.read_bytes().split(b"\n")
        result = []
        for line in lines[:-1]:
            connection, time_, frame = line.split(b"\t", 2)
            # What happened to a connection on purpose stands between the frames.
            if frame.startswith(b"! "):
                continue
            result.append((int(connection), int(time_), self._injected(frame)))
        return result

    @staticmethod
    def _injected(line: bytes) -> bytes:
        """The bytes of an injected frame, for which the line that asked for it stands."""
        if line.startswith(b"hex:"):
            return bytes.fromhex(line[4:].decode())
        if line.startswith(b"huge:"):
            return b"a" * int(line[5:])
        return line


class Collector(Process):
    """An exchange-collector on a configuration."""

    def __init__(self, directory: Path, configuration: dict, environment: dict | None = None, name: str = "collector"):
        directory.mkdir(parents=True, exist_ok=True)
        configuration = {**configuration}
        configuration.setdefault("api", {"listen": f"127.0.0.1:{free_port()}"})
        self.configuration = configuration
        self.address = configuration["api"]["listen"]
        self.file = directory / f"{name}.yaml"
        # JSON is YAML.
        self.file.write_text(json.dumps(configuration, indent=2, ensure_ascii=False))
        # The emulator of one test must not reach another by accident.
        clean = {"PUBSUB_EMULATOR_HOST": ""} if "PUBSUB_EMULATOR_HOST" not in (environment or {}) else {}
        super().__init__(
            name, [COLLECTOR, "run", "--config", self.file], directory, {**clean, **(environment or {})})

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a request to the API; status 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError:
            return 0, ""

    def status(self, buckets: bool = False) -> dict | None:
        status, body = self.get("/v1/status?buckets=all" if buckets else "/v1/status")
        return json.loads(body) if status == 200 else None

    def metrics(self) -> "Metrics | None":
        status, body = self.get("/metrics")
        return Metrics(body) if status == 200 else None

    def wait_ready(self, seconds: float = 30):
        def ready():
            if not self.is_running:
                raise AssertionError(f"the collector ended with {self.child.returncode}:\n{self.log()[-4000:]}")
            return self.get("/readyz")[0] == 200

        wait_until("200 from /readyz", ready, seconds)

    def wait_quiet(self, seconds: float = 120, quiet: float = 2, at_least: int = 1) -> "Metrics":
        """Waits until frames have come, no more come, and nothing is in flight. Checks the identity at each look."""
        deadline = time.monotonic() + seconds
        last, since = -1.0, time.monotonic()
        while True:
            if not self.is_running:
                raise AssertionError(f"the collector ended with {self.child.returncode}:\n{self.log()[-4000:]}")
            metrics = self.metrics()
            if metrics is not None:
                metrics.check_identity()
                frames = metrics.total("collector_frames_received_total")
                if frames != last:
                    last, since = frames, time.monotonic()
                settled = metrics.total("collector_events_in_flight") == 0 and frames >= at_least
                if settled and time.monotonic() - since >= quiet:
                    return metrics
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"not quiet within {seconds:g} s: {last:g} frames, in flight "
                    f"{metrics and metrics.total('collector_events_in_flight')}:\n{self.log()[-3000:]}")
            time.sleep(0.1)


class Metrics:
    """A scrape in Prometheus' text format."""

    LINE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$")
    LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')

    def __init__(self, body: str):
        self.samples: list[tuple[str, dict, float]] = []
        for line in body.splitlines():
            if not line or line.startswith("#"):
                continue
            match = self.LINE.match(line)
            assert match, f"no line of Prometheus' format: {line!r}"
            name, labels, value = match.groups()
            self.samples.append((name, dict(self.LABEL.findall(labels or "")), float(value)))

    def names(self) -> set[str]:
        return {name for name, _, _ in self.samples}

    def total(self, name: str, **labels) -> float:
        """The sum of all samples of that name with these labels."""
        return sum(
            value for sample, found, value in self.samples
            if sample == name and all(found.get(key) == wanted for key, wanted in labels.items()))

    def by_type(self, name: str) -> dict[tuple[str, str], float]:
        result: dict[tuple[str, str], float] = {}
        for sample, labels, value in self.samples:
            if sample == name:
                key = (labels.get("exchange", ""), labels.get("type", ""))
                result[key] = result.get(key, 0) + value
        return result

    def check_identity(self):
        """received = published + duplicates + dead-lettered + dropped + in flight, for every type."""
        parts = [
            self.by_type(f"collector_events_{part}")
            for part in ("published_total", "duplicate_total", "dead_lettered_total", "dropped_total", "in_flight")
        ]
        for key, received in self.by_type("collector_events_received_total").items():
            values = [part.get(key, 0) for part in parts]
            assert received == sum(values), (
                f"{key}: received {received:g} != published, duplicate, dead-lettered, dropped, in flight {values}")
            assert min(values) >= 0, f"{key}: {values}"


class Emulator(Process):
    """The Pub/Sub emulator, run from its jar."""

    def __init__(self, directory: Path):
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        super().__init__(
            "emulator", ["java", "-jar", self.jar(), "--host=127.0.0.1", f"--port={self.port}"], directory)

        def answers():
            try:
                with urllib.request.urlopen(f"http://{self.host}/", timeout=1) as answer:
                    return answer.status == 200
            except OSError:
                assert self.is_running, f"the emulator ended:\n{self.log()[-2000:]}"
                return False

        wait_until("answer of the emulator", answers, 60, 0.2)

    @staticmethod
    def jar() -> str | None:
        """The newest jar of the Google Cloud SDK found here."""
        homes = ["/usr/lib/google-cloud-sdk", "/usr/share/google-cloud-sdk", os.path.expanduser("~/google-cloud-sdk")]
        gcloud = shutil.which("gcloud")
        if gcloud:
            homes.insert(0, str(Path(gcloud).resolve().parents[1]))
        for home in homes:
            found = sorted(glob.glob(f"{home}/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar"))
            if found:
                return found[-1]
        return None

    @staticmethod
    def missing() -> str | None:
        """Why the emulator cannot run here, or None."""
        if Emulator.jar() is None:
            return "the Pub/Sub emulator is not installed (Google Cloud SDK, component pubsub-emulator)"
        if shutil.which("java") is None:
            return "the Pub/Sub emulator needs java"
        return None


def exchange(endpoint: str, authority: str | None, subscriptions: list[dict], **more) -> dict:
    """The configuration's entry for Binance spot at a replayer."""
    entry = {"adapter": "binance", "market": "spot", "endpoint": endpoint, "subscriptions": subscriptions, **more}
    if authority and "tls" not in more:
        entry["tls"] = {"certificateAuthority": authority}
    return entry


def configuration(directory: Path, exchanges: list[dict], sink: dict, **more) -> dict:
    """A configuration for tests; a key of `more` replaces the section of that name."""
    return {
        "collector": {"name": "end-to-end", "lanes": 1, "idle": "park", "dataDirectory": str(directory / "data")},
        "exchanges": exchanges,
        "batching": {
            "maxEvents": 500, "maxBytes": 65536, "maxDelay": "5ms", "compression": "zstd", "level": 1,
            "payload": "batch",
        },
        "sink": sink,
        "log": {"level": "info", "format": "text"},
        **more,
    }
