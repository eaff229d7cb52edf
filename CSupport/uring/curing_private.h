#ifndef CURING_PRIVATE_H
#define CURING_PRIVATE_H

#include <liburing.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "curing.h"

enum { NO_BUFFER = 0xFFFF, BUFFER_GROUP = 1 };

/// What a completion belongs to, in the highest byte of its user data.
enum { OF_NOTHING = 0, OF_RECEIVE = 1, OF_POLL = 2, OF_WAKER = 3 };

/// A watched descriptor. Its place is used again only when all requests on it are over, so no completion can reach
/// another connection.
typedef struct {
    uint64_t token;
    int fd;
    uint32_t index, generation;
    /// CK_READ | CK_WRITE as asked for, and what the last poll brought.
    uint32_t events, polled;
    /// Received buffers, oldest first, and how much of the oldest is taken.
    uint16_t first, last;
    uint32_t taken;
    /// Not removed yet.
    bool live;
    /// Requests that are in flight, and whether they were asked to end.
    bool receiving, polling, receive_cancelled, poll_cancelled;
    /// Nothing more comes; `error` says why (0: end of stream).
    bool ended;
    /// No buffer was free: read by system call until one is.
    bool starved;
    /// Member of the ring's lists.
    bool dirty, ready;
    int error;
} channel;

/// A buffer that the kernel has filled.
typedef struct {
    int64_t nanos;
    uint32_t offset, length;
    uint16_t next;
} filled_buffer;

typedef struct {
    uint32_t *items;
    uint32_t count;
} index_list;

struct cu_ring {
    struct io_uring io;
    cu_settings settings;
    struct io_uring_buf_ring *buffer_ring;
    unsigned char *memory;
    filled_buffer *filled;
    /// The layout of a receive: room for the kernel's time stamp.
    struct msghdr layout;
    channel **channels;
    uint32_t channel_count, channel_capacity;
    index_list free, dirty, ready;
    /// By descriptor: index + 1.
    uint32_t *by_descriptor;
    uint32_t descriptor_capacity;
    int waker;
    bool waker_armed, has_buffers, has_ring;
    cu_counts counts;
};

static inline uint64_t cu_user_data(int kind, const channel *c) {
    return (uint64_t)kind << 56 | (uint64_t)(c->generation & 0xFFFFFF) << 32 | c->index;
}

/// Lists: a member is in each at most once.
void cu_mark_dirty(cu_ring *ring, channel *c);
void cu_mark_ready(cu_ring *ring, channel *c);
/// Its place may be used again, if nothing refers to it any more.
void cu_release_if_over(cu_ring *ring, channel *c);
/// Whether its reader would get something.
bool cu_is_readable(const channel *c);
void cu_give_back(cu_ring *ring, uint16_t buffer);
/// Requests what the descriptors' wishes need, as far as the submission queue has room.
void cu_reconcile(cu_ring *ring);

#endif
