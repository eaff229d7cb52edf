#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "curing_private.h"

// MARK: Places

/// Room for `index` in `*items`; the new part is zero.
static int ensure(void **items, uint32_t *capacity, uint32_t index, size_t size) {
    if (index < *capacity) return 0;
    uint32_t larger = *capacity ? *capacity : 64;
    while (larger <= index) larger *= 2;
    void *moved = realloc(*items, larger * size);
    if (!moved) return -ENOMEM;
    memset((char *)moved + *capacity * size, 0, (larger - *capacity) * size);
    *items = moved;
    *capacity = larger;
    return 0;
}

/// All lists have room for every channel, so that joining one never fails.
static int ensure_lists(cu_ring *ring, uint32_t index) {
    index_list *lists[] = {&ring->free, &ring->dirty, &ring->ready};
    for (int i = 0; i < 3; i++) {
        uint32_t capacity = ring->channel_capacity;
        int error = ensure((void **)&lists[i]->items, &capacity, index, sizeof(uint32_t));
        if (error < 0) return error;
    }
    return ensure((void **)&ring->channels, &ring->channel_capacity, index, sizeof(channel *));
}

static channel *new_channel(cu_ring *ring) {
    if (ring->free.count > 0) return ring->channels[ring->free.items[--ring->free.count]];
    if (ensure_lists(ring, ring->channel_count) < 0) return NULL;
    channel *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->index = ring->channel_count;
    ring->channels[ring->channel_count++] = c;
    return c;
}

void cu_mark_dirty(cu_ring *ring, channel *c) {
    if (c->dirty) return;
    c->dirty = true;
    ring->dirty.items[ring->dirty.count++] = c->index;
}

void cu_mark_ready(cu_ring *ring, channel *c) {
    if (c->ready) return;
    c->ready = true;
    ring->ready.items[ring->ready.count++] = c->index;
}

void cu_release_if_over(cu_ring *ring, channel *c) {
    if (c->live || c->receiving || c->polling || c->dirty || c->ready) return;
    ring->free.items[ring->free.count++] = c->index;
    ring->counts.channels--;
}

static channel *find(const cu_ring *ring, int fd) {
    if (fd < 0 || (uint32_t)fd >= ring->descriptor_capacity || ring->by_descriptor[fd] == 0) return NULL;
    return ring->channels[ring->by_descriptor[fd] - 1];
}

// MARK: Wishes

int cu_add(cu_ring *ring, int fd, uint32_t events, uint64_t token) {
    if (fd < 0) return -EBADF;
    // One of that number was closed without being removed, as epoll lets one do.
    if (find(ring, fd)) cu_remove(ring, fd);
    if (ensure((void **)&ring->by_descriptor, &ring->descriptor_capacity, (uint32_t)fd, sizeof(uint32_t)) < 0)
        return -ENOMEM;
    channel *c = new_channel(ring);
    if (!c) return -ENOMEM;
    *c = (channel){.token = token,
                   .fd = fd,
                   .index = c->index,
                   .generation = c->generation + 1,
                   .events = events,
                   .first = NO_BUFFER,
                   .last = NO_BUFFER,
                   .live = true};
    ring->by_descriptor[fd] = c->index + 1;
    ring->counts.channels++;
    cu_mark_dirty(ring, c);
    return 0;
}

int cu_modify(cu_ring *ring, int fd, uint32_t events, uint64_t token) {
    channel *c = find(ring, fd);
    if (!c) return -ENOENT;
    c->token = token;
    c->events = events;
    if (!(events & CK_WRITE)) c->polled = 0;
    cu_mark_dirty(ring, c);
    if (cu_is_readable(c)) cu_mark_ready(ring, c);
    return 0;
}

/// A request that the kernel has not seen yet must never reach it: the descriptor's number may belong to another
/// socket by then.
static bool withdraw(cu_ring *ring, uint64_t user_data) {
    struct io_uring_sq *queue = &ring->io.sq;
    for (unsigned at = io_uring_smp_load_acquire(queue->khead); at != queue->sqe_tail; at++) {
        struct io_uring_sqe *request = &queue->sqes[at & *queue->kring_mask];
        if (request->user_data != user_data || request->opcode == IORING_OP_ASYNC_CANCEL) continue;
        io_uring_prep_nop(request);
        request->buf_group = 0;
        io_uring_sqe_set_data64(request, OF_NOTHING);
        return true;
    }
    return false;
}

void cu_remove(cu_ring *ring, int fd) {
    channel *c = find(ring, fd);
    if (!c) return;
    ring->by_descriptor[fd] = 0;
    c->live = false;
    if (c->receiving && withdraw(ring, cu_user_data(OF_RECEIVE, c))) c->receiving = false;
    if (c->polling && withdraw(ring, cu_user_data(OF_POLL, c))) c->polling = false;
    while (c->first != NO_BUFFER) {
        uint16_t next = ring->filled[c->first].next;
        cu_give_back(ring, c->first);
        c->first = next;
    }
    cu_mark_dirty(ring, c);
}

// MARK: Receiving

uint64_t cu_source(const cu_ring *ring, int fd) {
    channel *c = find(ring, fd);
    return c ? (uint64_t)c->generation << 32 | c->index : 0;
}

bool cu_is_readable(const channel *c) {
    if (!c->live || !(c->events & CK_READ)) return false;
    return c->first != NO_BUFFER || c->ended || (c->starved && !c->receiving);
}

int64_t cu_receive(void *of, uint64_t source, void *bytes, size_t count, int64_t *nanos) {
    cu_ring *ring = of;
    uint32_t index = (uint32_t)source;
    channel *c = index < ring->channel_count ? ring->channels[index] : NULL;
    if (!c || !c->live || c->generation != source >> 32) return -EBADF;
    if (c->first != NO_BUFFER) {
        filled_buffer *buffer = &ring->filled[c->first];
        size_t got = buffer->length - c->taken;
        if (got > count) got = count;
        const unsigned char *from = ring->memory + (size_t)c->first * ring->settings.buffer_bytes;
        memcpy(bytes, from + buffer->offset + c->taken, got);
        *nanos = buffer->nanos;
        c->taken += (uint32_t)got;
        if (c->taken == buffer->length) {
            uint16_t emptied = c->first;
            c->first = buffer->next;
            c->taken = 0;
            cu_give_back(ring, emptied);
        }
        return (int64_t)got;
    }
    if (c->ended) return c->error ? -c->error : 0;
    // Where no receive is in flight, the socket's next bytes are the next in order.
    if (!c->starved || c->receiving) return -EAGAIN;
    ring->counts.direct_receives++;
    int64_t got = ck_receive(c->fd, bytes, count, nanos);
    if (got == -EAGAIN) c->starved = false;
    if (got == 0 || (got < 0 && got != -EAGAIN)) {
        c->ended = true;
        c->error = (int)-got;
    }
    return got;
}

// MARK: Requests

static struct io_uring_sqe *request(cu_ring *ring) {
    struct io_uring_sqe *made = io_uring_get_sqe(&ring->io);
    if (made) return made;
    ring->counts.enters++;
    io_uring_submit(&ring->io);
    return io_uring_get_sqe(&ring->io);
}

static bool request_receive(cu_ring *ring, channel *c) {
    struct io_uring_sqe *made = request(ring);
    if (!made) return false;
    io_uring_prep_recvmsg_multishot(made, c->fd, &ring->layout, 0);
    io_uring_sqe_set_flags(made, IOSQE_BUFFER_SELECT);
    made->buf_group = BUFFER_GROUP;
    io_uring_sqe_set_data64(made, cu_user_data(OF_RECEIVE, c));
    c->receiving = true;
    c->starved = false;
    ring->counts.receives++;
    return true;
}

static bool request_poll(cu_ring *ring, channel *c) {
    struct io_uring_sqe *made = request(ring);
    if (!made) return false;
    io_uring_prep_poll_add(made, c->fd, POLLOUT);
    io_uring_sqe_set_data64(made, cu_user_data(OF_POLL, c));
    c->polling = true;
    return true;
}

static bool request_cancel(cu_ring *ring, uint64_t user_data) {
    struct io_uring_sqe *made = request(ring);
    if (!made) return false;
    io_uring_prep_cancel64(made, user_data, 0);
    io_uring_sqe_set_data64(made, OF_NOTHING);
    return true;
}

/// Whether all that this channel needs is under way.
static bool reconcile(cu_ring *ring, channel *c) {
    bool done = true;
    bool reads = c->live && (c->events & CK_READ);
    if (c->receiving && !reads && !c->receive_cancelled) {
        c->receive_cancelled = request_cancel(ring, cu_user_data(OF_RECEIVE, c));
        done &= c->receive_cancelled;
    }
    if (!c->live) {
        if (c->polling && !c->poll_cancelled) {
            c->poll_cancelled = request_cancel(ring, cu_user_data(OF_POLL, c));
            done &= c->poll_cancelled;
        }
        return done;
    }
    if (reads && !c->receiving && !c->ended) {
        if (ring->counts.buffers_held == ring->settings.buffers) {
            c->starved = true;
            cu_mark_ready(ring, c);
            done = false;
        } else {
            done &= request_receive(ring, c);
        }
    }
    if ((c->events & CK_WRITE) && !c->polling && c->polled == 0) done &= request_poll(ring, c);
    return done;
}

void cu_reconcile(cu_ring *ring) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < ring->dirty.count; i++) {
        channel *c = ring->channels[ring->dirty.items[i]];
        if (!reconcile(ring, c)) {
            ring->dirty.items[kept++] = c->index;
            continue;
        }
        c->dirty = false;
        cu_release_if_over(ring, c);
    }
    ring->dirty.count = kept;
    if (ring->waker_armed || ring->waker < 0) return;
    struct io_uring_sqe *made = request(ring);
    if (!made) return;
    io_uring_prep_poll_multishot(made, ring->waker, POLLIN);
    io_uring_sqe_set_data64(made, (uint64_t)OF_WAKER << 56);
    ring->waker_armed = true;
}
