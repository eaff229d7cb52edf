// zstd with contexts that are kept: one for each batching thread.
#ifndef CZSTD_H
#define CZSTD_H

#include <stddef.h>
#include <stdint.h>

typedef struct cz_compressor cz_compressor;
/// `window`: log2 of the window's bytes, 0: zstd's by level and size. NULL where memory is short, or the level or the
/// window out of range.
cz_compressor *cz_compressor_new(int level, int window);
void cz_compressor_free(cz_compressor *compressor);

/// A dictionary made ready for a level; any number of compressors of one thread may use it.
typedef struct cz_dictionary cz_dictionary;
/// Copies the bytes. NULL where memory is short or they are no zstd dictionary.
cz_dictionary *cz_dictionary_new(const void *bytes, size_t count, int level);
void cz_dictionary_free(cz_dictionary *dictionary);
/// The id that stands in a dictionary's head; 0 where these bytes are none.
uint32_t cz_dictionary_id(const void *bytes, size_t count);

/// One whole frame with its content size, and the dictionary's id where there is one (NULL: none). Bytes written, or a
/// negative number: see cz_error_text.
int64_t cz_compress(cz_compressor *compressor, const cz_dictionary *dictionary, void *to, size_t room, const void *from,
                    size_t count);
size_t cz_bound(size_t count);
int cz_level_min(void);
int cz_level_max(void);
const char *cz_error_text(int64_t code);

/// The dictionary of this type that the program brings; NULL: none.
const void *cz_embedded_dictionary(const char *type, size_t *count);

/// Makes a dictionary of at most `room` bytes of samples that lie one behind the other, their sizes in `sizes`. Bytes
/// written, or a negative number.
int64_t cz_train(void *to, size_t room, const void *samples, const size_t *sizes, unsigned count);

/// Streaming decompression over concatenated frames, each with the dictionary that it names.
typedef struct cz_decompressor cz_decompressor;
cz_decompressor *cz_decompressor_new(void);
void cz_decompressor_free(cz_decompressor *decompressor);
/// Forgets a frame that was begun: the next input begins a new one.
void cz_decompressor_reset(cz_decompressor *decompressor);
/// Makes a dictionary known. Copies the bytes. 0, or -1 where they are no dictionary or memory is short.
int cz_decompressor_add(cz_decompressor *decompressor, const void *bytes, size_t count);
/// The id of the dictionary that the last call of cz_decompress missed; 0 where it missed none.
uint32_t cz_decompressor_missing(const cz_decompressor *decompressor);
/// Consumes from [*from_used, count) and fills [*to_used, room). Returns 0 at the end of a frame, > 0 where more
/// input is wanted, < 0 on corrupt input or an unknown dictionary.
int64_t cz_decompress(cz_decompressor *decompressor, void *to, size_t room, size_t *to_used, const void *from,
                      size_t count, size_t *from_used);

#endif
