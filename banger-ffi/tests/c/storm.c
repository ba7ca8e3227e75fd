/* Every call is interrupted by signals again and again, by a handler that restarts no system call. */
#include "timing.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

/* A signal every `microseconds`; 0 ends them. */
static void storm(long microseconds)
{
    struct itimerval timer;
    timer.it_interval.tv_sec = timer.it_value.tv_sec = 0;
    timer.it_interval.tv_usec = timer.it_value.tv_usec = microseconds;
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

/* Starts a thread that takes no signals, so that all of them come to the calls. */
static pthread_t start(void *(*work)(void *), int *fd)
{
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    CHECK(pthread_create(&thread, NULL, work, fd) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return thread;
}

static void *write_slowly(void *fd)
{
    int at;
    for (at = 0; at < 20; at++) {
        CHECK(write(*(int *)fd, "0123456789", 10) == 10);
        pause_ms(10);
    }
    close(*(int *)fd);
    return NULL;
}

static void *close_later(void *fd)
{
    pause_ms(200);
    close(*(int *)fd);
    return NULL;
}

static void images(banger_store *store, const char *reference, const char *directory)
{
    char path[4096];
    banger_error *error = NULL;
    banger_options *options = plain_options();
    banger_image *image = NULL;
    banger_string *json = NULL;
    banger_task *task = NULL;
    const banger_event *event = NULL;
    pthread_t thread;
    int lock;

    CHECK_OK(banger_options_set_string(options, BANGER_OPT_NAME, "one", &error));
    CHECK_OK(banger_pull(store, reference, options, NULL, NULL, NULL, &image, &error));
    banger_image_free(image);
    CHECK_OK(banger_store_verify(store, "one", NULL, &json, &error));
    CHECK(contains(json, "\"problems\":[]"));
    banger_string_free(json);
    snprintf(path, sizeof path, "%s/exported.ext4", directory);
    CHECK_OK(banger_store_export(store, "one", path, true, NULL, &error));
    CHECK_OK(banger_store_clone(store, "one", "two", NULL, NULL, &image, &error));
    banger_image_free(image);
    /* It waits for a lock. */
    snprintf(path, sizeof path, "%s/state/images/.lock", directory);
    lock = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(lock >= 0 && flock(lock, LOCK_EX) == 0);
    thread = start(close_later, &lock);
    CHECK_OK(banger_store_remove(store, "two", NULL, &error));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_FORCE, true, &error));
    CHECK_OK(banger_pull_start(store, reference, NULL, options, NULL, &task, &error));
    do
        CHECK_OK(banger_task_next(task, 1000, &event, &error));
    while (event != NULL);
    CHECK_OK(banger_task_finish_image(task, &image, &error));
    banger_task_free(task);
    banger_image_free(image);
    banger_options_free(options);
    CHECK_OK(banger_store_remove(store, "one", NULL, &error));
}

static void file_systems(const char *directory)
{
    char path[4096], source[4096], buffer[64];
    banger_error *error = NULL;
    banger_rootfs *rootfs = NULL;
    banger_string *text = NULL;
    pthread_t thread;
    uint64_t size = 0;
    size_t read_bytes = 0;
    int pipe_fds[2], round;

    snprintf(source, sizeof source, "%s/source", directory);
    snprintf(path, sizeof path, "%s/storm.ext4", directory);
    CHECK_OK(banger_build(source, path, NULL, NULL, NULL, NULL, &text, &error));
    banger_string_free(text);
    CHECK_OK(banger_rootfs_open(path, BANGER_EDIT, NULL, &rootfs, &error));
    CHECK(pipe(pipe_fds) == 0);
    thread = start(write_slowly, &pipe_fds[1]);
    CHECK_OK(banger_rootfs_write_from_fd(rootfs, "/slow", BANGER_STRLEN, pipe_fds[0], NULL, 0, NULL, &error));
    CHECK(pthread_join(thread, NULL) == 0);
    close(pipe_fds[0]);
    for (round = 0; round < 20; round++) {
        CHECK_OK(banger_rootfs_set_mtime(rootfs, "/slow", BANGER_STRLEN, round, 0, &error));
        CHECK_OK(banger_rootfs_commit(rootfs, NULL, &error));
    }
    CHECK_OK(banger_rootfs_read(rootfs, "/slow", BANGER_STRLEN, &text, &error));
    CHECK(banger_string_length(text) == 200);
    banger_string_free(text);
    CHECK_OK(banger_rootfs_read_at(rootfs, "/slow", BANGER_STRLEN, 190, (uint8_t *)buffer, sizeof buffer, &read_bytes,
                                   &error));
    CHECK(read_bytes == 10);
    CHECK_OK(banger_rootfs_resize(rootfs, (uint64_t)2 << 30, NULL, &size, &error));
    CHECK_OK(banger_rootfs_verify(rootfs, NULL, &text, &error));
    CHECK(contains(text, "\"problems\":[]"));
    banger_string_free(text);
    banger_rootfs_free(rootfs);
}

/* A guest that answers to all. */
static void guests(const char *address)
{
    char buffer[64];
    banger_error *error = NULL;
    banger_guest *guest = NULL;
    banger_options *options = banger_options_new(), *copy = banger_options_new();
    banger_string *json = NULL, *output = NULL;
    banger_exec *exec = NULL;
    banger_exec_input *input = NULL;
    banger_exec_event event;
    banger_exit end;
    pthread_t thread;
    uint64_t bytes = 0;
    size_t echoed = 0;
    int pipe_fds[2];

    CHECK_OK(banger_guest_new(address, NULL, &guest, &error));
    CHECK_OK(banger_guest_wait_ready(guest, 60000, NULL, &json, &error));
    banger_string_free(json);
    CHECK_OK(banger_guest_info(guest, NULL, &json, &error));
    banger_string_free(json);
    CHECK(pipe(pipe_fds) == 0);
    thread = start(write_slowly, &pipe_fds[1]);
    CHECK_OK(banger_options_set_u64(copy, BANGER_OPT_COPY_MODE, 0640, &error));
    CHECK_OK(banger_options_set_bool(copy, BANGER_OPT_COPY_PARENTS, true, &error));
    CHECK_OK(banger_guest_copy_in_fd(guest, "/slow", pipe_fds[0], copy, NULL, &bytes, &error));
    banger_options_free(copy);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(bytes == 200);
    close(pipe_fds[0]);
    CHECK(pipe(pipe_fds) == 0);
    CHECK_OK(banger_guest_copy_out_fd(guest, "/file", pipe_fds[1], NULL, &json, &error));
    banger_string_free(json);
    close(pipe_fds[1]);
    CHECK(read(pipe_fds[0], buffer, sizeof buffer) == 5);
    close(pipe_fds[0]);
    CHECK_OK(banger_options_add_string(options, BANGER_OPT_EXEC_ARGV, "true", &error));
    CHECK_OK(banger_guest_run(guest, options, NULL, &output, NULL, &end, sizeof end, &error));
    CHECK(banger_string_length(output) > 0);
    banger_string_free(output);
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_EXEC_STDIN, true, &error));
    CHECK_OK(banger_exec_start(guest, options, NULL, &exec, &error));
    CHECK_OK(banger_exec_open_input(exec, &input, &error));
    /* Nothing comes, for the whole time. */
    CHECK_OK(banger_exec_next(exec, 200, &event, sizeof event, &error));
    CHECK(event.kind == BANGER_EXEC_NOTHING);
    CHECK_OK(banger_exec_input_write(input, (const uint8_t *)"hello", 5, &error));
    CHECK_OK(banger_exec_input_close(input, &error));
    do {
        CHECK_OK(banger_exec_next(exec, BANGER_FOREVER, &event, sizeof event, &error));
        echoed += event.kind == BANGER_EXEC_OUTPUT ? event.length : 0;
    } while (event.kind != BANGER_EXEC_ENDED);
    CHECK(echoed >= 5);
    CHECK_OK(banger_exec_exit(exec, &end, sizeof end, &error));
    banger_exec_input_free(input);
    banger_exec_free(exec);
    banger_options_free(options);
    banger_guest_free(guest);
}

int main(int count, char **arguments)
{
    struct sigaction action;
    banger_store *store;
    const char *guest = getenv("BANGER_TEST_GUEST");
    CHECK(count == 3);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    store = open_store(arguments[2]);
    storm(500);
    images(store, arguments[1], arguments[2]);
    file_systems(arguments[2]);
    if (guest != NULL)
        guests(guest);
    storm(0);
    fprintf(stderr, "%d signals\n", (int)signals);
    CHECK(signals > 100);
    banger_store_free(store);
    return 0;
}
