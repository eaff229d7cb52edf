// OpenSSL without blocking. client.c: the collector's side; server.c and certificate.c: for the replayer and tests.
// forge.c: for tests and measurements. signing.c: for service accounts.
#ifndef CTLS_H
#define CTLS_H

#include "ctls_client.h"
#include "ctls_forge.h"
#include "ctls_server.h"
#include "ctls_signing.h"

#endif
