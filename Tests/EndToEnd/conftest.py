"""Fixtures: programs that are ended with their test, the emulator, recorded feeds."""

import pytest

import feeds
import harness


def pytest_configure(config):
    for binary in (harness.COLLECTOR, harness.REPLAYER):
        if not binary.exists():
            raise pytest.UsageError(
                f"{binary} is not there; build it with: swift build -c release --product {binary.name}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        item.failed = report.failed
    return report


class Programs:
    """Starts programs in the test's directory and remembers them."""

    def __init__(self, directory):
        self.directory = directory
        self.started: list[harness.Process] = []

    def _keep(self, process):
        self.started.append(process)
        return process

    def replayer(self, *arguments, **more) -> harness.Replayer:
        return self._keep(harness.Replayer(self.directory, *arguments, **more))

    def collector(self, exchanges: list[dict], sink: dict, environment=None, name="collector", **more):
        configuration = harness.configuration(self.directory, exchanges, sink, **more)
        return self._keep(harness.Collector(self.directory, configuration, environment, name))

    def run(self, name: str, command: list, environment=None) -> harness.Process:
        return self._keep(harness.Process(name, command, self.directory, environment))


@pytest.fixture
def programs(request, tmp_path):
    started = Programs(tmp_path)
    yield started
    for process in reversed(started.started):
        process.kill()
    if getattr(request.node, "failed", False):
        for process in started.started:
            print(f"--- {process.name}, exit code {process.child.returncode}\n{process.log()[-6000:]}")


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    reason = harness.Emulator.missing()
    if reason:
        pytest.skip(reason)
    process = harness.Emulator(tmp_path_factory.mktemp("emulator"))
    yield process
    process.kill()


@pytest.fixture(scope="session")
def spot_feed():
    """The recorded Binance spot files and the streams in them."""
    files = feeds.spot_files()
    if not files:
        pytest.skip(f"no recorded feeds in {harness.FEEDS}; set RECORDED_FEEDS")
    streams: dict[str, int] = {}
    for path in files:
        for frame in feeds.frames(path):
            stream = feeds.stream_of(frame)
            if stream:
                streams[stream] = streams.get(stream, 0) + 1
    return files, streams
