#include "cdigits.h"

// All of it is in the header, in line. Here the compiler checks what it relies on.
_Static_assert(sizeof(cdg_number) == 16, "returned in two registers");
_Static_assert(sizeof(cdg_masks) == 32, "a load of sixteen bytes from byte 16 on");
