#define _GNU_SOURCE
#include "ckernel.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

size_t ck_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

int ck_mirror_map(size_t size, void **base) {
    int fd = memfd_create("ring", MFD_CLOEXEC);
    if (fd < 0) return -errno;
    int error = 0;
    if (ftruncate(fd, (off_t)size) != 0) {
        error = errno;
        close(fd);
        return -error;
    }
    char *area = mmap(NULL, size * 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) {
        error = errno;
        close(fd);
        return -error;
    }
    for (int half = 0; half < 2 && error == 0; half++) {
        void *at = mmap(area + size * (size_t)half, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
        if (at == MAP_FAILED) error = errno;
    }
    close(fd);
    if (error != 0) {
        munmap(area, size * 2);
        return -error;
    }
    *base = area;
    return 0;
}

void ck_mirror_unmap(void *base, size_t size) { munmap(base, size * 2); }

void *ck_zeroed(size_t count, size_t size) { return calloc(count, size); }
void ck_zeroed_free(void *memory) { free(memory); }

void *ck_pages(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}
void ck_pages_free(void *memory, size_t bytes) { munmap(memory, bytes); }

static int64_t cpu_nanos(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
int64_t ck_thread_cpu_nanos(void) { return cpu_nanos(CLOCK_THREAD_CPUTIME_ID); }
int64_t ck_process_cpu_nanos(void) { return cpu_nanos(CLOCK_PROCESS_CPUTIME_ID); }

int64_t ck_resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) return -errno;
    long long total = 0, resident = 0;
    int fields = fscanf(file, "%lld %lld", &total, &resident);
    fclose(file);
    return fields == 2 ? resident * (int64_t)ck_page_size() : -EIO;
}

void ck_yield(void) { sched_yield(); }

void ck_sleep_nanos(int64_t nanos) {
    struct timespec t = {nanos / 1000000000, nanos % 1000000000};
    nanosleep(&t, NULL);
}

int ck_allowed_cpus(int *cpus, int limit) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return -errno;
    int count = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set)) continue;
        if (count < limit) cpus[count] = cpu;
        count++;
    }
    return count;
}

int ck_pin_thread(int cpu) {
    if (cpu < 0 || cpu >= CPU_SETSIZE) return -EINVAL;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return -pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

int ck_leave_cpus(const int *cpus, int count) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return -errno;
    for (int i = 0; i < count; i++) {
        if (cpus[i] >= 0 && cpus[i] < CPU_SETSIZE) CPU_CLR(cpus[i], &set);
    }
    int left = CPU_COUNT(&set);
    if (left == 0) return 0;
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks) return -errno;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        int task = atoi(entry->d_name);
        // One that has ended since is none.
        if (task > 0 && sched_setaffinity(task, sizeof set, &set) != 0 && errno != ESRCH) left = -errno;
    }
    closedir(tasks);
    return left;
}

void ck_name_thread(const char *name) {
    char kept[16];
    snprintf(kept, sizeof kept, "%s", name);
    pthread_setname_np(pthread_self(), kept);
}

typedef struct {
    void (*entry)(void *);
    void *context;
} thread_start;

static void *thread_main(void *argument) {
    thread_start start = *(thread_start *)argument;
    free(argument);
    start.entry(start.context);
    return NULL;
}

int ck_thread_start(void (*entry)(void *), void *context, uintptr_t *handle) {
    thread_start *start = malloc(sizeof *start);
    if (!start) return -ENOMEM;
    *start = (thread_start){entry, context};
    pthread_t thread;
    int error = pthread_create(&thread, NULL, thread_main, start);
    if (error != 0) {
        free(start);
        return -error;
    }
    *handle = (uintptr_t)thread;
    return 0;
}

int ck_thread_join(uintptr_t handle) { return -pthread_join((pthread_t)handle, NULL); }
void ck_thread_detach(uintptr_t handle) { pthread_detach((pthread_t)handle); }

int ck_random(void *bytes, size_t count) {
    char *at = bytes;
    while (count > 0) {
        ssize_t got = getrandom(at, count, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        at += got;
        count -= (size_t)got;
    }
    return 0;
}

void ck_error_text(int code, char *text, size_t size) {
    char scratch[128];
    snprintf(text, size, "%s", strerror_r(code, scratch, sizeof scratch));
}

int ck_wait_readable(int fd, int64_t nanos) {
    struct pollfd item = {.fd = fd, .events = POLLIN};
    struct timespec t = {nanos / 1000000000, nanos % 1000000000};
    int ready = ppoll(&item, 1, nanos < 0 ? NULL : &t, NULL);
    if (ready < 0) return errno == EINTR ? 0 : -errno;
    return ready;
}
