// zstd with a context that is kept: one for each batching thread.
#ifndef CZSTD_H
#define CZSTD_H

#include <stddef.h>
#include <stdint.h>

typedef struct cz_compressor cz_compressor;
/// NULL where memory is short or the level is out of range.
cz_compressor *cz_compressor_new(int level);
void cz_compressor_free(cz_compressor *compressor);
/// One whole frame with its content size. Bytes written, or a negative number: see cz_error_text.
int64_t cz_compress(cz_compressor *compressor, void *to, size_t room, const void *from, size_t count);
size_t cz_bound(size_t count);
int cz_level_min(void);
int cz_level_max(void);
const char *cz_error_text(int64_t code);

/// Streaming decompression over concatenated frames.
typedef struct cz_decompressor cz_decompressor;
cz_decompressor *cz_decompressor_new(void);
void cz_decompressor_free(cz_decompressor *decompressor);
/// Forgets a frame that was begun: the next input begins a new one.
void cz_decompressor_reset(cz_decompressor *decompressor);
/// Consumes from [*from_used, count) and fills [*to_used, room). Returns 0 at the end of a frame, > 0 where more
/// input is wanted, < 0 on corrupt input.
int64_t cz_decompress(cz_decompressor *decompressor, void *to, size_t room, size_t *to_used, const void *from,
                      size_t count, size_t *from_used);

#endif
