#ifndef CTLS_SIGNING_H
#define CTLS_SIGNING_H

#include <stddef.h>
#include <stdint.h>

typedef struct ct_signing_key ct_signing_key;

/// An RSA private key from PEM (PKCS#8 or PKCS#1), without a passphrase. NULL with a text in `error`, which never holds
/// anything of the key.
ct_signing_key *ct_signing_key_new(const void *pem, size_t count, char *error, size_t error_size);
void ct_signing_key_free(ct_signing_key *key);
/// Bytes that a signature takes.
size_t ct_signing_key_size(const ct_signing_key *key);
/// RSASSA-PKCS1-v1_5 with SHA-256 (RS256 of JWTs). Bytes written, or -1.
int64_t ct_sign_sha256(const ct_signing_key *key, const void *bytes, size_t count, uint8_t *signature, size_t room);

#endif
