#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "curing_private.h"

static size_t buffer_ring_bytes(const cu_ring *ring) { return ring->settings.buffers * sizeof(struct io_uring_buf); }

static size_t memory_bytes(const cu_ring *ring) {
    return (size_t)ring->settings.buffers * ring->settings.buffer_bytes;
}

static void *map(size_t size) {
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

void cu_give_back(cu_ring *ring, uint16_t buffer) {
    unsigned char *at = ring->memory + (size_t)buffer * ring->settings.buffer_bytes;
    io_uring_buf_ring_add(ring->buffer_ring, at, ring->settings.buffer_bytes, buffer,
                          io_uring_buf_ring_mask(ring->settings.buffers), 0);
    io_uring_buf_ring_advance(ring->buffer_ring, 1);
    ring->counts.buffers_held--;
}

static int set_up_ring(cu_ring *ring) {
    // Best first: completions are posted only when this thread asks for them, and a flag in shared memory tells when
    // that is worth while (Linux 6.1). Then: no interrupts of this thread (5.19).
    const unsigned modes[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    };
    int error = -EINVAL;
    for (size_t i = ring->settings.eager ? 1 : 0; i < sizeof modes / sizeof *modes && error == -EINVAL; i++) {
        struct io_uring_params parameters = {
            .flags = modes[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP, .cq_entries = ring->settings.completions};
        error = io_uring_queue_init_params(ring->settings.submissions, &ring->io, &parameters);
        ring->counts.defers = i == 0;
    }
    if (error < 0) return error;
    ring->has_ring = true;
    const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE;
    return (ring->io.features & needed) == needed ? 0 : -EOPNOTSUPP;
}

static int set_up_buffers(cu_ring *ring) {
    ring->buffer_ring = map(buffer_ring_bytes(ring));
    ring->memory = map(memory_bytes(ring));
    ring->filled = calloc(ring->settings.buffers, sizeof *ring->filled);
    if (!ring->buffer_ring || !ring->memory || !ring->filled) return -ENOMEM;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)ring->buffer_ring, .ring_entries = ring->settings.buffers, .bgid = BUFFER_GROUP};
    int error = io_uring_register_buf_ring(&ring->io, &registration, 0);
    if (error < 0) return error;
    io_uring_buf_ring_init(ring->buffer_ring);
    ring->has_buffers = true;
    ring->counts.buffers_held = ring->settings.buffers;
    for (uint32_t i = 0; i < ring->settings.buffers; i++) cu_give_back(ring, (uint16_t)i);
    return 0;
}

static void free_memory(cu_ring *ring) {
    if (ring->has_ring) io_uring_queue_exit(&ring->io);
    for (uint32_t i = 0; i < ring->channel_count; i++) free(ring->channels[i]);
    free(ring->channels);
    free(ring->free.items);
    free(ring->dirty.items);
    free(ring->ready.items);
    free(ring->by_descriptor);
    free(ring->filled);
    if (ring->buffer_ring) munmap(ring->buffer_ring, buffer_ring_bytes(ring));
    if (ring->memory) munmap(ring->memory, memory_bytes(ring));
    free(ring);
}

cu_ring *cu_ring_new(cu_settings settings, int waker, cu_failure *failure) {
    cu_ring *ring = calloc(1, sizeof *ring);
    if (!ring) {
        *failure = (cu_failure){"making a ring", ENOMEM};
        return NULL;
    }
    ring->settings = (cu_settings){
        .submissions = settings.submissions ? settings.submissions : 256,
        .completions = settings.completions ? settings.completions : 2048,
        .buffers = settings.buffers ? settings.buffers : 256,
        .buffer_bytes = settings.buffer_bytes ? settings.buffer_bytes : 16384,
        .eager = settings.eager,
    };
    ring->waker = waker;
    ring->layout.msg_controllen = CMSG_SPACE(sizeof(struct timespec));
    const char *step = "making a ring";
    int error = set_up_ring(ring);
    if (error >= 0) {
        step = "registering receive buffers";
        error = set_up_buffers(ring);
    }
    if (error >= 0) return ring;
    *failure = (cu_failure){step, -error};
    free_memory(ring);
    return NULL;
}

void cu_ring_free(cu_ring *ring) {
    if (!ring) return;
    for (uint32_t i = 0; i < ring->channel_count; i++)
        if (ring->channels[i]->live) cu_remove(ring, ring->channels[i]->fd);
    // A request that is still under way could write into memory that is given back: wait, a second at most, then
    // rather keep the memory.
    ck_event ignored[1];
    for (int i = 0; i < 100 && ring->counts.channels > 0; i++) cu_wait(ring, ignored, 1, 10000000);
    if (ring->counts.channels > 0) {
        io_uring_queue_exit(&ring->io);
        return;
    }
    free_memory(ring);
}

cu_counts cu_ring_counts(const cu_ring *ring) { return ring->counts; }
