#ifndef CT_MULTIBUFFER_H
#define CT_MULTIBUFFER_H

#include <stddef.h>

/// AES-GCM of Intel's library IPsec-MB, which costs a fraction of EVP's for small records. It exists for x86-64 alone,
/// so it is looked for when the process runs; it is not needed.
typedef struct ct_multibuffer ct_multibuffer;

/// Whether it can be used: it is installed, of the version that this was built with, passes its own test, and finds the
/// AES instructions of this CPU.
int ct_multibuffer_is_there(void);
/// A key schedule for a key of 16 or 32 bytes; NULL where the library is not there or memory is short.
ct_multibuffer *ct_multibuffer_new(size_t key_size);
void ct_multibuffer_free(ct_multibuffer *gcm);
void ct_multibuffer_set_key(ct_multibuffer *gcm, const unsigned char *key);
/// hot: the plaintext of `size` bytes, and their tag as it should be (16 bytes).
void ct_multibuffer_open(ct_multibuffer *gcm, const unsigned char nonce[12], const unsigned char *header,
                         size_t header_size, const unsigned char *sealed, size_t size, unsigned char *plain,
                         unsigned char tag[16]);

#endif
