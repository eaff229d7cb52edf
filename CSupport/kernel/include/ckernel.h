// The door to the kernel: every system call that a stage makes outside of libcurl and OpenSSL goes through here.
// Functions return >= 0 or -errno unless they say otherwise.
#ifndef CKERNEL_H
#define CKERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "ckernel_files.h"
#include "ckernel_spool.h"

/// Maps `size` bytes (a multiple of the page size) twice, back to back, so that offset size + n is offset n.
/// Stores the base in `*base`.
int ck_mirror_map(size_t size, void **base);
void ck_mirror_unmap(void *base, size_t size);
size_t ck_page_size(void);
/// calloc and free: large tables stay untouched zero pages until used. NULL where there is no memory.
void *ck_zeroed(size_t count, size_t size);
void ck_zeroed_free(void *memory);
/// The same in whole pages, so that what divides a cache line lies in one. To be freed with the same size.
void *ck_pages(size_t bytes);
void ck_pages_free(void *memory, size_t bytes);

static inline int64_t ck_realtime_nanos(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t ck_monotonic_nanos(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/// CPU time of this thread and of this process, nanoseconds.
int64_t ck_thread_cpu_nanos(void);
int64_t ck_process_cpu_nanos(void);
/// Resident memory of this process in bytes, or -errno.
int64_t ck_resident_bytes(void);

static inline void ck_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
/// Asks for a cache line; any address will do.
static inline void ck_prefetch(const void *address) { __builtin_prefetch(address); }
void ck_yield(void);
void ck_sleep_nanos(int64_t nanos);

/// CPUs that this process may run on: writes up to `limit` numbers, returns how many there are.
int ck_allowed_cpus(int *cpus, int limit);
int ck_pin_thread(int cpu);
/// Keeps all threads that there are, and those that they will make, off these CPUs. Returns how many CPUs are left to them;
/// 0: none would be, and nothing was changed; or -errno.
int ck_leave_cpus(const int *cpus, int count);
/// At most 15 bytes are kept.
void ck_name_thread(const char *name);

/// A thread with `entry(context)`; `*handle` is for ck_thread_join.
int ck_thread_start(void (*entry)(void *), void *context, uintptr_t *handle);
int ck_thread_join(uintptr_t handle);
/// Instead of joining: the thread ends by itself.
void ck_thread_detach(uintptr_t handle);

int ck_random(void *bytes, size_t count);

// eventfd: wakes a thread that parks in epoll or poll.
int ck_eventfd(void);
void ck_eventfd_signal(int fd);
void ck_eventfd_drain(int fd);
/// Waits until `fd` is readable or the time is over: 1, 0, or -errno (EINTR counts as 0).
int ck_wait_readable(int fd, int64_t nanos);

// epoll, level-triggered. `events`: CK_READ | CK_WRITE | CK_HANGUP.
enum { CK_READ = 1, CK_WRITE = 2, CK_HANGUP = 4 };
typedef struct {
    uint64_t token;
    uint32_t events;
} ck_event;
int ck_epoll_create(void);
int ck_epoll_add(int epoll, int fd, uint32_t events, uint64_t token);
int ck_epoll_modify(int epoll, int fd, uint32_t events, uint64_t token);
int ck_epoll_remove(int epoll, int fd);
/// At most 256 events a call. EINTR counts as 0 events. nanos < 0 waits without end.
int ck_epoll_wait(int epoll, ck_event *events, int limit, int64_t nanos);

// Sockets, always non-blocking and close-on-exec.
typedef struct {
    uint32_t length;
    uint8_t bytes[128];
} ck_address;
enum { CK_FAMILY_ANY = 0, CK_FAMILY_V4 = 2, CK_FAMILY_V6 = 10 };
/// Resolves `host` (a name or a literal) by getaddrinfo, blocking: writes up to `limit` addresses, returns how
/// many, or the negative EAI_ code (see ck_resolve_error).
int ck_resolve(const char *host, uint16_t port, ck_address *addresses, int limit);
/// The same for one family (CK_FAMILY_…). `only_literal`: names are refused, so that nothing blocks.
int ck_resolve_family(const char *host, uint16_t port, int family, int only_literal, ck_address *addresses, int limit);
const char *ck_resolve_error(int code);
/// Text form "127.0.0.1:9443" or "[::1]:9443".
int ck_address_text(const ck_address *address, char *text, size_t size);
/// What a connecting socket is told. 0 leaves the kernel's default.
typedef struct {
    /// Seconds of silence before the first probe, seconds between probes, probes without answer that end it.
    int keepalive_idle, keepalive_interval, keepalive_count;
    /// Until sent data must be acknowledged (TCP_USER_TIMEOUT), ms.
    int user_timeout;
    /// SO_BUSY_POLL, microseconds.
    int busy_poll;
    /// SO_RCVBUF, bytes; 0: the kernel tunes it.
    int receive_buffer;
    /// Where to connect from; length 0: the kernel's choice.
    ck_address local;
} ck_socket_options;
/// A connecting socket (TCP_NODELAY, receive timestamps, keep-alive), or -errno. EINPROGRESS is not an error.
/// `options` may be NULL.
int ck_connect(const ck_address *address, const ck_socket_options *options);
/// What the kernel made of the options: a receive buffer is at most net.core.rmem_max, busy polling may need
/// CAP_NET_ADMIN. `*no_delay` and `*keepalive` are 0 or 1; `local` is the address that the socket is bound to.
int ck_socket_options_of(int fd, ck_socket_options *options, int *no_delay, int *keepalive);
/// 0 once connected, the pending error as -errno otherwise.
int ck_connect_result(int fd);
/// Lets the acknowledgement of a segment wait for the next one (RFC 9293, 3.8.6.3) instead of going out from within the call
/// that takes the segment's bytes. The kernel forgets it when nothing followed for 40 ms.
void ck_delay_acknowledgements(int fd);
int ck_listen(const ck_address *address, int backlog);
uint16_t ck_local_port(int fd);
int ck_accept(int fd);
void ck_close(int fd);
int ck_set_send_buffer(int fd, int bytes);
/// Bytes read, 0 at the end of the stream, or -errno (-EAGAIN: nothing there). `*received_nanos` is the kernel's
/// software receive time of the last byte, since the epoch; where the kernel gives none, the time of the call's return.
int64_t ck_receive(int fd, void *bytes, size_t count, int64_t *received_nanos);
/// Bytes sent or -errno; never raises SIGPIPE.
int64_t ck_send(int fd, const void *bytes, size_t count);

/// Human text for an errno; thread-safe.
void ck_error_text(int code, char *text, size_t size);
/// Blocks SIGPIPE, returns a signalfd for SIGINT, SIGTERM and SIGHUP, which are blocked in all threads started later.
int ck_signal_fd(void);
/// The next signal number, 0 where none is pending.
int ck_signal_next(int fd);

#endif
