// Files that records are appended to and read from, and their checksum. Functions return >= 0 or -errno unless they say
// otherwise.
#ifndef CKERNEL_SPOOL_H
#define CKERNEL_SPOOL_H

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli, RFC 3720) of the bytes, continued from `crc`, which is 0 at the beginning. Uses the processor's
/// instruction where it has one.
uint32_t ck_crc32c(uint32_t crc, const void *bytes, size_t count);
/// The same without that instruction.
uint32_t ck_crc32c_software(uint32_t crc, const void *bytes, size_t count);
/// Whether ck_crc32c uses the instruction.
int ck_crc32c_is_hardware(void);

/// Three parts in one write; bytes written, possibly fewer than asked for.
int64_t ck_write_parts(int fd, const void *first, size_t first_count, const void *second, size_t second_count,
                       const void *third, size_t third_count);
/// Bytes read; fewer than asked for only at the end of the file.
int64_t ck_read_at(int fd, void *bytes, size_t count, int64_t offset);
/// All bytes written, or -errno.
int64_t ck_write_at(int fd, const void *bytes, size_t count, int64_t offset);
int ck_open_read(const char *path);
/// For reading and writing, made where it is missing, mode 0644.
int ck_open_update(const char *path);
int64_t ck_file_size(int fd);
/// Cuts a file off after so many bytes, and syncs it.
int ck_cut_file(const char *path, int64_t size);
int ck_rename(const char *from, const char *to);
/// Makes names that were made or removed in a directory last.
int ck_sync_directory(const char *path);
/// Opens (makes) a file and locks it for this open file alone; -EWOULDBLOCK where another has the lock.
int ck_lock_file(const char *path);
/// Calls `each(context, name)` for every entry but "." and "..".
int ck_list_directory(const char *path, void (*each)(void *context, const char *name), void *context);

#endif
