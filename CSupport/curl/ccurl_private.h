#ifndef CCURL_PRIVATE_H
#define CCURL_PRIVATE_H

#include <stddef.h>

/// A buffer that grows up to a limit and keeps its memory.
typedef struct {
    char *bytes;
    size_t used, room;
} cc_buffer;

/// 0, or -1 where memory is short or the limit is reached.
int cc_append(cc_buffer *buffer, const void *bytes, size_t count, size_t limit);
/// curl_global_init once in the process.
void cc_start(void);

#endif
