#include "cdeflate.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

struct cd_inflater {
    z_stream stream;
    int keeps_window;
};

struct cd_deflater {
    z_stream stream;
    int keeps_window;
};

// An empty stored block behind its three header bits and their padding: what a flush ends with.
static const unsigned char tail[4] = {0x00, 0x00, 0xff, 0xff};

cd_inflater *cd_inflater_new(int window_bits, int keeps_window) {
    cd_inflater *inflater = calloc(1, sizeof *inflater);
    if (!inflater) return NULL;
    inflater->keeps_window = keeps_window;
    // Nine at least: zlib writes with a window of nine bits where eight are asked for, and so does who uses it.
    if (inflateInit2(&inflater->stream, window_bits < 9 ? -9 : -window_bits) != Z_OK) {
        free(inflater);
        return NULL;
    }
    return inflater;
}

void cd_inflater_free(cd_inflater *inflater) {
    if (!inflater) return;
    inflateEnd(&inflater->stream);
    free(inflater);
}

// zlib's word in data_type for standing between two blocks with no bits left over; 64 tells that the last one was final.
enum { between_blocks = 128, was_final = 64 };

// Takes all of the input, or says why not.
static int inflate_all(z_stream *stream, const unsigned char *from, size_t count) {
    stream->next_in = (unsigned char *)from;
    stream->avail_in = (uInt)count;
    while (stream->avail_in > 0) {
        uInt in_before = stream->avail_in, out_before = stream->avail_out;
        int result = inflate(stream, Z_SYNC_FLUSH);
        if (result == Z_STREAM_END) {
            // A final block ends no message (RFC 7692, 7.2.3.5): the next block may still refer back.
            if (inflateResetKeep(stream) != Z_OK) return CD_CORRUPT;
            stream->data_type = between_blocks;
        } else if (result == Z_MEM_ERROR) {
            return CD_NO_MEMORY;
        } else if (result != Z_OK && result != Z_BUF_ERROR) {
            return CD_CORRUPT;
        }
        if (stream->avail_in == in_before && stream->avail_out == out_before)
            return stream->avail_out == 0 ? CD_TOO_LARGE : CD_CORRUPT;
    }
    return 0;
}

int64_t cd_inflate(cd_inflater *inflater, void *to, size_t room, const void *from, size_t count) {
    z_stream *stream = &inflater->stream;
    if (count > UINT_MAX) return CD_TOO_LARGE;
    if (room > UINT_MAX) room = UINT_MAX;
    if (!inflater->keeps_window && inflateReset(stream) != Z_OK) return CD_CORRUPT;
    stream->next_out = to;
    stream->avail_out = (uInt)room;
    int result = inflate_all(stream, from, count);
    if (result == 0) result = inflate_all(stream, tail, sizeof tail);
    if (result != 0) return result;
    // Elsewhere than between two blocks: cut short, or with a rest that found no room.
    if ((stream->data_type & ~was_final) != between_blocks) return stream->avail_out == 0 ? CD_TOO_LARGE : CD_CORRUPT;
    return (int64_t)(room - stream->avail_out);
}

cd_deflater *cd_deflater_new(int level, int window_bits, int keeps_window) {
    if (window_bits < 9 || window_bits > 15) return NULL;
    cd_deflater *deflater = calloc(1, sizeof *deflater);
    if (!deflater) return NULL;
    deflater->keeps_window = keeps_window;
    if (deflateInit2(&deflater->stream, level, Z_DEFLATED, -window_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(deflater);
        return NULL;
    }
    return deflater;
}

void cd_deflater_free(cd_deflater *deflater) {
    if (!deflater) return;
    deflateEnd(&deflater->stream);
    free(deflater);
}

// zlib's bound is for a stream that is finished; a flush adds an empty block, and bits that wait from before.
size_t cd_deflate_bound(cd_deflater *deflater, size_t count) { return deflateBound(&deflater->stream, count) + 16; }

int64_t cd_deflate(cd_deflater *deflater, void *to, size_t room, const void *from, size_t count) {
    z_stream *stream = &deflater->stream;
    if (count > UINT_MAX) return CD_TOO_LARGE;
    if (room > UINT_MAX) room = UINT_MAX;
    if (count == 0) {
        // A flush with nothing before it writes nothing; RFC 7692, 7.2.3.6 has this for an empty message.
        if (room == 0) return CD_TOO_LARGE;
        *(unsigned char *)to = 0x00;
        return 1;
    }
    if (!deflater->keeps_window && deflateReset(stream) != Z_OK) return CD_CORRUPT;
    stream->next_in = (unsigned char *)from;
    stream->avail_in = (uInt)count;
    stream->next_out = to;
    stream->avail_out = (uInt)room;
    int result = deflate(stream, Z_SYNC_FLUSH);
    if (result != Z_OK) return CD_CORRUPT;
    // A flush is over only where room was left.
    if (stream->avail_in > 0 || stream->avail_out == 0) return CD_TOO_LARGE;
    return (int64_t)(room - stream->avail_out) - (int64_t)sizeof tail;
}
