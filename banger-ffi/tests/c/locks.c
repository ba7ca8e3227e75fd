/* Cancelled while another process holds a lock, or another thread has a file system. */
#include "timing.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static banger_store *store;
static const char *reference, *directory;

/* Pulls one image again and again: another process, which is stopped in the middle. */
static int pull_for_ever(void)
{
    for (;;) {
        banger_error *error = NULL;
        banger_image *image = NULL;
        banger_options *options = plain_options();
        CHECK_OK(banger_options_set_string(options, BANGER_OPT_NAME, "busy", &error));
        CHECK_OK(banger_options_set_bool(options, BANGER_OPT_FORCE, true, &error));
        CHECK_OK(banger_pull(store, reference, options, NULL, NULL, NULL, &image, &error));
        banger_image_free(image);
        banger_options_free(options);
    }
}

typedef struct watcher {
    banger_cancel *cancel;
    double at;
    int idle;
    bool waits;
} watcher;

static int cancel_when_it_waits(const banger_event *event, void *user_data)
{
    watcher *what = (watcher *)user_data;
    what->waits |= banger_event_kind(event) == BANGER_EVENT_PULL_WAITING;
    what->idle += banger_event_kind(event) == BANGER_EVENT_IDLE;
    if (what->idle == 3) {
        what->at = now();
        banger_cancel_cancel(what->cancel);
    }
    return 0;
}

/* A pull of a name that another process pulls, which makes no progress. */
static void while_another_process_pulls(const char *program)
{
    banger_error *error = NULL;
    banger_options *options = plain_options();
    int tries, pulls, status;
    pid_t other = fork();
    CHECK(other >= 0);
    if (other == 0) {
        /* Also where a check fails. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(program, program, reference, directory, "pull", (char *)NULL);
        _exit(127);
    }
    CHECK_OK(banger_options_set_string(options, BANGER_OPT_NAME, "busy", &error));
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_FORCE, true, &error));
    /* It may be stopped where it holds no lock: then the pull here goes through. */
    for (tries = pulls = 0; pulls < 2; tries++) {
        banger_image *image = NULL;
        watcher what;
        int code;
        CHECK(tries < 500);
        pause_ms(3 + tries % 23);
        CHECK(kill(other, SIGSTOP) == 0);
        CHECK(waitpid(other, &status, WUNTRACED) == other && WIFSTOPPED(status));
        memset(&what, 0, sizeof what);
        what.cancel = banger_cancel_new();
        code = banger_pull(store, reference, options, what.cancel, cancel_when_it_waits, &what, &image, &error);
        if (code != 0) {
            CHECK(code == BANGER_ERROR_CANCELLED);
            check_soon(what.waits ? "pull of a name that is pulled" : "pull without its lock", now() - what.at);
            pulls += what.waits;
        }
        banger_error_free(error);
        error = NULL;
        banger_image_free(image);
        banger_cancel_free(what.cancel);
        CHECK(kill(other, SIGCONT) == 0);
    }
    banger_options_free(options);
    CHECK(kill(other, SIGKILL) == 0);
    CHECK(waitpid(other, &status, 0) == other);
}

typedef int (*store_call)(const banger_cancel *cancel, banger_error **error);

static int remove_one(const banger_cancel *cancel, banger_error **error)
{
    return banger_store_remove(store, "one", cancel, error);
}

static int rename_one(const banger_cancel *cancel, banger_error **error)
{
    return banger_store_rename(store, "one", "two", cancel, error);
}

static int clone_one(const banger_cancel *cancel, banger_error **error)
{
    banger_image *image = NULL;
    int code = banger_store_clone(store, "one", "two", NULL, cancel, &image, error);
    banger_image_free(image);
    return code;
}

static int find_one(const banger_cancel *cancel, banger_error **error)
{
    banger_image *image = NULL;
    int code = banger_store_find(store, "one", cancel, &image, error);
    banger_image_free(image);
    return code;
}

static int export_one(const banger_cancel *cancel, banger_error **error)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/exported.ext4", directory);
    return banger_store_export(store, "one", path, true, cancel, error);
}

static int verify_one(const banger_cancel *cancel, banger_error **error)
{
    banger_string *json = NULL;
    int code = banger_store_verify(store, "one", cancel, &json, error);
    banger_string_free(json);
    return code;
}

typedef struct named_call {
    const char *name;
    store_call call;
    /* Whether it waits for the lock on the image; otherwise for that on all names. */
    bool of_image;
} named_call;

static const named_call CALLS[] = {
    {"remove", remove_one, false}, {"rename", rename_one, false}, {"clone", clone_one, false},
    {"find", find_one, true},      {"export", export_one, true},  {"verify", verify_one, true},
};

/* Calls about a store while somebody holds a lock of it, and does not go on. */
static void while_a_store_is_locked(void)
{
    char path[4096], names[4096];
    banger_error *error = NULL;
    banger_options *options = plain_options();
    banger_image *image = NULL;
    size_t at;
    CHECK_OK(banger_options_set_string(options, BANGER_OPT_NAME, "one", &error));
    CHECK_OK(banger_pull(store, reference, options, NULL, NULL, NULL, &image, &error));
    banger_options_free(options);
    snprintf(names, sizeof names, "%s/state/images/.lock", directory);
    snprintf(path, sizeof path, "%s", banger_image_path(image));
    *strrchr(path, '/') = '\0';
    banger_image_free(image);
    for (at = 0; at < sizeof CALLS / sizeof *CALLS; at++) {
        timer what;
        int lock = open(CALLS[at].of_image ? path : names, O_RDONLY | O_CLOEXEC);
        CHECK(lock >= 0 && flock(lock, LOCK_EX) == 0);
        start_timer(&what, 100);
        CHECK_FAILS(BANGER_ERROR_CANCELLED, CALLS[at].call(what.cancel, &error));
        check_soon(CALLS[at].name, stop_timer(&what));
        close(lock);
    }
    /* Nothing has happened, and nothing is held. */
    CHECK_OK(find_one(NULL, &error));
    CHECK_OK(remove_one(NULL, &error));
}

typedef struct writer {
    banger_rootfs *rootfs;
    banger_cancel *cancel;
    int fd;
    int code;
} writer;

static void *write_slowly(void *argument)
{
    writer *what = (writer *)argument;
    what->code = banger_rootfs_write_from_fd(what->rootfs, "/slow", BANGER_STRLEN, what->fd, NULL, 0, what->cancel,
                                             NULL);
    return NULL;
}

static int verify_rootfs(banger_rootfs *rootfs, banger_cancel *cancel, banger_error **error)
{
    banger_string *json = NULL;
    return banger_rootfs_verify(rootfs, cancel, &json, error);
}

static int grow_rootfs(banger_rootfs *rootfs, banger_cancel *cancel, banger_error **error)
{
    uint64_t size;
    return banger_rootfs_resize(rootfs, 1 << 30, cancel, &size, error);
}

static int commit_rootfs(banger_rootfs *rootfs, banger_cancel *cancel, banger_error **error)
{
    return banger_rootfs_commit(rootfs, cancel, error);
}

static int remove_in_rootfs(banger_rootfs *rootfs, banger_cancel *cancel, banger_error **error)
{
    return banger_rootfs_remove(rootfs, "/hello", BANGER_STRLEN, cancel, error);
}

/* Calls on a file system that another thread uses, which waits for a pipe that nobody writes to. */
static void while_a_thread_has_the_file_system(void)
{
    char path[4096], source[4096];
    int (*const calls[])(banger_rootfs *, banger_cancel *, banger_error **) = {verify_rootfs, grow_rootfs,
                                                                               commit_rootfs, remove_in_rootfs};
    const char *const names[] = {"verify", "grow", "commit", "remove in a file system"};
    banger_error *error = NULL;
    banger_rootfs *rootfs = NULL, *second = NULL;
    banger_string *text = NULL;
    banger_stat stat;
    pthread_t thread;
    writer slow;
    size_t at;
    double start;
    int pipe_fds[2];

    snprintf(source, sizeof source, "%s/source", directory);
    snprintf(path, sizeof path, "%s/locked.ext4", directory);
    CHECK_OK(banger_build(source, path, NULL, NULL, NULL, NULL, &text, &error));
    banger_string_free(text);
    CHECK_OK(banger_rootfs_open(path, BANGER_EDIT, NULL, &rootfs, &error));
    /* Nobody else opens it; who tries is told soon, as nothing could cancel it. */
    start = now();
    CHECK_FAILS(714, banger_rootfs_open(path, BANGER_EDIT, NULL, &second, &error));
    CHECK(banger_rootfs_open(path, 0, NULL, &second, &error) != 0);
    CHECK(banger_error_kind(error) == BANGER_KIND_IN_USE && banger_error_is_transient(error));
    banger_error_free(error);
    error = NULL;
    check_soon("open of a file in use, twice", now() - start);

    CHECK(pipe(pipe_fds) == 0);
    slow.rootfs = rootfs;
    slow.fd = pipe_fds[0];
    slow.cancel = banger_cancel_new();
    CHECK(pthread_create(&thread, NULL, write_slowly, &slow) == 0);
    /* It has begun when it has taken this. */
    CHECK(write(pipe_fds[1], "x", 1) == 1);
    for (;;) {
        fd_set set;
        struct timeval none = {0, 0};
        FD_ZERO(&set);
        FD_SET(pipe_fds[0], &set);
        if (select(pipe_fds[0] + 1, &set, NULL, NULL, &none) == 0)
            break;
        pause_ms(1);
    }
    for (at = 0; at < sizeof calls / sizeof *calls; at++) {
        timer what;
        start_timer(&what, 60);
        CHECK_FAILS(BANGER_ERROR_CANCELLED, calls[at](rootfs, what.cancel, &error));
        check_soon(names[at], stop_timer(&what));
    }
    start = now();
    banger_cancel_cancel(slow.cancel);
    CHECK(pthread_join(thread, NULL) == 0);
    check_soon("write from a silent pipe", now() - start);
    CHECK(slow.code == BANGER_ERROR_CANCELLED);
    CHECK(banger_rootfs_stat(rootfs, "/slow", BANGER_STRLEN, &stat, sizeof stat, NULL) == 700);
    CHECK_OK(banger_rootfs_stat(rootfs, "/hello", BANGER_STRLEN, &stat, sizeof stat, &error));
    CHECK_OK(banger_rootfs_commit(rootfs, NULL, &error));
    banger_rootfs_free(rootfs);
    banger_cancel_free(slow.cancel);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

int main(int count, char **arguments)
{
    CHECK(count >= 3);
    reference = arguments[1];
    directory = arguments[2];
    store = open_store(directory);
    if (count > 3)
        return pull_for_ever();
    while_another_process_pulls(arguments[0]);
    while_a_store_is_locked();
    while_a_thread_has_the_file_system();
    banger_store_free(store);
    return 0;
}
