// Counts allocations by thread, those that OpenSSL makes apart, and calls of Swift's runtime that count references, look for a protocol's
// functions or check for exclusive access. Preloaded into the collector by `run`; the counts lie in a file that is shared memory, so that reading
// them disturbs nobody.
//
//     cc -O2 -shared -fPIC -o allocations.so allocations.c
//     ALLOCATION_COUNTS=FILE LD_PRELOAD=./allocations.so PROGRAM
#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLOTS = 1024 };
typedef struct {
    int64_t thread;
    int64_t allocations;
    int64_t by_openssl; // those of `allocations` that libcrypto asked for
    int64_t bytes;
    int64_t runtime; // calls of Swift's runtime
} slot;

static slot *slots;
static int64_t taken;
static uintptr_t openssl_begin, openssl_end;
static __thread slot *mine __attribute__((tls_model("initial-exec")));

static int find_openssl(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size, (void)context;
    if (!info->dlpi_name || !strstr(info->dlpi_name, "libcrypto")) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD || !(info->dlpi_phdr[i].p_flags & PF_X)) continue;
        openssl_begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        openssl_end = openssl_begin + info->dlpi_phdr[i].p_memsz;
    }
    return 1;
}

__attribute__((constructor)) static void open_counts(void) {
    dl_iterate_phdr(find_openssl, NULL);
    const char *path = getenv("ALLOCATION_COUNTS");
    if (!path) return;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return;
    if (ftruncate(fd, SLOTS * sizeof(slot)) == 0) {
        void *map = mmap(NULL, SLOTS * sizeof(slot), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED) slots = map;
    }
    close(fd);
}

// The thread's own, or NULL where nothing is counted.
static slot *own(void) {
    if (!slots || mine) return mine;
    int64_t index = __atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
    mine = &slots[index < SLOTS ? index : SLOTS - 1];
    mine->thread = syscall(SYS_gettid);
    return mine;
}

static void count_allocation(size_t bytes, void *caller) {
    if (!own()) return;
    mine->allocations += 1;
    mine->by_openssl += (uintptr_t)caller >= openssl_begin && (uintptr_t)caller < openssl_end;
    mine->bytes += (int64_t)bytes;
}

static void count_runtime(void) {
    if (own()) mine->runtime += 1;
}

#include "../CallCounts/interpose.h"
