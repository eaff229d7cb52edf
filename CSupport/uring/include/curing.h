// io_uring as the reactor needs it: readiness that looks like level-triggered epoll, and bytes that the kernel has put
// into buffers beforehand. All calls for one ring come from the thread that made it.
#ifndef CURING_H
#define CURING_H

#include <ckernel.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cu_ring cu_ring;

/// Sizes of a ring; 0 takes the default.
typedef struct {
    /// Requests that wait to be submitted, and completions that wait to be taken, at most.
    uint32_t submissions, completions;
    /// Receive buffers that all descriptors share: how many (a power of two, at most 32768), and the size of each.
    uint32_t buffers, buffer_bytes;
    /// 1: completions as before Linux 6.1, for tests.
    uint32_t eager;
} cu_settings;

/// What failed, and with which errno.
typedef struct {
    const char *step;
    int code;
} cu_failure;

/// A ring that is woken by `waker`, an eventfd. NULL with the reason in `failure`.
cu_ring *cu_ring_new(cu_settings settings, int waker, cu_failure *failure);
/// Ends the requests under way first, so that the kernel writes into no buffer any more.
void cu_ring_free(cu_ring *ring);

/// Watches `fd` for CK_READ | CK_WRITE. From CK_READ on the kernel receives ahead, so the socket must be connected. 0
/// or -errno.
int cu_add(cu_ring *ring, int fd, uint32_t events, uint64_t token);
int cu_modify(cu_ring *ring, int fd, uint32_t events, uint64_t token);
/// Before `fd` is closed. What was received and not taken is lost with it. The socket itself is closed with the next
/// wait, when the requests on it have ended.
void cu_remove(cu_ring *ring, int fd);

/// Names the receiving side of a watched `fd`; no other descriptor ever gets the same name. 0 where it is not watched.
uint64_t cu_source(const cu_ring *ring, int fd);
/// Takes received bytes: their number, 0 at the end of the stream, or -errno (-EAGAIN: nothing there; -EBADF: `source`
/// is not watched any more). `*nanos` becomes the kernel's receive time of the last of them, ns since the epoch.
/// `ring` is a cu_ring.
int64_t cu_receive(void *ring, uint64_t source, void *bytes, size_t count, int64_t *nanos);

/// Waits for events, at most so long (< 0: without end, 0: only looks), and reports `limit` of them at most (256 where it
/// is more). Takes at most 256 completions. One system call at most, none where nothing is to be submitted and the
/// kernel has nothing new to tell.
int cu_wait(cu_ring *ring, ck_event *events, int limit, int64_t nanos);

/// What the ring has seen, for tests and measurements.
typedef struct {
    /// System calls, completions, receive requests, those that ended for want of buffers, receive calls made directly
    /// for that reason, and times that completions waited in the kernel because the queue was full.
    uint64_t enters, completions, receives, shortages, direct_receives, overflows;
    /// Buffers that hold bytes which were not taken yet, and descriptors whose requests are not over.
    uint32_t buffers_held, channels;
    /// Whether completions are posted only when the thread asks (Linux 6.1).
    int defers;
} cu_counts;
cu_counts cu_ring_counts(const cu_ring *ring);

/// Does all that the reactor needs: a ring, buffers, a multishot receive through a pair of sockets, a wait that ends.
/// 0 where it works, else -errno with what failed in `*step`.
int cu_probe(const char **step);

#endif
