/* Eight threads share a store, under a storm of signals; the process is as it was afterwards. */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS 3

static banger_store *store;
static const char *reference;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t hosts[THREADS + 1];
static int host_count, signals, foreign;

static void on_signal(int number)
{
    int at, known = 0, before = errno;
    (void)number;
    for (at = 0; at < __atomic_load_n(&host_count, __ATOMIC_ACQUIRE); at++)
        known |= pthread_equal(hosts[at], pthread_self());
    __atomic_fetch_add(&signals, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&foreign, !known, __ATOMIC_RELAXED);
    errno = before;
}

static int count_of(const char *directory)
{
    DIR *entries = opendir(directory);
    int count = 0;
    CHECK(entries != NULL);
    while (readdir(entries) != NULL)
        count++;
    closedir(entries);
    return count;
}

static int look(const banger_event *event, void *user_data)
{
    CHECK(pthread_equal(*(pthread_t *)user_data, pthread_self()));
    return banger_event_kind(event) == 0;
}

static void *pull_often(void *argument)
{
    pthread_t self = pthread_self();
    int number = *(int *)argument, round;
    sigset_t alarm;
    pthread_mutex_lock(&lock);
    hosts[host_count] = self;
    __atomic_fetch_add(&host_count, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    /* From now on the handler knows this thread. */
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &alarm, NULL) == 0);
    for (round = 0; round < ROUNDS; round++) {
        char name[32];
        banger_error *error = NULL;
        banger_options *options = plain_options();
        banger_image *image = NULL, *found = NULL;
        /* Half of them want the same name. */
        snprintf(name, sizeof name, "image-%d", number % 2 == 0 ? 0 : number);
        CHECK_OK(banger_options_set_string(options, BANGER_OPT_NAME, name, &error));
        CHECK_OK(banger_options_set_bool(options, BANGER_OPT_FORCE, true, &error));
        CHECK_OK(banger_pull(store, reference, options, NULL, look, &self, &image, &error));
        CHECK(access(banger_image_path(image), R_OK) == 0);
        CHECK_OK(banger_store_find(store, name, NULL, &found, &error));
        CHECK(access(banger_image_path(found), R_OK) == 0);
        banger_image_free(found);
        banger_image_free(image);
        banger_options_free(options);
    }
    return NULL;
}

static void *nothing(void *argument)
{
    return argument;
}

int main(int count, char **arguments)
{
    pthread_t threads[THREADS];
    int numbers[THREADS], at, fds, tasks, tries;
    struct sigaction action, before, after;
    struct itimerval storm, none;
    sigset_t mask_before, mask_after, alarm;

    CHECK(count == 3);
    reference = arguments[1];
    hosts[host_count++] = pthread_self();
    memset(&action, 0, sizeof action);
    memset(&none, 0, sizeof none);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(sigaction(SIGPIPE, NULL, &before) == 0 && before.sa_handler == SIG_DFL);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask_before) == 0);
    fds = count_of("/proc/self/fd");
    /* A sanitizer may start a thread of its own with the first one. */
    CHECK(pthread_create(&threads[0], NULL, nothing, NULL) == 0);
    CHECK(pthread_join(threads[0], NULL) == 0);
    tasks = count_of("/proc/self/task");

    store = open_store(arguments[2]);
    storm.it_interval.tv_sec = storm.it_value.tv_sec = 0;
    storm.it_interval.tv_usec = storm.it_value.tv_usec = 2000;
    CHECK(setitimer(ITIMER_REAL, &storm, NULL) == 0);
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    CHECK(pthread_sigmask(SIG_BLOCK, &alarm, NULL) == 0);
    for (at = 0; at < THREADS; at++) {
        numbers[at] = at;
        CHECK(pthread_create(&threads[at], NULL, pull_often, &numbers[at]) == 0);
    }
    CHECK(pthread_sigmask(SIG_UNBLOCK, &alarm, NULL) == 0);
    for (at = 0; at < THREADS; at++)
        CHECK(pthread_join(threads[at], NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &none, NULL) == 0);
    banger_store_free(store);

    fprintf(stderr, "%d signals, %d on threads of the library\n", signals, foreign);
    CHECK(signals > 0 && foreign == 0);
    CHECK(sigaction(SIGPIPE, NULL, &after) == 0 && after.sa_handler == SIG_DFL);
    CHECK(sigaction(SIGALRM, NULL, &after) == 0 && after.sa_handler == on_signal);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask_after) == 0);
    for (at = 1; at < 32; at++)
        CHECK(sigismember(&mask_before, at) == sigismember(&mask_after, at));
    CHECK(count_of("/proc/self/fd") == fds);
    /* A thread that was joined may still be listed for a moment. */
    for (tries = 0; tries < 500 && count_of("/proc/self/task") > tasks; tries++) {
        struct timespec time;
        time.tv_sec = 0;
        time.tv_nsec = 20000000;
        nanosleep(&time, NULL);
    }
    CHECK(count_of("/proc/self/task") == tasks);
    return 0;
}
