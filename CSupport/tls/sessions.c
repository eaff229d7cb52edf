#define _GNU_SOURCE
#include "sessions.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// A server of TLS 1.3 sends two tickets or so for each connection. 64 serve 30 connections that reconnect at once;
// whoever finds none shakes hands in full.
enum { SLOTS = 64 };

typedef struct {
    char peer[CT_SESSION_PEER_SIZE];
    SSL_SESSION *session;
    uint64_t order;
} slot;

struct ct_sessions {
    pthread_mutex_t mutex;
    uint64_t count;
    slot slots[SLOTS];
};

ct_sessions *ct_sessions_new(void) {
    ct_sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions) pthread_mutex_init(&sessions->mutex, NULL);
    return sessions;
}

void ct_sessions_free(ct_sessions *sessions) {
    if (!sessions) return;
    for (int i = 0; i < SLOTS; i++) SSL_SESSION_free(sessions->slots[i].session);
    pthread_mutex_destroy(&sessions->mutex);
    free(sessions);
}

void ct_sessions_put(ct_sessions *sessions, const char *peer, SSL_SESSION *session) {
    if (!session) return;
    if (!SSL_SESSION_is_resumable(session) || strlen(peer) >= CT_SESSION_PEER_SIZE) {
        SSL_SESSION_free(session);
        return;
    }
    pthread_mutex_lock(&sessions->mutex);
    // One of TLS 1.2 serves any number of connections: a peer has but one, so that none crowds out another's.
    int is_single = SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION;
    slot *oldest = &sessions->slots[0];
    for (int i = 0; i < SLOTS; i++) {
        slot *each = &sessions->slots[i];
        if (is_single && each->session && strcmp(each->peer, peer) == 0 &&
            SSL_SESSION_get_protocol_version(each->session) < TLS1_3_VERSION) {
            oldest = each;
            break;
        }
        if (each->order < oldest->order) oldest = each;
    }
    SSL_SESSION *replaced = oldest->session;
    strcpy(oldest->peer, peer);
    oldest->session = session;
    oldest->order = ++sessions->count;
    pthread_mutex_unlock(&sessions->mutex);
    SSL_SESSION_free(replaced);
}

static int has_expired(const SSL_SESSION *session) {
    return (int64_t)time(NULL) - (int64_t)SSL_SESSION_get_time(session) >= (int64_t)SSL_SESSION_get_timeout(session);
}

SSL_SESSION *ct_sessions_take(ct_sessions *sessions, const char *peer) {
    SSL_SESSION *found = NULL;
    pthread_mutex_lock(&sessions->mutex);
    slot *newest = NULL;
    for (int i = 0; i < SLOTS; i++) {
        slot *each = &sessions->slots[i];
        if (!each->session || strcmp(each->peer, peer) != 0) continue;
        if (has_expired(each->session)) {
            SSL_SESSION_free(each->session);
            each->session = NULL;
            each->order = 0;
            continue;
        }
        if (!newest || each->order > newest->order) newest = each;
    }
    if (newest) {
        found = newest->session;
        if (SSL_SESSION_get_protocol_version(found) >= TLS1_3_VERSION) {
            newest->session = NULL;
            newest->order = 0;
        } else {
            // A copy: OpenSSL marks a session as bad when a connection that uses it breaks.
            found = SSL_SESSION_dup(found);
        }
    }
    pthread_mutex_unlock(&sessions->mutex);
    return found;
}
