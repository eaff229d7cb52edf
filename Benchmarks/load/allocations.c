// Counts allocations by thread, those that OpenSSL makes apart, and calls of Swift's runtime that count references, look for a protocol's
// functions or check for exclusive access. Preloaded into the collector by `run`; the counts lie in a file that is shared memory, so that reading
// them disturbs nobody.
//
//     cc -O2 -shared -fPIC -o allocations.so allocations.c
//     ALLOCATION_COUNTS=FILE LD_PRELOAD=./allocations.so PROGRAM
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc's own functions under the names by which a replacement may call them.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

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

static void count(size_t bytes, void *caller) {
    if (!own()) return;
    mine->allocations += 1;
    mine->by_openssl += (uintptr_t)caller >= openssl_begin && (uintptr_t)caller < openssl_end;
    mine->bytes += (int64_t)bytes;
}

void *malloc(size_t size) {
    count(size, __builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(number * size, __builtin_return_address(0));
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    count(size, __builtin_return_address(0));
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    count(size, __builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    void *memory = memalign(alignment, size);
    if (!memory) return 12; // ENOMEM
    *result = memory;
    return 0;
}

// Those that the collector's own code calls; the runtime's calls within itself are not seen.
#define COUNTED(name) \
    void *name(void *a, void *b, void *c, void *d, void *e) { \
        static void *(*real)(void *, void *, void *, void *, void *); \
        if (!real) real = (void *(*)(void *, void *, void *, void *, void *))dlsym(RTLD_NEXT, #name); \
        if (own()) mine->runtime += 1; \
        return real(a, b, c, d, e); \
    }

COUNTED(swift_retain)
COUNTED(swift_release)
COUNTED(swift_retain_n)
COUNTED(swift_release_n)
COUNTED(swift_bridgeObjectRetain)
COUNTED(swift_bridgeObjectRelease)
COUNTED(swift_unknownObjectRetain)
COUNTED(swift_unknownObjectRelease)
COUNTED(swift_beginAccess)
COUNTED(swift_endAccess)
COUNTED(swift_dynamicCast)
COUNTED(swift_getWitnessTable)
COUNTED(swift_allocObject)
