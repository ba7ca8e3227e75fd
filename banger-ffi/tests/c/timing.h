/* Time, pauses, and a thread that cancels. */
#ifndef TIMING_H
#define TIMING_H

#include "check.h"

#include <time.h>

static inline double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static inline void pause_ms(long ms)
{
    struct timespec time;
    time.tv_sec = ms / 1000;
    time.tv_nsec = ms % 1000 * 1000000;
    /* It goes on after a signal. */
    while (nanosleep(&time, &time) != 0)
        continue;
}

/* A thread that cancels after a while. */
typedef struct timer {
    banger_cancel *cancel;
    pthread_t thread;
    long after_ms;
    double at;
} timer;

static inline void *cancel_later(void *argument)
{
    timer *what = (timer *)argument;
    pause_ms(what->after_ms);
    what->at = now();
    banger_cancel_cancel(what->cancel);
    return NULL;
}

static inline void start_timer(timer *what, long after_ms)
{
    what->cancel = banger_cancel_new();
    what->after_ms = after_ms;
    CHECK(!banger_cancel_is_cancelled(what->cancel));
    CHECK(pthread_create(&what->thread, NULL, cancel_later, what) == 0);
}

/* Returns how long the call before went on after the cancel. */
static inline double stop_timer(timer *what)
{
    double end = now();
    CHECK(pthread_join(what->thread, NULL) == 0);
    CHECK(banger_cancel_is_cancelled(what->cancel));
    banger_cancel_free(what->cancel);
    return end - what->at;
}

/* 200 ms are promised; a machine of tests is busy. What is cancelled here would not end by itself for longer. */
static inline void check_soon(const char *what, double late)
{
    fprintf(stderr, "%s: back %.0f ms after the cancel\n", what, late * 1000);
    CHECK(late < 5);
}

#endif
