// Included in front of LMDB, whose calls of pthread_mutexattr_setrobust come here: without the kernel's list of robust mutexes (qemu's user
// mode) it goes on without their robustness. A process that dies while it writes then leaves the lock file behind as locked.
#pragma once
#include <errno.h>
#include <pthread.h>
static inline int millet_mutexattr_setrobust(pthread_mutexattr_t* attributes, int robust) {
  int failed = (pthread_mutexattr_setrobust)(attributes, robust);
  return failed == ENOSYS ? 0 : failed;
}
#define pthread_mutexattr_setrobust millet_mutexattr_setrobust
