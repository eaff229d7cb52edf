// io_uring, for the reactor's second backend.
#ifndef CURING_H
#define CURING_H

/// 0 where a ring can be made and a request goes through it, else -errno (-EPERM: forbidden by seccomp or
/// kernel.io_uring_disabled; -ENOSYS: the kernel has none).
int cu_probe(void);

#endif
