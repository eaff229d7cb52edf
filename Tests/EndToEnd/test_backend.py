"""io_uring instead of epoll: the same delivery, and what is said where a container forbids it."""

import ctypes
import platform
import struct
import threading
import time

import pytest

import delivery
import harness
import oracle


def forbid(code: int):
    """From now on io_uring_setup fails with `code` in this thread and in the processes that it starts: what the seccomp
    profile of a container does."""
    load, equal, give = 0x20, 0x15, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | code
    # The system call's number is the first word; io_uring_setup has the same one everywhere.
    program = b"".join(
        struct.pack("HBBI", *step)
        for step in ((load, 0, 0, 0), (equal, 0, 1, 425), (give, 0, 0, refuse), (give, 0, 0, allow)))
    code_memory = ctypes.create_string_buffer(program)
    # struct sock_fprog: the number of steps, and where they are.
    filter_memory = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(code_memory)))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero) != 0:  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    if libc.prctl(22, ctypes.c_ulong(2), filter_memory, zero, zero) != 0:  # PR_SET_SECCOMP
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def collect(programs, tmp_path, backend: str, forbidden: int | None = None):
    """4,000 trades through files, compared with what was sent; the collector's log."""
    replayer = programs.replayer(
        "--synthetic", "--symbols", 5, "--seed", 3, "--mix", "trade=100", "--pace", "rate=5000", "--messages", 4000)
    begin = time.time_ns()
    started = []

    def start():
        if forbidden:
            forbid(forbidden)
        started.append(programs.collector(
            [harness.exchange(
                replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}])],
            {"type": "file", "path": str(tmp_path / "out")},
            collector={"name": "backend", "backend": backend, "idle": "adaptive", "dataDirectory": str(tmp_path)}))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert started, "the collector could not be started"
    collector = started[0]
    collector.wait_quiet(at_least=4000)
    assert collector.terminate() == 0
    assert replayer.terminate() == 0
    expected = oracle.expect([frame for _, _, frame in replayer.sent()])
    lines = delivery.read_segments(tmp_path / "out")
    assert delivery.check_lines(lines, expected, begin, time.time_ns()) == expected.total == 4000
    return collector.log()


@pytest.mark.parametrize("backend", ["auto", "epoll"])
def test_epoll_is_the_default(programs, tmp_path, backend):
    log = collect(programs, tmp_path, backend)
    assert "backend=epoll" in log
    assert "io_uring" not in log


def test_io_uring_delivers_the_same(programs, tmp_path):
    log = collect(programs, tmp_path, "io_uring")
    if "instead of io_uring" in log:
        pytest.skip(next(line for line in log.splitlines() if "instead of io_uring" in line))
    assert "backend=io_uring" in log


@pytest.mark.skipif(platform.system() != "Linux", reason="seccomp is Linux's")
@pytest.mark.parametrize("code, cause", [(1, "seccomp profile"), (38, "hides it"), (12, "ulimit -l")])
def test_a_forbidden_io_uring_is_said_with_its_cause(programs, tmp_path, code, cause):
    log = collect(programs, tmp_path, "io_uring", forbidden=code)
    told = next((line for line in log.splitlines() if "instead of io_uring" in line), "")
    assert cause in told and f"errno {code}" in told, log[-3000:]
    assert "backend=epoll" in log
