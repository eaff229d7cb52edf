#ifndef CALLCOUNTS_H
#define CALLCOUNTS_H

#include <stdint.h>

/// What a thread has asked of the allocators, and of Swift's runtime: references counted, functions of a protocol looked up,
/// exclusive access checked. Calls that the runtime makes within itself are not seen.
typedef struct {
    int64_t allocations;
    int64_t runtime;
} cc_counts;

/// The calling thread's counts since it began.
cc_counts cc_now(void);

#endif
