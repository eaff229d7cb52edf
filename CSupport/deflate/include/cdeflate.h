// WebSocket messages in and out of DEFLATE (RFC 7692, section 7.2), over zlib: a message at a time, with or without
// what the messages before have left in the window.
#ifndef CDEFLATE_H
#define CDEFLATE_H

#include <stddef.h>
#include <stdint.h>

enum {
    /// The message is larger than the room for it.
    CD_TOO_LARGE = -1,
    /// Not DEFLATE, or cut short.
    CD_CORRUPT = -2,
    CD_NO_MEMORY = -3,
};

typedef struct cd_inflater cd_inflater;
/// window_bits: 8 to 15. keeps_window: messages may refer back to those before. NULL where memory is short.
cd_inflater *cd_inflater_new(int window_bits, int keeps_window);
void cd_inflater_free(cd_inflater *inflater);
/// One message's payload without the four bytes that RFC 7692 cuts off. Bytes written, or one of the above: the
/// inflater is then of no more use.
int64_t cd_inflate(cd_inflater *inflater, void *to, size_t room, const void *from, size_t count);

typedef struct cd_deflater cd_deflater;
/// window_bits: 9 to 15, since zlib has no smaller one to write with. NULL where memory is short.
cd_deflater *cd_deflater_new(int level, int window_bits, int keeps_window);
void cd_deflater_free(cd_deflater *deflater);
/// Room that cd_deflate needs for so many bytes.
size_t cd_deflate_bound(cd_deflater *deflater, size_t count);
/// One message's payload, the four bytes cut off. Bytes written, or one of the above.
int64_t cd_deflate(cd_deflater *deflater, void *to, size_t room, const void *from, size_t count);

#endif
