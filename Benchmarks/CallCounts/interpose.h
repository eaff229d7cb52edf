// Stands before glibc's allocators and before Swift's runtime. Whoever includes it says what is counted:
//     static void count_allocation(size_t bytes, void *caller);
//     static void count_runtime(void);
// and defines _GNU_SOURCE first.
#include <dlfcn.h>
#include <stddef.h>

// glibc's own functions under the names by which a replacement may call them.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) {
    count_allocation(size, __builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count_allocation(number * size, __builtin_return_address(0));
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    count_allocation(size, __builtin_return_address(0));
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    count_allocation(size, __builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    void *memory = memalign(alignment, size);
    if (!memory) return 12; // ENOMEM
    *result = memory;
    return 0;
}

// Those that the program's own code calls; the runtime's calls within itself are not seen.
#define COUNTED(name) \
    void *name(void *a, void *b, void *c, void *d, void *e) { \
        static void *(*real)(void *, void *, void *, void *, void *); \
        if (!real) real = (void *(*)(void *, void *, void *, void *, void *))dlsym(RTLD_NEXT, #name); \
        count_runtime(); \
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
