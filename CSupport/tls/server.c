#define _GNU_SOURCE
#include "ctls_server.h"
#include "secrets.h"

#include <ckernel.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_LIMIT = 16384, OUTPUT_FIRST = 1 << 18 };

struct ct_server_context {
    SSL_CTX *ssl;
    BIO_METHOD *method;
};

struct ct_server {
    SSL *ssl;
    int fd;
    int socket_error;
    // Bytes of a forged record that OpenSSL was given; -1: none is forged.
    int forged;
    // Records wait in [output_start, output_end) until one send takes many of them.
    unsigned char *output;
    size_t output_start, output_end, output_size;
    unsigned char secret[CT_SECRET_MAX];
    size_t secret_size;
    char error[256];
};

static int bio_read(BIO *bio, char *bytes, int count) {
    ct_server *server = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (server->forged >= 0) {
        // Application data of 32 zero bytes, and zeros for ever where another record had begun.
        static const char header[] = {0x17, 0x03, 0x03, 0x00, 0x20};
        for (int index = 0; index < count; index++, server->forged++) {
            bytes[index] = server->forged < (int)sizeof header ? header[server->forged] : 0;
        }
        return count;
    }
    int64_t received_nanos;
    int64_t got = ck_receive(server->fd, bytes, (size_t)count, &received_nanos);
    if (got >= 0) {
        if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
        return (int)got;
    }
    if (got == -EAGAIN) BIO_set_retry_read(bio);
    else server->socket_error = (int)-got;
    return -1;
}

/// Whether the bytes were queued.
static int append(ct_server *server, const void *bytes, size_t added) {
    if (server->output_end + added > server->output_size) {
        size_t waiting = server->output_end - server->output_start;
        size_t size = server->output_size ? server->output_size : OUTPUT_FIRST;
        while (size < waiting + added) size *= 2;
        if (size == server->output_size) {
            memmove(server->output, server->output + server->output_start, waiting);
        } else {
            unsigned char *larger = malloc(size);
            if (!larger) {
                server->socket_error = ENOMEM;
                return 0;
            }
            if (waiting) memcpy(larger, server->output + server->output_start, waiting);
            free(server->output);
            server->output = larger;
            server->output_size = size;
        }
        server->output_start = 0;
        server->output_end = waiting;
    }
    memcpy(server->output + server->output_end, bytes, added);
    server->output_end += added;
    return 1;
}

static int bio_write(BIO *bio, const char *bytes, int count) {
    ct_server *server = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    return append(server, bytes, (size_t)count) ? count : -1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_FLUSH) return 1;
    if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return 0;
}

static void describe_failure(char *text, size_t size, const char *what) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(text, size, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
}

ct_server_context *ct_server_context_new(const char *certificate_file, const char *key_file, char *error,
                                         size_t error_size) {
    ERR_clear_error();
    ct_server_context *context = calloc(1, sizeof *context);
    if (!context) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    context->ssl = SSL_CTX_new(TLS_server_method());
    context->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "output");
    if (!context->ssl || !context->method) {
        describe_failure(error, error_size, "OpenSSL did not start");
        ct_server_context_free(context);
        return NULL;
    }
    BIO_meth_set_read(context->method, bio_read);
    BIO_meth_set_write(context->method, bio_write);
    BIO_meth_set_ctrl(context->method, bio_control);
    SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(context->ssl,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context->ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // 128 bits first: it costs the least, and it is what large hosts choose.
    SSL_CTX_set_ciphersuites(context->ssl,
                             "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
    if (SSL_CTX_use_certificate_chain_file(context->ssl, certificate_file) != 1) {
        char what[512];
        snprintf(what, sizeof what, "certificate %s could not be read", certificate_file);
        describe_failure(error, error_size, what);
        ct_server_context_free(context);
        return NULL;
    }
    if (SSL_CTX_use_PrivateKey_file(context->ssl, key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context->ssl) != 1) {
        char what[512];
        snprintf(what, sizeof what, "key %s could not be read or is not the certificate's", key_file);
        describe_failure(error, error_size, what);
        ct_server_context_free(context);
        return NULL;
    }
    return context;
}

void ct_server_context_free(ct_server_context *context) {
    if (!context) return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->method);
    free(context);
}

void ct_server_context_set_maximum(ct_server_context *context, int version) {
    SSL_CTX_set_max_proto_version(context->ssl, version >= 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
}

int ct_server_context_set_suites(ct_server_context *context, const char *suites) {
    int result = SSL_CTX_set_ciphersuites(context->ssl, suites);
    ERR_clear_error();
    return result == 1 ? 0 : CT_FAILED;
}

void ct_server_context_set_tickets(ct_server_context *context, int count) {
    SSL_CTX_set_num_tickets(context->ssl, (size_t)count);
}

static void note_secret(const SSL *ssl, const char *line) {
    ct_server *server = SSL_get_app_data(ssl);
    if (server) ct_secret_note(line, server->secret, &server->secret_size);
}

void ct_server_context_tell_secrets(ct_server_context *context) {
    SSL_CTX_set_keylog_callback(context->ssl, note_secret);
}

ct_server *ct_server_new(ct_server_context *context, int fd) {
    ERR_clear_error();
    ct_server *server = calloc(1, sizeof *server);
    if (!server) return NULL;
    server->fd = fd;
    server->forged = -1;
    server->ssl = SSL_new(context->ssl);
    BIO *bio = BIO_new(context->method);
    if (!server->ssl || !bio) {
        BIO_free(bio);
        SSL_free(server->ssl);
        free(server);
        return NULL;
    }
    BIO_set_data(bio, server);
    BIO_set_init(bio, 1);
    SSL_set_bio(server->ssl, bio, bio);
    SSL_set_accept_state(server->ssl);
    SSL_set_app_data(server->ssl, server);
    return server;
}

void ct_server_free(ct_server *server) {
    if (!server) return;
    SSL_free(server->ssl);
    free(server->output);
    free(server);
}

static int64_t failure(ct_server *server, int result) {
    switch (SSL_get_error(server->ssl, result)) {
    case SSL_ERROR_WANT_READ: return CT_WANT_READ;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: break;
    }
    unsigned long code = ERR_peek_last_error();
    if (server->socket_error != 0) {
        ck_error_text(server->socket_error, server->error, sizeof server->error);
    } else if (code != 0 && ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        describe_failure(server->error, sizeof server->error, "TLS");
    } else {
        snprintf(server->error, sizeof server->error, "connection ended without TLS close");
    }
    ERR_clear_error();
    return CT_FAILED;
}

int ct_server_handshake(ct_server *server) {
    ERR_clear_error();
    int result = SSL_do_handshake(server->ssl);
    if (result == 1) return 0;
    int64_t why = failure(server, result);
    if (why != 0) return (int)why;
    snprintf(server->error, sizeof server->error, "peer closed during the handshake");
    return CT_FAILED;
}

int64_t ct_server_read(ct_server *server, void *bytes, size_t count) {
    ERR_clear_error();
    size_t got = 0;
    int result = SSL_read_ex(server->ssl, bytes, count, &got);
    return result == 1 ? (int64_t)got : failure(server, result);
}

static int write_record(ct_server *server, const unsigned char *bytes, size_t count) {
    size_t sent = 0;
    int result = SSL_write_ex(server->ssl, bytes, count, &sent);
    if (result == 1) return 0;
    // The BIO takes everything: even "want" is a fault here.
    if (failure(server, result) != CT_FAILED) snprintf(server->error, sizeof server->error, "TLS write was refused");
    return CT_FAILED;
}

int ct_server_write(ct_server *server, const void *bytes, size_t count) {
    ERR_clear_error();
    const unsigned char *at = bytes;
    while (count > 0) {
        size_t part = count < RECORD_LIMIT ? count : RECORD_LIMIT;
        if (write_record(server, at, part) != 0) return CT_FAILED;
        at += part;
        count -= part;
    }
    return 0;
}

static size_t frame_length(const unsigned char *at, size_t count) {
    if (count < 2) return count;
    uint64_t length = at[1] & 0x7F;
    size_t header = 2;
    if (length == 126) {
        header = 4;
        if (count < header) return count;
        length = (uint64_t)at[2] << 8 | at[3];
    } else if (length == 127) {
        header = 10;
        if (count < header) return count;
        length = 0;
        for (int i = 2; i < 10; i++) length = length << 8 | at[i];
    }
    return length > count - header ? count : header + (size_t)length;
}

int ct_server_write_frames(ct_server *server, const void *bytes, size_t count) {
    ERR_clear_error();
    const unsigned char *at = bytes;
    while (count > 0) {
        size_t part = frame_length(at, count);
        if (part > RECORD_LIMIT ? ct_server_write(server, at, part) : write_record(server, at, part)) return CT_FAILED;
        at += part;
        count -= part;
    }
    return 0;
}

void ct_server_shutdown(ct_server *server) {
    ERR_clear_error();
    if (!SSL_in_init(server->ssl)) SSL_shutdown(server->ssl);
    ERR_clear_error();
}

int ct_server_alert(ct_server *server) {
    if (SSL_in_init(server->ssl)) return CT_FAILED;
    size_t before = ct_server_unsent(server);
    server->forged = 0;
    char byte;
    ct_server_read(server, &byte, 1);
    server->forged = -1;
    return ct_server_unsent(server) > before ? 0 : CT_FAILED;
}

int ct_server_ticket(ct_server *server) {
    ERR_clear_error();
    int result = SSL_new_session_ticket(server->ssl);
    ERR_clear_error();
    return result == 1 ? 0 : CT_FAILED;
}

int ct_server_update_key(ct_server *server, int asks) {
    ERR_clear_error();
    if (SSL_key_update(server->ssl, asks ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) != 1) {
        describe_failure(server->error, sizeof server->error, "no key update");
        return CT_FAILED;
    }
    return ct_server_handshake(server);
}

void ct_server_pad(ct_server *server, size_t block) { SSL_set_block_padding(server->ssl, block); }

int ct_server_write_raw(ct_server *server, const void *bytes, size_t count) {
    return append(server, bytes, count) ? 0 : CT_FAILED;
}

size_t ct_server_secret(const ct_server *server, uint8_t secret[48], uint16_t *suite) {
    const SSL_CIPHER *cipher = SSL_get_current_cipher(server->ssl);
    if (!cipher || server->secret_size == 0) return 0;
    *suite = SSL_CIPHER_get_protocol_id(cipher);
    memcpy(secret, server->secret, server->secret_size);
    return server->secret_size;
}

int64_t ct_server_flush(ct_server *server) { return ct_server_flush_some(server, SIZE_MAX); }

int64_t ct_server_flush_some(ct_server *server, size_t most) {
    while (most > 0 && server->output_start < server->output_end) {
        size_t count = server->output_end - server->output_start;
        int64_t sent = ck_send(server->fd, server->output + server->output_start, count < most ? count : most);
        if (sent == -EAGAIN) break;
        if (sent < 0) {
            ck_error_text((int)-sent, server->error, sizeof server->error);
            return CT_FAILED;
        }
        server->output_start += (size_t)sent;
        most -= (size_t)sent;
    }
    if (server->output_start == server->output_end) server->output_start = server->output_end = 0;
    return (int64_t)(server->output_end - server->output_start);
}

size_t ct_server_unsent(const ct_server *server) { return server->output_end - server->output_start; }
const char *ct_server_error(const ct_server *server) { return server->error; }
