#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "ckernel.h"

int ck_eventfd(void) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void ck_eventfd_signal(int fd) {
    uint64_t one = 1;
    // A full counter means that a wake-up is already pending.
    ssize_t ignored = write(fd, &one, sizeof one);
    (void)ignored;
}

void ck_eventfd_drain(int fd) {
    uint64_t count;
    ssize_t ignored = read(fd, &count, sizeof count);
    (void)ignored;
}

int ck_epoll_create(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static uint32_t to_epoll(uint32_t events) {
    return ((events & CK_READ) ? EPOLLIN | EPOLLRDHUP : 0) | ((events & CK_WRITE) ? EPOLLOUT : 0);
}

static int control(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = to_epoll(events), .data.u64 = token};
    return epoll_ctl(epoll, operation, fd, &event) == 0 ? 0 : -errno;
}

int ck_epoll_add(int epoll, int fd, uint32_t events, uint64_t token) {
    return control(epoll, EPOLL_CTL_ADD, fd, events, token);
}

int ck_epoll_modify(int epoll, int fd, uint32_t events, uint64_t token) {
    return control(epoll, EPOLL_CTL_MOD, fd, events, token);
}

int ck_epoll_remove(int epoll, int fd) { return control(epoll, EPOLL_CTL_DEL, fd, 0, 0); }

int ck_epoll_wait(int epoll, ck_event *events, int limit, int64_t nanos) {
    struct epoll_event ready[256];
    if (limit > 256) limit = 256;
    int count;
    if (nanos == 0) {
        count = epoll_wait(epoll, ready, limit, 0);
    } else if (nanos < 0) {
        count = epoll_wait(epoll, ready, limit, -1);
    } else {
        struct timespec t = {nanos / 1000000000, nanos % 1000000000};
        count = epoll_pwait2(epoll, ready, limit, &t, NULL);
    }
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        uint32_t got = ready[i].events;
        events[i].token = ready[i].data.u64;
        events[i].events = ((got & EPOLLIN) ? CK_READ : 0) | ((got & EPOLLOUT) ? CK_WRITE : 0) |
                           ((got & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) ? CK_HANGUP : 0);
    }
    return count;
}

int ck_signal_fd(void) {
    signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) return -errno;
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int ck_signal_next(int fd) {
    struct signalfd_siginfo info;
    ssize_t count = read(fd, &info, sizeof info);
    return count == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}
