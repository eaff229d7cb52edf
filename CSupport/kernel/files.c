#define _GNU_SOURCE
#include "ckernel_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int ck_make_directories(const char *path) {
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0) return -ENOENT;
    if (length >= sizeof part) return -ENAMETOOLONG;
    memcpy(part, path, length + 1);
    for (size_t end = 1; end <= length; end++) {
        if (part[end] != '/' && part[end] != 0) continue;
        char kept = part[end];
        part[end] = 0;
        if (mkdir(part, 0755) != 0 && errno != EEXIST) return -errno;
        part[end] = kept;
    }
    struct stat status;
    if (stat(path, &status) != 0) return -errno;
    return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

int ck_create_for_append(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : fd;
}

int64_t ck_write(int fd, const void *bytes, size_t count) {
    ssize_t written;
    do written = write(fd, bytes, count);
    while (written < 0 && errno == EINTR);
    return written < 0 ? -errno : written;
}

int ck_truncate(int fd, int64_t size) { return ftruncate(fd, size) == 0 ? 0 : -errno; }
int ck_sync_data(int fd) { return fdatasync(fd) == 0 ? 0 : -errno; }
int ck_unlink(const char *path) { return unlink(path) == 0 ? 0 : -errno; }

void ck_ignore_file_size_signal(void) { signal(SIGXFSZ, SIG_IGN); }

int64_t ck_link_count(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 ? (int64_t)status.st_nlink : -errno;
}

int ck_open_output(int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0) return -errno;
    if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (own >= 0) return own;
    }
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return own < 0 ? -errno : own;
}

int64_t ck_write_output(int fd, const void *bytes, size_t count) {
    ssize_t written = send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written >= 0 || errno != ENOTSOCK) return written < 0 ? -errno : written;
    // write() has no MSG_NOSIGNAL. A SIGPIPE that it raises is this thread's own, so it is blocked and taken off here.
    sigset_t pipe_set, before, pending;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    int was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_set, &before);
    int64_t result = ck_write(fd, bytes, count);
    if (result == -EPIPE && !was_pending) {
        struct timespec none = {0, 0};
        sigtimedwait(&pipe_set, NULL, &none);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static int wait_two(struct pollfd *fds, int64_t nanos) {
    struct timespec limit = {nanos / 1000000000, nanos % 1000000000};
    int count = ppoll(fds, 2, &limit, NULL);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    return count > 0;
}

int ck_wait_either(int readable, int writable, int64_t nanos) {
    struct pollfd fds[2] = {{.fd = readable, .events = POLLIN}, {.fd = writable, .events = POLLOUT}};
    return wait_two(fds, nanos);
}

int ck_wait_socket(int readable, int socket, int writable, int64_t nanos) {
    struct pollfd fds[2] = {
        {.fd = readable, .events = POLLIN},
        {.fd = socket, .events = (short)(writable ? POLLIN | POLLOUT : POLLIN)},
    };
    return wait_two(fds, nanos);
}

void ck_utc_text(int64_t seconds, char *text) {
    time_t time = (time_t)seconds;
    struct tm parts;
    gmtime_r(&time, &parts);
    strftime(text, 17, "%Y%m%dT%H%M%SZ", &parts);
}
