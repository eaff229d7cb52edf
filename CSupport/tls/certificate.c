#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctls_server.h"

enum { DAY = 86400 };

static int add_extension(X509 *certificate, X509 *issuer, int kind, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    int added = extension && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return added;
}

static X509 *new_certificate(EVP_PKEY *key, const char *name, X509 *issuer, long from, long until) {
    X509 *certificate = X509_new();
    if (!certificate) return NULL;
    uint64_t serial = 0;
    X509_NAME *subject = X509_get_subject_name(certificate);
    int made = RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 && X509_set_version(certificate, 2) &&
               ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1 | 1) &&
               X509_gmtime_adj(X509_getm_notBefore(certificate), from) &&
               X509_gmtime_adj(X509_getm_notAfter(certificate), until) && X509_set_pubkey(certificate, key) &&
               X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) &&
               X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : subject);
    if (made) return certificate;
    X509_free(certificate);
    return NULL;
}

static int add_names(X509 *certificate, const char *const *names, int count) {
    GENERAL_NAMES *all = GENERAL_NAMES_new();
    int added = all != NULL;
    for (int i = 0; added && i < count; i++) {
        unsigned char address[16];
        int is_address = inet_pton(AF_INET, names[i], address) == 1 || inet_pton(AF_INET6, names[i], address) == 1;
        GENERAL_NAME *name = a2i_GENERAL_NAME(NULL, NULL, NULL, is_address ? GEN_IPADD : GEN_DNS, names[i], 0);
        added = name && sk_GENERAL_NAME_push(all, name) > 0;
        if (!added) GENERAL_NAME_free(name);
    }
    added = added && X509_add1_ext_i2d(certificate, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(all);
    return added;
}

static FILE *create(const char *directory, const char *name, int mode, char *error, size_t error_size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    // A new file each time: an old one may have a wider mode, or be somebody's link.
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file) {
        snprintf(error, error_size, "%s could not be written: %s", path, strerror(errno));
        if (fd >= 0) close(fd);
    }
    return file;
}

static int finish(FILE *file, int written, const char *name, char *error, size_t error_size) {
    int closed = fclose(file) == 0;
    if (written && closed) return 0;
    snprintf(error, error_size, "%s could not be written: %s", name, strerror(errno));
    return CT_FAILED;
}

static int write_files(const char *directory, X509 *authority, X509 *server, EVP_PKEY *key, char *error,
                       size_t error_size) {
    FILE *file = create(directory, "ca.pem", 0644, error, error_size);
    if (!file) return CT_FAILED;
    if (finish(file, PEM_write_X509(file, authority), "ca.pem", error, error_size)) return CT_FAILED;
    file = create(directory, "server.pem", 0644, error, error_size);
    if (!file) return CT_FAILED;
    if (finish(file, PEM_write_X509(file, server), "server.pem", error, error_size)) return CT_FAILED;
    file = create(directory, "server-key.pem", 0600, error, error_size);
    if (!file) return CT_FAILED;
    int written = PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    return finish(file, written, "server-key.pem", error, error_size);
}

int ct_certificate_write(const char *directory, const char *const *names, int name_count, int expired, char *error,
                         size_t error_size) {
    ERR_clear_error();
    error[0] = 0;
    long from = expired ? -10L * DAY : -DAY, until = expired ? -DAY : 825L * DAY;
    int result = CT_FAILED;
    X509 *authority = NULL, *server = NULL;
    EVP_PKEY *authority_key = EVP_EC_gen("P-256"), *server_key = EVP_EC_gen("P-256");
    if (name_count < 1) {
        snprintf(error, error_size, "a certificate needs at least one name");
        goto end;
    }
    if (!authority_key || !server_key) goto end;
    // The authority outlives what it signs, so that an expired test certificate is refused for its own date.
    authority = new_certificate(authority_key, "feed-replayer test authority", NULL, -20L * DAY, 3650L * DAY);
    if (!authority || !add_extension(authority, authority, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(authority, authority, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(authority, authority, NID_subject_key_identifier, "hash") ||
        !X509_sign(authority, authority_key, EVP_sha256()))
        goto end;
    server = new_certificate(server_key, "feed-replayer", authority, from, until);
    if (!server || !add_extension(server, authority, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(server, authority, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(server, authority, NID_ext_key_usage, "serverAuth") ||
        !add_extension(server, authority, NID_subject_key_identifier, "hash") ||
        !add_extension(server, authority, NID_authority_key_identifier, "keyid") ||
        !add_names(server, names, name_count) || !X509_sign(server, authority_key, EVP_sha256()))
        goto end;
    result = write_files(directory, authority, server, server_key, error, error_size);
end:
    if (result != 0 && error[0] == 0) {
        unsigned long code = ERR_peek_last_error();
        const char *reason = code ? ERR_reason_error_string(code) : NULL;
        snprintf(error, error_size, "the certificate could not be made: %s", reason ? reason : "out of memory");
    }
    ERR_clear_error();
    X509_free(server);
    X509_free(authority);
    EVP_PKEY_free(server_key);
    EVP_PKEY_free(authority_key);
    return result;
}
