#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "curing_private.h"

/// Waits until `fd`, the only one that is watched, brings `count` bytes equal to `expected` (0: the end).
static int expect(cu_ring *ring, int fd, const char *expected, size_t count) {
    char bytes[64];
    ck_event event;
    for (int i = 0; i < 10; i++) {
        if (cu_wait(ring, &event, 1, 100000000) == 0) continue;
        int64_t nanos = 0;
        int64_t got = cu_receive(ring, cu_source(ring, fd), bytes, sizeof bytes, &nanos);
        if (got < 0 && got != -EAGAIN) return (int)got;
        if (got >= 0) return (size_t)got == count && memcmp(bytes, expected, count) == 0 ? 0 : -EPROTO;
    }
    return -ETIMEDOUT;
}

static int receive_through(cu_ring *ring, int pair[2]) {
    int error = cu_add(ring, pair[0], CK_READ, 1);
    for (int i = 0; i < 3 && error == 0; i++)
        error = write(pair[1], "probe", 5) == 5 ? expect(ring, pair[0], "probe", 5) : -errno;
    if (error == 0 && ring->counts.receives != 1) error = -EOPNOTSUPP;
    shutdown(pair[1], SHUT_WR);
    if (error == 0) error = expect(ring, pair[0], "", 0);
    cu_remove(ring, pair[0]);
    return error;
}

int cu_probe(const char **step) {
    cu_failure failure;
    cu_ring *ring = cu_ring_new((cu_settings){0}, -1, &failure);
    if (!ring) {
        *step = failure.step;
        return -failure.code;
    }
    int pair[2];
    *step = "making a pair of sockets";
    int error = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0 ? 0 : -errno;
    if (error == 0) {
        *step = "a multishot receive";
        error = receive_through(ring, pair);
        close(pair[0]);
        close(pair[1]);
    }
    cu_ring_free(ring);
    return error;
}
