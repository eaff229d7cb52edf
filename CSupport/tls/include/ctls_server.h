#ifndef CTLS_SERVER_H
#define CTLS_SERVER_H

#endif
