#include "curing.h"

#include <errno.h>
#include <liburing.h>

int cu_probe(void) {
    struct io_uring ring;
    int error = io_uring_queue_init(4, &ring, 0);
    if (error < 0) return error;
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    if (!entry) {
        io_uring_queue_exit(&ring);
        return -EAGAIN;
    }
    io_uring_prep_nop(entry);
    error = io_uring_submit(&ring);
    struct io_uring_cqe *done = NULL;
    if (error >= 0) error = io_uring_wait_cqe(&ring, &done);
    if (error >= 0) {
        error = done->res;
        io_uring_cqe_seen(&ring, done);
    }
    io_uring_queue_exit(&ring);
    return error < 0 ? error : 0;
}
