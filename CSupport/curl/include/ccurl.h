// libcurl without variadic calls.
#ifndef CCURL_H
#define CCURL_H

/// "libcurl/7.88.1 …"
const char *cc_version(void);

#endif
