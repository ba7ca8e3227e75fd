/* All that a program does with images: pull, look, copy, remove, build; blocking and as tasks. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

typedef struct seen {
    pthread_t caller;
    int events;
    int resolved;
    int done;
    int open_fds;
} seen;

/* What the program was started with is not the library's. */
static bool inherited[256];

static void find_inherited(void)
{
    int fd;
    for (fd = 0; fd < 256; fd++)
        inherited[fd] = fcntl(fd, F_GETFD) >= 0;
}

static int look(const banger_event *event, void *user_data)
{
    seen *what = (seen *)user_data;
    int fd;
    CHECK(pthread_equal(what->caller, pthread_self()));
    CHECK(banger_event_json(event)[0] == '{');
    what->events++;
    if (banger_event_kind(event) == BANGER_EVENT_RESOLVED) {
        what->resolved++;
        CHECK(strncmp(banger_event_digest(event), "sha256:", 7) == 0);
        CHECK(banger_event_size_bytes(event) > 0);
    }
    if (banger_event_kind(event) == BANGER_EVENT_DONE)
        what->done++;
    /* What the library opens is closed in programs that are started meanwhile. */
    for (fd = 3; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !inherited[fd]) {
            what->open_fds++;
            CHECK((flags & FD_CLOEXEC) != 0);
        }
    }
    return 0;
}

static void pull_and_look(banger_store *store, const char *reference, const char *directory)
{
    char path[4096];
    banger_error *error = NULL;
    banger_options *options = plain_options();
    banger_image *image = NULL, *again = NULL, *found = NULL;
    banger_string *json = NULL;
    seen what;

    memset(&what, 0, sizeof what);
    what.caller = pthread_self();
    CHECK_OK(banger_options_set_string(options, BANGER_OPT_NAME, "one", &error));
    CHECK_OK(banger_pull(store, reference, options, NULL, look, &what, &image, &error));
    CHECK(what.resolved == 1 && what.done == 1 && what.events > 3 && what.open_fds > 0);
    CHECK(strcmp(banger_image_name(image), "one") == 0);
    CHECK(strlen(banger_image_id(image)) >= 12);
    CHECK(strncmp(banger_image_digest(image), "sha256:", 7) == 0);
    CHECK(banger_image_size_bytes(image) >= 8 << 20);
    CHECK(!banger_image_is_unchanged(image));
    CHECK(strstr(banger_image_json(image), "\"unchanged\":false") != NULL);
    CHECK(access(banger_image_path(image), R_OK) == 0);

    CHECK_OK(banger_pull(store, reference, options, NULL, NULL, NULL, &again, NULL));
    CHECK(banger_image_is_unchanged(again));
    CHECK(strcmp(banger_image_id(again), banger_image_id(image)) == 0);
    banger_image_free(again);

    CHECK_OK(banger_store_list(store, &json, &error));
    CHECK(contains(json, "\"name\":\"one\""));
    banger_string_free(json);
    CHECK_OK(banger_store_verify(store, "one", NULL, &json, &error));
    CHECK(contains(json, "\"problems\":[]"));
    banger_string_free(json);

    CHECK_OK(banger_store_rename(store, "one", "two", NULL, &error));
    CHECK_FAILS(400, banger_store_find(store, "one", NULL, &found, &error));
    CHECK_OK(banger_store_clone(store, "two", "three", NULL, NULL, &found, &error));
    CHECK(strcmp(banger_image_name(found), "three") == 0);
    CHECK(strcmp(banger_image_path(found), banger_image_path(image)) != 0);
    banger_image_free(found);
    CHECK_OK(banger_store_find(store, "two", NULL, &found, &error));
    CHECK(strcmp(banger_image_path(found), banger_image_path(image)) == 0);
    banger_image_free(found);

    snprintf(path, sizeof path, "%s/exported.ext4", directory);
    CHECK_OK(banger_store_export(store, "three", path, false, NULL, &error));
    CHECK(banger_store_export(store, "three", path, false, NULL, &error) != 0);
    CHECK(banger_error_kind(error) == BANGER_KIND_EXISTS);
    banger_error_free(error);
    error = NULL;
    CHECK_OK(banger_store_export(store, "three", path, true, NULL, &error));

    /* An image is kept where it is while somebody has it. */
    CHECK(banger_store_remove(store, "two", NULL, &error) != 0);
    CHECK(banger_error_kind(error) == BANGER_KIND_IN_USE);
    banger_error_free(error);
    error = NULL;
    snprintf(path, sizeof path, "%s", banger_image_path(image));
    banger_image_free(image);
    CHECK_OK(banger_store_remove(store, "two", NULL, &error));
    CHECK(access(path, F_OK) != 0);
    CHECK_OK(banger_store_remove(store, "three", NULL, &error));
    banger_options_free(options);
}

/* Cancels when a layer is written. */
static int stop_at_layer(const banger_event *event, void *user_data)
{
    (void)user_data;
    return banger_event_kind(event) == BANGER_EVENT_LAYER_PROGRESS ||
           banger_event_kind(event) == BANGER_EVENT_LAYER_DONE;
}

static bool same_bytes(FILE *left, FILE *right)
{
    static char a[1 << 16], b[1 << 16];
    size_t n;
    rewind(left);
    rewind(right);
    do {
        n = fread(a, 1, sizeof a, left);
        if (fread(b, 1, sizeof b, right) != n || memcmp(a, b, n) != 0)
            return false;
    } while (n > 0);
    return true;
}

static void open_files(banger_store *store, const char *reference, const char *directory)
{
    char path[4096], name[64];
    banger_error *error = NULL;
    banger_options *options = plain_options();
    banger_image *image = NULL;
    banger_task *task = NULL;
    FILE *file = tmpfile(), *wanted;
    int ends[2], fd;

    snprintf(path, sizeof path, "%s/wanted.ext4", directory);
    CHECK_OK(banger_pull_to_file(store, reference, path, options, NULL, NULL, NULL, &image, &error));
    banger_image_free(image);
    wanted = fopen(path, "rb");
    CHECK(file != NULL && wanted != NULL);
    fd = fileno(file);
    CHECK(pwrite(fd, "old", 3, 100 << 20) == 3 && lseek(fd, 17, SEEK_SET) == 17);
    CHECK_OK(banger_pull_to_fd(store, reference, fd, options, NULL, NULL, NULL, &image, &error));
    snprintf(name, sizeof name, "/dev/fd/%d", fd);
    CHECK(strcmp(banger_image_path(image), name) == 0);
    banger_image_free(image);
    CHECK(lseek(fd, 0, SEEK_CUR) == 17);
    CHECK(same_bytes(wanted, file));

    /* The task has a descriptor of its own. */
    CHECK(ftruncate(fd, 0) == 0);
    fd = dup(fd);
    CHECK_OK(banger_pull_to_fd_start(store, reference, fd, options, NULL, &task, &error));
    close(fd);
    CHECK_OK(banger_task_finish_image(task, &image, &error));
    banger_image_free(image);
    banger_task_free(task);
    CHECK(same_bytes(wanted, file));

    fd = fileno(file);
    CHECK_FAILS(505, banger_pull_to_fd(store, reference, fd, options, NULL, stop_at_layer, NULL, &image, &error));
    CHECK(lseek(fd, 0, SEEK_END) == 0);
    CHECK(pipe(ends) == 0);
    CHECK_FAILS(508, banger_pull_to_fd(store, reference, ends[1], options, NULL, NULL, NULL, &image, &error));
    close(ends[0]);
    close(ends[1]);
    CHECK_FAILS(BANGER_ERROR_ARGUMENT,
                banger_pull_to_fd(store, reference, -1, options, NULL, NULL, NULL, &image, &error));
    CHECK_FAILS(BANGER_ERROR_ARGUMENT,
                banger_pull_to_fd(store, reference, ends[1], options, NULL, NULL, NULL, &image, &error));
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_FORCE, true, &error));
    CHECK_FAILS(BANGER_ERROR_OPTION,
                banger_pull_to_fd(store, reference, fd, options, NULL, NULL, NULL, &image, &error));
    fclose(wanted);
    fclose(file);
    banger_options_free(options);
}

/* A guest binary in memory is checked as one in a directory is. */
static void guest_binaries(banger_store *store, const char *reference)
{
    /* The head of an ELF file for a processor that nobody has, and of no ELF file. */
    static const uint8_t foreign[64] = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0xff, 0xff};
    static const uint8_t script[] = "#!/bin/sh\n";
    banger_error *error = NULL;
    banger_options *options = banger_options_new();
    banger_image *image = NULL;

    CHECK_OK(banger_options_set_bytes(options, BANGER_OPT_GUEST_BINARY, foreign, sizeof foreign, &error));
    CHECK(banger_pull(store, reference, options, NULL, NULL, NULL, &image, &error) == 812);
    CHECK(strstr(banger_error_message(error), "it is for another processor") != NULL);
    banger_error_free(error);
    error = NULL;
    CHECK_OK(banger_options_set_bytes(options, BANGER_OPT_GUEST_BINARY, script, sizeof script, &error));
    CHECK(banger_pull(store, reference, options, NULL, NULL, NULL, &image, &error) == 812);
    CHECK(strstr(banger_error_message(error), "it is not an ELF file") != NULL);
    banger_error_free(error);
    error = NULL;
    CHECK_OK(banger_options_set_string(options, BANGER_OPT_GUEST_DIR, "/nowhere", &error));
    CHECK_FAILS(813, banger_pull(store, reference, options, NULL, NULL, NULL, &image, &error));
    CHECK_FAILS(BANGER_ERROR_ARGUMENT,
                banger_options_set_string(options, BANGER_OPT_GUEST_BINARY, "text", &error));
    banger_options_free(options);
}

/* A disk without a source, only where it is wanted. */
static void empty_disk(const char *directory)
{
    char path[4096];
    banger_error *error = NULL;
    banger_string *json = NULL;
    banger_options *options = banger_options_new();

    snprintf(path, sizeof path, "%s/data.ext4", directory);
    CHECK_OK(banger_options_set_u64(options, BANGER_OPT_HEADROOM_BYTES, 1 << 20, &error));
    CHECK_FAILS(BANGER_ERROR_ARGUMENT, banger_build(NULL, path, options, NULL, NULL, NULL, &json, &error));
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_OWN_IDENTITY, true, &error));
    CHECK_OK(banger_options_set_u64(options, BANGER_OPT_JOURNAL_BYTES, 0, &error));
    CHECK_OK(banger_options_set_u64(options, BANGER_OPT_RESERVED_BLOCKS, 3, &error));
    CHECK_OK(banger_build(NULL, path, options, NULL, NULL, NULL, &json, &error));
    CHECK(contains(json, "\"source_kind\":\"empty\"") && contains(json, "\"source\":null"));
    banger_string_free(json);
    CHECK_OK(banger_options_set_u64(options, BANGER_OPT_SIZE_BYTES, 16 << 20, &error));
    CHECK_FAILS(BANGER_ERROR_ARGUMENT, banger_build(NULL, path, options, NULL, NULL, NULL, &json, &error));
    banger_options_free(options);
}

static void files_and_builds(banger_store *store, const char *reference, const char *directory)
{
    char path[4096], source[4096];
    banger_error *error = NULL;
    banger_options *options = plain_options();
    banger_image *image = NULL;
    banger_string *json = NULL;

    snprintf(path, sizeof path, "%s/pulled.ext4", directory);
    CHECK_OK(banger_pull_to_file(store, reference, path, options, NULL, NULL, NULL, &image, &error));
    CHECK(strcmp(banger_image_path(image), path) == 0);
    banger_image_free(image);
    CHECK(banger_pull_to_file(store, reference, path, options, NULL, NULL, NULL, &image, &error) != 0);
    CHECK(banger_error_kind(error) == BANGER_KIND_EXISTS && !banger_error_is_transient(error));
    banger_error_free(error);
    error = NULL;
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_FORCE, true, &error));
    CHECK_OK(banger_pull_to_file(store, reference, path, options, NULL, NULL, NULL, &image, &error));
    banger_image_free(image);
    /* A file has no name, and a build makes nothing boot: such options are refused, not ignored. */
    CHECK_FAILS(BANGER_ERROR_OPTION, banger_build(directory, path, options, NULL, NULL, NULL, &json, &error));
    CHECK_OK(banger_options_set_string(options, BANGER_OPT_NAME, "x", &error));
    CHECK_FAILS(BANGER_ERROR_OPTION,
                banger_pull_to_file(store, reference, path, options, NULL, NULL, NULL, &image, &error));
    banger_options_free(options);

    options = banger_options_new();
    CHECK_OK(banger_options_set_string(options, BANGER_OPT_LABEL, "root", &error));
    CHECK_OK(banger_options_set_u64(options, BANGER_OPT_SIZE_BYTES, 16 << 20, &error));
    snprintf(source, sizeof source, "%s/source", directory);
    snprintf(path, sizeof path, "%s/built.ext4", directory);
    CHECK_OK(banger_build(source, path, options, NULL, NULL, NULL, &json, &error));
    CHECK(contains(json, "\"label\":\"root\"") && contains(json, "\"size_bytes\":16777216"));
    banger_string_free(json);
    empty_disk(directory);
    CHECK_OK(banger_cache_list(store, &json, &error));
    CHECK(contains(json, "\"version\":1"));
    banger_string_free(json);
    CHECK_OK(banger_cache_verify(store, true, NULL, &json, &error));
    CHECK(contains(json, "\"damaged\":[]"));
    banger_string_free(json);
    banger_options_free(options);
    options = banger_options_new();
    CHECK_FAILS(BANGER_ERROR_ARGUMENT, banger_store_prune(store, options, NULL, &json, &error));
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_ALL, true, &error));
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_DRY_RUN, true, &error));
    CHECK_OK(banger_store_prune(store, options, NULL, &json, &error));
    CHECK(contains(json, "\"dry_run\":true"));
    banger_string_free(json);
    banger_options_free(options);
    options = banger_options_new();
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_ALL, true, &error));
    CHECK_OK(banger_cache_prune(store, options, &json, &error));
    CHECK(contains(json, "\"kept_bytes\":0"));
    banger_string_free(json);
    banger_options_free(options);
}

static void tasks(banger_store *store, const char *reference, const char *directory)
{
    char path[4096], source[4096];
    banger_error *error = NULL;
    banger_options *options = plain_options();
    banger_task *task = NULL;
    banger_image *image = NULL;
    banger_string *json = NULL;
    const banger_event *event = NULL;
    int events = 0;

    CHECK_OK(banger_pull_start(store, reference, NULL, options, NULL, &task, &error));
    CHECK_FAILS(BANGER_ERROR_ARGUMENT, banger_task_finish_json(task, &json, &error));
    for (;;) {
        struct pollfd wait;
        wait.fd = banger_task_fd(task);
        wait.events = POLLIN;
        CHECK(wait.fd >= 0 && poll(&wait, 1, 60000) == 1);
        CHECK_OK(banger_task_next(task, 0, &event, &error));
        if (event == NULL)
            break;
        CHECK(banger_event_kind(event) != BANGER_EVENT_IDLE);
        events++;
    }
    CHECK(events > 3);
    CHECK_OK(banger_task_finish_image(task, &image, &error));
    CHECK(banger_image_size_bytes(image) > 0);
    CHECK(banger_task_fd(task) == -1);
    CHECK_FAILS(BANGER_ERROR_ARGUMENT, banger_task_finish_image(task, &image, &error));
    CHECK_OK(banger_task_next(task, 1000, &event, &error));
    CHECK(event == NULL);
    banger_task_free(task);
    banger_image_free(image);

    /* A task that is freed is cancelled first. */
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_FORCE, true, &error));
    CHECK_OK(banger_pull_start(store, reference, NULL, options, NULL, &task, &error));
    banger_task_free(task);
    banger_options_free(options);

    snprintf(source, sizeof source, "%s/source", directory);
    snprintf(path, sizeof path, "%s/task.ext4", directory);
    CHECK_OK(banger_build_start(source, path, NULL, NULL, &task, &error));
    CHECK_OK(banger_task_finish_json(task, &json, &error));
    CHECK(contains(json, "\"source_kind\":\"directory\""));
    banger_string_free(json);
    banger_task_free(task);
}

int main(int count, char **arguments)
{
    banger_store *store;
    CHECK(count == 3);
    CHECK(banger_version_number() == BANGER_VERSION_NUMBER);
    CHECK(strlen(banger_version()) >= 5);
    find_inherited();
    store = open_store(arguments[2]);
    pull_and_look(store, arguments[1], arguments[2]);
    files_and_builds(store, arguments[1], arguments[2]);
    open_files(store, arguments[1], arguments[2]);
    guest_binaries(store, arguments[1]);
    tasks(store, arguments[1], arguments[2]);
    banger_store_free(store);
    return 0;
}
