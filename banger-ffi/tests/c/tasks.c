/* What threads may share, shared: one event loop for many tasks that others cancel, a file system, an image, its
   metadata. Runs under ThreadSanitizer, too. */
#include "timing.h"

#include <poll.h>
#include <unistd.h>

#define TASKS 6
#define THREADS 8

static banger_store *store;
static const char *reference, *directory;

typedef struct job {
    banger_task *task;
    banger_cancel *cancel;
    int events;
    bool is_over;
} job;

static void *cancel_some(void *argument)
{
    job *jobs = (job *)argument;
    int at;
    for (at = 0; at < TASKS; at += 2) {
        pause_ms(7);
        banger_cancel_cancel(jobs[at].cancel);
    }
    return NULL;
}

/* Takes all events that a task has. */
static void take_events(job *one)
{
    for (;;) {
        banger_error *error = NULL;
        const banger_event *event = NULL;
        CHECK_OK(banger_task_next(one->task, 0, &event, &error));
        if (event == NULL) {
            one->is_over = true;
            return;
        }
        if (banger_event_kind(event) == BANGER_EVENT_IDLE)
            return;
        CHECK(banger_event_json(event)[0] == '{');
        one->events++;
    }
}

static void an_event_loop(void)
{
    job jobs[TASKS];
    pthread_t thread;
    int at, left = TASKS, whole = 0;

    memset(jobs, 0, sizeof jobs);
    for (at = 0; at < TASKS; at++) {
        char name[32];
        banger_error *error = NULL;
        banger_options *options = plain_options();
        /* Two tasks for each name: one waits for the other. */
        snprintf(name, sizeof name, "task-%d", at / 2);
        CHECK_OK(banger_options_set_string(options, BANGER_OPT_NAME, name, &error));
        jobs[at].cancel = banger_cancel_new();
        CHECK_OK(banger_pull_start(store, reference, NULL, options, jobs[at].cancel, &jobs[at].task, &error));
        banger_options_free(options);
    }
    CHECK(pthread_create(&thread, NULL, cancel_some, jobs) == 0);
    while (left > 0) {
        struct pollfd fds[TASKS];
        memset(fds, 0, sizeof fds);
        for (at = 0; at < TASKS; at++) {
            fds[at].fd = jobs[at].is_over ? -1 : banger_task_fd(jobs[at].task);
            fds[at].events = POLLIN;
        }
        CHECK(poll(fds, TASKS, 60000) > 0);
        for (at = 0; at < TASKS; at++) {
            if ((fds[at].revents & POLLIN) != 0) {
                take_events(&jobs[at]);
                left -= jobs[at].is_over;
            }
        }
    }
    CHECK(pthread_join(thread, NULL) == 0);
    for (at = 0; at < TASKS; at++) {
        banger_error *error = NULL;
        banger_image *image = NULL;
        int code = banger_task_finish_image(jobs[at].task, &image, &error);
        CHECK(code == 0 || (code == BANGER_ERROR_CANCELLED && at % 2 == 0));
        CHECK(code == 0 ? access(banger_image_path(image), R_OK) == 0 : image == NULL);
        CHECK(jobs[at].events > 0 || code != 0);
        whole += code == 0;
        banger_error_free(error);
        banger_image_free(image);
        banger_task_free(jobs[at].task);
        banger_cancel_free(jobs[at].cancel);
    }
    fprintf(stderr, "%d of %d tasks were whole\n", whole, TASKS);
}

/* A task is freed while it runs. */
static void freed_tasks(void)
{
    int at;
    for (at = 0; at < 5; at++) {
        banger_error *error = NULL;
        banger_options *options = plain_options();
        banger_task *task = NULL;
        CHECK_OK(banger_options_set_bool(options, BANGER_OPT_FORCE, true, &error));
        CHECK_OK(banger_pull_start(store, reference, NULL, options, NULL, &task, &error));
        banger_options_free(options);
        pause_ms(at * 4);
        banger_task_free(task);
    }
}

typedef struct shared {
    banger_rootfs *rootfs;
    banger_image *image;
    banger_metadata *metadata;
    int number;
} shared;

static void *use_shared(void *argument)
{
    shared *what = (shared *)argument;
    char path[64];
    banger_error *error = NULL;
    banger_string *text = NULL;
    banger_metadata_entry entry;
    size_t at;
    int round;
    snprintf(path, sizeof path, "/file-%d", what->number);
    for (round = 0; round < 5; round++) {
        CHECK_OK(banger_rootfs_write(what->rootfs, path, BANGER_STRLEN, (const uint8_t *)path, strlen(path), NULL, 0,
                                     NULL, &error));
        CHECK_OK(banger_rootfs_commit(what->rootfs, NULL, &error));
        CHECK_OK(banger_rootfs_read(what->rootfs, path, BANGER_STRLEN, &text, &error));
        CHECK(strcmp(banger_string_data(text), path) == 0);
        banger_string_free(text);
        for (at = 0; at < banger_metadata_length(what->metadata); at++)
            CHECK_OK(banger_metadata_at(what->metadata, at, &entry, sizeof entry, &error));
        CHECK(banger_image_json(what->image)[0] == '{' && banger_image_size_bytes(what->image) > 0);
        CHECK_OK(banger_store_list(store, &text, &error));
        banger_string_free(text);
    }
    return NULL;
}

static void threads_share_handles(void)
{
    shared all[THREADS];
    pthread_t threads[THREADS];
    char path[4096];
    banger_error *error = NULL;
    banger_options *options = plain_options();
    banger_string *json = NULL;
    int at;
    memset(all, 0, sizeof all);
    snprintf(path, sizeof path, "%s/shared.ext4", directory);
    CHECK_OK(banger_pull_to_file(store, reference, path, options, NULL, NULL, NULL, &all[0].image, &error));
    banger_options_free(options);
    CHECK_OK(banger_rootfs_open(path, BANGER_EDIT, NULL, &all[0].rootfs, &error));
    CHECK_OK(banger_metadata_of_rootfs(all[0].rootfs, NULL, &all[0].metadata, &error));
    for (at = 0; at < THREADS; at++) {
        all[at] = all[0];
        all[at].number = at;
        CHECK(pthread_create(&threads[at], NULL, use_shared, &all[at]) == 0);
    }
    for (at = 0; at < THREADS; at++)
        CHECK(pthread_join(threads[at], NULL) == 0);
    CHECK_OK(banger_rootfs_verify(all[0].rootfs, NULL, &json, &error));
    CHECK(contains(json, "\"problems\":[]"));
    banger_string_free(json);
    banger_metadata_free(all[0].metadata);
    banger_rootfs_free(all[0].rootfs);
    banger_image_free(all[0].image);
}

int main(int count, char **arguments)
{
    CHECK(count == 3);
    reference = arguments[1];
    directory = arguments[2];
    store = open_store(directory);
    an_event_loop();
    freed_tasks();
    threads_share_handles();
    banger_store_free(store);
    return 0;
}
