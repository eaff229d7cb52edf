// Files and output streams, for the sinks. Functions return >= 0 or -errno unless they say otherwise.
#ifndef CKERNEL_FILES_H
#define CKERNEL_FILES_H

#include <stddef.h>
#include <stdint.h>

/// Makes a directory and those above it; one that is there already is fine.
int ck_make_directories(const char *path);
/// A new file for appending, mode 0644; -EEXIST where the name is taken.
int ck_create_for_append(const char *path);
/// Bytes written, possibly fewer than asked for.
int64_t ck_write(int fd, const void *bytes, size_t count);
int ck_truncate(int fd, int64_t size);
int ck_sync_data(int fd);
int ck_unlink(const char *path);
/// From now on a write beyond the limit of file sizes (ulimit -f) fails with EFBIG and does not end the process.
void ck_ignore_file_size_signal(void);
/// Number of names that the open file has; 0: it was deleted.
int64_t ck_link_count(int fd);

/// A descriptor of standard output's target that never blocks its writer, to be closed by the caller. Pipes and
/// terminals are opened anew, because O_NONBLOCK on the inherited descriptor would change it for every other process
/// that shares it; where that fails, and for files, it is a duplicate.
int ck_open_output(int fd);
/// Like ck_write; -EAGAIN rather than blocking on a socket as well. Never raises SIGPIPE.
int64_t ck_write_output(int fd, const void *bytes, size_t count);
/// Waits until `readable` is readable, or `writable` (-1: none) writable, or the time is over: 1, 1, 0, or -errno.
int ck_wait_either(int readable, int writable, int64_t nanos);
/// Waits until `readable` or `socket` (-1: none) is readable, or, where `writable` is not 0, `socket` is writable.
int ck_wait_socket(int readable, int socket, int writable, int64_t nanos);

/// "20261122T173000Z" of a time in seconds since the epoch; `text` has room for 17 bytes.
void ck_utc_text(int64_t seconds, char *text);

#endif
