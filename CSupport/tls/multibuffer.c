#define _GNU_SOURCE
#include "multibuffer.h"

#if defined(__x86_64__) && defined(__has_include)
#if __has_include(<intel-ipsec-mb.h>)
#define HAS_MULTIBUFFER 1
#endif
#endif

#ifdef HAS_MULTIBUFFER
#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct ct_multibuffer {
    struct gcm_key_data key;
    struct gcm_context_data context;
    void (*prepare)(const void *key, struct gcm_key_data *expanded);
    aes_gcm_enc_dec_t open;
};

// The functions that suit this CPU. They keep no state of their own, so that threads may share them.
static struct {
    aes_gcm_pre_t prepare_128, prepare_256;
    aes_gcm_enc_dec_t open_128, open_256;
    int is_usable;
} library;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/// Whether the manager's layout is that of the header: a patch release keeps it.
static int is_same_version(unsigned version) { return version >> 8 == IMB_VERSION_NUM >> 8; }

static void load(void) {
    char name[32];
    snprintf(name, sizeof name, "libIPSec_MB.so.%u", (unsigned)(IMB_VERSION_NUM >> 16));
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return;
    unsigned (*version)(void) = (unsigned (*)(void))dlsym(handle, "imb_get_version");
    IMB_MGR *(*allocate)(uint64_t) = (IMB_MGR * (*)(uint64_t)) dlsym(handle, "alloc_mb_mgr");
    void (*start)(IMB_MGR *, IMB_ARCH *) = (void (*)(IMB_MGR *, IMB_ARCH *))dlsym(handle, "init_mb_mgr_auto");
    void (*release)(IMB_MGR *) = (void (*)(IMB_MGR *))dlsym(handle, "free_mb_mgr");
    IMB_MGR *manager = version && allocate && start && release && is_same_version(version()) ? allocate(0) : NULL;
    if (!manager) {
        dlclose(handle);
        return;
    }
    IMB_ARCH architecture = IMB_ARCH_NONE;
    start(manager, &architecture);
    const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SELF_TEST_PASS;
    if ((manager->features & needed) == needed && architecture != IMB_ARCH_NONE && architecture != IMB_ARCH_NOAESNI) {
        library.prepare_128 = manager->gcm128_pre;
        library.prepare_256 = manager->gcm256_pre;
        library.open_128 = manager->gcm128_dec;
        library.open_256 = manager->gcm256_dec;
        library.is_usable = library.prepare_128 && library.prepare_256 && library.open_128 && library.open_256;
    }
    release(manager);
}

int ct_multibuffer_is_there(void) {
    pthread_once(&once, load);
    return library.is_usable;
}

ct_multibuffer *ct_multibuffer_new(size_t key_size) {
    if (!ct_multibuffer_is_there() || (key_size != 16 && key_size != 32)) return NULL;
    size_t alignment = _Alignof(ct_multibuffer);
    size_t size = (sizeof(ct_multibuffer) + alignment - 1) / alignment * alignment;
    ct_multibuffer *gcm = aligned_alloc(alignment, size);
    if (!gcm) return NULL;
    gcm->prepare = key_size == 16 ? library.prepare_128 : library.prepare_256;
    gcm->open = key_size == 16 ? library.open_128 : library.open_256;
    return gcm;
}

void ct_multibuffer_free(ct_multibuffer *gcm) {
    if (!gcm) return;
    OPENSSL_cleanse(gcm, sizeof *gcm);
    free(gcm);
}

void ct_multibuffer_set_key(ct_multibuffer *gcm, const unsigned char *key) { gcm->prepare(key, &gcm->key); }

void ct_multibuffer_open(ct_multibuffer *gcm, const unsigned char nonce[12], const unsigned char *header,
                         size_t header_size, const unsigned char *sealed, size_t size, unsigned char *plain,
                         unsigned char tag[16]) {
    gcm->open(&gcm->key, &gcm->context, plain, sealed, size, nonce, header, header_size, tag, 16);
}

#else

int ct_multibuffer_is_there(void) { return 0; }

ct_multibuffer *ct_multibuffer_new(size_t key_size) {
    (void)key_size;
    return NULL;
}

void ct_multibuffer_free(ct_multibuffer *gcm) { (void)gcm; }

void ct_multibuffer_set_key(ct_multibuffer *gcm, const unsigned char *key) {
    (void)gcm;
    (void)key;
}

void ct_multibuffer_open(ct_multibuffer *gcm, const unsigned char nonce[12], const unsigned char *header,
                         size_t header_size, const unsigned char *sealed, size_t size, unsigned char *plain,
                         unsigned char tag[16]) {
    (void)gcm, (void)nonce, (void)header, (void)header_size, (void)sealed, (void)size, (void)plain, (void)tag;
}

#endif
