#ifndef CT_SECRETS_H
#define CT_SECRETS_H

#include "aead.h"

/// Reads a line of OpenSSL's key log; where it tells the server's first traffic secret of TLS 1.3, keeps it.
void ct_secret_note(const char *line, unsigned char secret[CT_SECRET_MAX], size_t *size);

#endif
