#include "ccurl.h"

#include <curl/curl.h>

const char *cc_version(void) { return curl_version(); }
