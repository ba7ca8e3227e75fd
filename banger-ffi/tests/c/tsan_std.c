/* Tells ThreadSanitizer what the standard library of Rust does, which is compiled without it: its locks take and
   give what other threads did. Each function stands before one of std (`ld --wrap`); scripts/test-tsan finds their
   names. With these few, no race has to be ignored because of a lock. */
#include <stdbool.h>
#include <stdint.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);

/* Declares the function of std with the symbol `name`, and the one in its place. */
#define WRAPPED(result, function, name, parameters)                                      \
    result real_##function parameters __asm__("__real_" name);                           \
    result function parameters __asm__("__wrap_" name);                                  \
    result function parameters

/* Mutex::lock of a mutex that is held; the rest of it is inline, in code that is compiled with the sanitizer. */
WRAPPED(void, lock_contended, MUTEX_LOCK_CONTENDED, (void *mutex))
{
    real_lock_contended(mutex);
    __tsan_acquire(mutex);
}

WRAPPED(void, read_contended, RWLOCK_READ_CONTENDED, (void *lock))
{
    real_read_contended(lock);
    __tsan_acquire(lock);
}

WRAPPED(void, write_contended, RWLOCK_WRITE_CONTENDED, (void *lock))
{
    real_write_contended(lock);
    __tsan_acquire(lock);
}

/* Condvar::wait unlocks the mutex and locks it again. */
WRAPPED(void, condvar_wait, CONDVAR_WAIT, (void *condvar, void *mutex))
{
    __tsan_release(mutex);
    real_condvar_wait(condvar, mutex);
    __tsan_acquire(mutex);
}

WRAPPED(bool, condvar_wait_timeout, CONDVAR_WAIT_TIMEOUT,
        (void *condvar, void *mutex, uint64_t seconds, uint32_t nanoseconds))
{
    bool result;
    __tsan_release(mutex);
    result = real_condvar_wait_timeout(condvar, mutex, seconds, nanoseconds);
    __tsan_acquire(mutex);
    return result;
}

/* The end of a scoped thread, which counts down one of the first words of the scope. */
WRAPPED(void, scope_thread_ends, SCOPE_THREAD_ENDS, (uintptr_t *scope, bool panicked))
{
    __tsan_release(&scope[0]);
    __tsan_release(&scope[1]);
    real_scope_thread_ends(scope, panicked);
}

/* The last owner of an Arc frees it behind a fence, which the sanitizer does not know: the count itself takes what
   the other owners did. */
WRAPPED(uint64_t, fetch_sub, "__tsan_atomic64_fetch_sub", (volatile uint64_t *count, uint64_t value, int order))
{
    (void)order;
    return real_fetch_sub(count, value, __ATOMIC_ACQ_REL);
}
