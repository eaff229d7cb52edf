#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/net_tstamp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ckernel.h"

_Static_assert(CK_FAMILY_ANY == AF_UNSPEC && CK_FAMILY_V4 == AF_INET && CK_FAMILY_V6 == AF_INET6, "families");

int ck_resolve(const char *host, uint16_t port, ck_address *addresses, int limit) {
    return ck_resolve_family(host, port, CK_FAMILY_ANY, 0, addresses, limit);
}

int ck_resolve_family(const char *host, uint16_t port, int family, int only_literal, ck_address *addresses, int limit) {
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_family = family,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV | (only_literal ? AI_NUMERICHOST : 0)};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, service, &hints, &found);
    // The EAI_ codes are negative in glibc.
    if (error != 0) return error < 0 ? error : -error;
    int count = 0;
    for (struct addrinfo *each = found; each && count < limit; each = each->ai_next) {
        if (each->ai_addrlen > sizeof addresses[count].bytes) continue;
        addresses[count].length = each->ai_addrlen;
        memcpy(addresses[count].bytes, each->ai_addr, each->ai_addrlen);
        count++;
    }
    freeaddrinfo(found);
    return count > 0 ? count : EAI_NONAME;
}

const char *ck_resolve_error(int code) { return gai_strerror(code); }

int ck_address_text(const ck_address *address, char *text, size_t size) {
    char host[64], port[8];
    int error = getnameinfo((const struct sockaddr *)address->bytes, address->length, host, sizeof host, port,
                            sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    if (error != 0) return -EINVAL;
    return snprintf(text, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static void set_option(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

// Options of value 0 are left alone. A refused one is no reason to go without the connection: see
// ck_socket_options_of.
static void set_options(int fd, const ck_socket_options *options) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    if (!options) return;
    if (options->keepalive_idle > 0) set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, options->keepalive_idle);
    if (options->keepalive_interval > 0) set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, options->keepalive_interval);
    if (options->keepalive_count > 0) set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, options->keepalive_count);
    if (options->user_timeout > 0) set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options->user_timeout);
    if (options->busy_poll > 0) set_option(fd, SOL_SOCKET, SO_BUSY_POLL, options->busy_poll);
    // Before connecting: the window's scale is agreed on then.
    if (options->receive_buffer > 0) set_option(fd, SOL_SOCKET, SO_RCVBUF, options->receive_buffer);
}

int ck_connect(const ck_address *address, const ck_socket_options *options) {
    const struct sockaddr *to = (const struct sockaddr *)address->bytes;
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    set_options(fd, options);
    int result = 0;
    if (options && options->local.length > 0) {
        // The port is chosen when connecting, so that one port may serve several peers.
        set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        result = bind(fd, (const struct sockaddr *)options->local.bytes, options->local.length);
    }
    if (result == 0) result = connect(fd, to, address->length);
    if (result != 0 && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static int option(int fd, int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, level, name, &value, &size) == 0 ? value : 0;
}

int ck_socket_options_of(int fd, ck_socket_options *options, int *no_delay, int *keepalive) {
    struct sockaddr_storage local;
    socklen_t size = sizeof local;
    if (getsockname(fd, (struct sockaddr *)&local, &size) != 0) return -errno;
    *options = (ck_socket_options){
        .keepalive_idle = option(fd, IPPROTO_TCP, TCP_KEEPIDLE),
        .keepalive_interval = option(fd, IPPROTO_TCP, TCP_KEEPINTVL),
        .keepalive_count = option(fd, IPPROTO_TCP, TCP_KEEPCNT),
        .user_timeout = option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT),
        .busy_poll = option(fd, SOL_SOCKET, SO_BUSY_POLL),
        // The kernel doubles what it is told, for its own bookkeeping: socket(7).
        .receive_buffer = option(fd, SOL_SOCKET, SO_RCVBUF) / 2,
        .local = {.length = size},
    };
    memcpy(options->local.bytes, &local, size < sizeof options->local.bytes ? size : sizeof options->local.bytes);
    *no_delay = option(fd, IPPROTO_TCP, TCP_NODELAY) != 0;
    *keepalive = option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0;
    return 0;
}

void ck_delay_acknowledgements(int fd) { set_option(fd, IPPROTO_TCP, TCP_QUICKACK, 0); }

int ck_connect_result(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return -errno;
    return -error;
}

int ck_listen(const ck_address *address, int backlog) {
    const struct sockaddr *at = (const struct sockaddr *)address->bytes;
    int fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, at, address->length) != 0 || listen(fd, backlog) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

uint16_t ck_local_port(int fd) {
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &size) != 0) return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

int ck_accept(int fd) {
    int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) return -errno;
    set_option(client, IPPROTO_TCP, TCP_NODELAY, 1);
    return client;
}

void ck_close(int fd) { close(fd); }

int ck_set_send_buffer(int fd, int bytes) {
    return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0 ? 0 : -errno;
}

int64_t ck_receive(int fd, void *bytes, size_t count, int64_t *received_nanos) {
    struct iovec part = {.iov_base = bytes, .iov_len = count};
    char control[CMSG_SPACE(sizeof(struct timespec)) * 2];
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got;
    do got = recvmsg(fd, &message, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
        if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(each), sizeof t);
            *received_nanos = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
            return got;
        }
    }
    *received_nanos = ck_realtime_nanos();
    return got;
}

int64_t ck_send(int fd, const void *bytes, size_t count) {
    ssize_t sent;
    do sent = send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}
