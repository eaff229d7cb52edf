#ifndef CT_AEAD_H
#define CT_AEAD_H

#include <stddef.h>
#include <stdint.h>

/// The key of one direction of a TLS 1.3 connection (RFC 8446, sections 5.2 and 7.3): made of the traffic secret and
/// renewed in place. Nothing is allocated after it is made.
typedef struct ct_aead ct_aead;

enum { CT_AEAD_TAG = 16, CT_AEAD_NONCE = 12, CT_SECRET_MAX = 48, CT_RECORD_HEADER = 5 };

/// What opens records: the fastest that this machine has, or OpenSSL's EVP in any case.
typedef enum { CT_ENGINE_BEST, CT_ENGINE_EVP } ct_engine;

/// `suite`: 0x1301, 0x1302 or 0x1303 (AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305). NULL for any other, for a secret
/// whose size is not that of the suite's hash, and where memory is short.
ct_aead *ct_aead_new(uint16_t suite, const unsigned char *secret, size_t size, ct_engine engine);
void ct_aead_free(ct_aead *aead);
/// The next traffic secret takes the place of this one (section 7.2). 0, or -1 where OpenSSL fails: the key is unusable
/// then.
int ct_aead_renew(ct_aead *aead);
/// hot: opens `size` bytes of ciphertext and their tag into `plain`, which has `size` - CT_AEAD_TAG bytes and does not
/// overlap. 1 where they are authentic; else what was written to `plain` means nothing. `size` is at least CT_AEAD_TAG.
int ct_aead_open(ct_aead *aead, uint64_t sequence, const unsigned char header[CT_RECORD_HEADER],
                 const unsigned char *sealed, size_t size, unsigned char *plain);
/// The reverse, always by EVP; `sealed` has `size` + CT_AEAD_TAG bytes and may begin where `plain` does. 1 where it is
/// done.
int ct_aead_seal(ct_aead *aead, uint64_t sequence, const unsigned char header[CT_RECORD_HEADER],
                 const unsigned char *plain, size_t size, unsigned char *sealed);
/// "IPsec-MB" or "EVP".
const char *ct_aead_engine(const ct_aead *aead);

#endif
