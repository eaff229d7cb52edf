#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "curing_private.h"

enum { COMPLETIONS_AT_ONCE = 256, EVENTS_AT_ONCE = 256 };

/// A receive buffer with bytes joins the channel's queue.
static void keep(cu_ring *ring, channel *c, uint16_t id, int result) {
    unsigned char *at = ring->memory + (size_t)id * ring->settings.buffer_bytes;
    struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(at, result, &ring->layout);
    uint32_t length = out ? io_uring_recvmsg_payload_length(out, result, &ring->layout) : 0;
    if (length == 0) {
        cu_give_back(ring, id);
        c->ended = true;
        c->error = out ? 0 : EPROTO;
        return;
    }
    filled_buffer *buffer = &ring->filled[id];
    buffer->offset = (uint32_t)((unsigned char *)io_uring_recvmsg_payload(out, &ring->layout) - at);
    buffer->length = length;
    buffer->next = NO_BUFFER;
    buffer->nanos = 0;
    for (struct cmsghdr *each = io_uring_recvmsg_cmsg_firsthdr(out, &ring->layout); each;
         each = io_uring_recvmsg_cmsg_nexthdr(out, &ring->layout, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_TIMESTAMPNS) continue;
        struct timespec t;
        memcpy(&t, CMSG_DATA(each), sizeof t);
        buffer->nanos = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    if (buffer->nanos == 0) buffer->nanos = ck_realtime_nanos();
    if (c->first == NO_BUFFER) c->first = id;
    else ring->filled[c->last].next = id;
    c->last = id;
}

static bool is_passing(int error) {
    return error == ENOBUFS || error == ECANCELED || error == EAGAIN || error == EINTR || error == ENOMEM;
}

static void received(cu_ring *ring, channel *c, int result, unsigned flags) {
    if (!(flags & IORING_CQE_F_MORE)) {
        // Ended by the peer, by us, for want of buffers or of room in the completion queue: it is asked for anew where
        // it is still wanted.
        c->receiving = c->receive_cancelled = false;
        cu_mark_dirty(ring, c);
        if (result == -ENOBUFS) ring->counts.shortages++;
    }
    if (flags & IORING_CQE_F_BUFFER) {
        uint16_t id = (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);
        ring->counts.buffers_held++;
        if (c->live && result >= 0) keep(ring, c, id, result);
        else cu_give_back(ring, id);
    } else if (result >= 0 || !is_passing(-result)) {
        c->ended = true;
        c->error = result < 0 ? -result : 0;
    }
    if (cu_is_readable(c)) cu_mark_ready(ring, c);
}

static void polled(cu_ring *ring, channel *c, int result) {
    c->polling = c->poll_cancelled = false;
    cu_mark_dirty(ring, c);
    if (!c->live || !(c->events & CK_WRITE) || result == -ECANCELED) return;
    c->polled = result < 0 ? CK_HANGUP
                           : ((result & POLLOUT) ? CK_WRITE : 0) | ((result & (POLLERR | POLLHUP)) ? CK_HANGUP : 0);
    cu_mark_ready(ring, c);
}

static void take(cu_ring *ring, const struct io_uring_cqe *done) {
    ring->counts.completions++;
    int kind = (int)(done->user_data >> 56);
    if (kind == OF_NOTHING) return;
    if (kind == OF_WAKER) {
        ring->waker_armed = done->flags & IORING_CQE_F_MORE;
        return;
    }
    channel *c = ring->channels[(uint32_t)done->user_data];
    if (kind == OF_RECEIVE) received(ring, c, done->res, done->flags);
    else polled(ring, c, done->res);
}

static void harvest(cu_ring *ring) {
    struct io_uring_cqe *done;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&ring->io, head, done) {
        if (count == COMPLETIONS_AT_ONCE) break;
        take(ring, done);
        count++;
    }
    io_uring_cq_advance(&ring->io, count);
}

static uint32_t events_of(const channel *c) {
    if (!c->live) return 0;
    return c->polled | (cu_is_readable(c) ? CK_READ | (c->ended ? CK_HANGUP : 0) : 0);
}

/// Members of the ready list that have nothing to say any more leave it.
static void prune(cu_ring *ring) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < ring->ready.count; i++) {
        channel *c = ring->channels[ring->ready.items[i]];
        if (events_of(c) != 0) {
            ring->ready.items[kept++] = c->index;
            continue;
        }
        c->ready = false;
        cu_release_if_over(ring, c);
    }
    ring->ready.count = kept;
}

/// Those that had no room come first the next time: the first `count` members go behind the others.
static void rotate(cu_ring *ring, uint32_t count) {
    uint32_t first[EVENTS_AT_ONCE], *items = ring->ready.items, rest = ring->ready.count - count;
    memcpy(first, items, count * sizeof *items);
    memmove(items, items + count, rest * sizeof *items);
    memcpy(items + rest, first, count * sizeof *items);
}

static int report(cu_ring *ring, ck_event *events, int limit) {
    int count = 0;
    uint32_t at = 0;
    if (limit > EVENTS_AT_ONCE) limit = EVENTS_AT_ONCE;
    // The list was pruned before completions joined it: a member without events is a closed one.
    for (; at < ring->ready.count && at < EVENTS_AT_ONCE && count < limit; at++) {
        channel *c = ring->channels[ring->ready.items[at]];
        uint32_t found = events_of(c);
        if (found == 0) continue;
        events[count++] = (ck_event){.token = c->token, .events = found};
        // Asked for anew with the next wait, if it is still wanted.
        if (c->polled) cu_mark_dirty(ring, c);
        c->polled = 0;
    }
    if (at < ring->ready.count) rotate(ring, at);
    return count;
}

static void enter(cu_ring *ring, int64_t nanos) {
    ring->counts.enters++;
    if (nanos == 0) {
        io_uring_submit_and_get_events(&ring->io);
        return;
    }
    struct __kernel_timespec limit = {.tv_sec = nanos / 1000000000, .tv_nsec = nanos % 1000000000};
    struct io_uring_cqe *ignored;
    // Interrupted, timed out, or refused because completions wait: what is there is taken in any case.
    io_uring_submit_and_wait_timeout(&ring->io, &ignored, 1, nanos < 0 ? NULL : &limit, NULL);
}

int cu_wait(cu_ring *ring, ck_event *events, int limit, int64_t nanos) {
    cu_reconcile(ring);
    prune(ring);
    bool has_completions = io_uring_cq_ready(&ring->io) > 0;
    unsigned told = IO_URING_READ_ONCE(*ring->io.sq.kflags);
    if (told & IORING_SQ_CQ_OVERFLOW) ring->counts.overflows++;
    if (nanos != 0 && !has_completions && ring->ready.count == 0) {
        enter(ring, nanos);
    } else if (io_uring_sq_ready(&ring->io) > 0 ||
               (!has_completions && (told & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)))) {
        enter(ring, 0);
    }
    harvest(ring);
    return report(ring, events, limit);
}
