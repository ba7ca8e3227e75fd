/* Cancelled at every event, from another thread at many moments, and while a registry says nothing. */
#include "timing.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* Images and what is on the way to become one; locks may stay. */
static int left_behind(const char *directory)
{
    char path[4096];
    DIR *images;
    struct dirent *entry;
    int count = 0;
    snprintf(path, sizeof path, "%s/state/images", directory);
    images = opendir(path);
    if (images == NULL)
        return 0;
    while ((entry = readdir(images)) != NULL)
        if (entry->d_name[0] != '.' && strstr(entry->d_name, "lock") == NULL) {
            fprintf(stderr, "left: %s\n", entry->d_name);
            count++;
        }
    closedir(images);
    return count;
}

static int stop_at(const banger_event *event, void *user_data)
{
    int *left = (int *)user_data;
    (void)event;
    return --*left < 0;
}

static banger_options *named_options(void)
{
    banger_error *error = NULL;
    banger_options *options = plain_options();
    CHECK_OK(banger_options_set_string(options, BANGER_OPT_NAME, "c-test", &error));
    return options;
}

static void at_every_event(banger_store *store, const char *reference, const char *directory)
{
    banger_error *error = NULL;
    banger_options *options = named_options();
    int at, code;
    for (at = 0;; at++) {
        int left = at;
        banger_image *image = NULL;
        code = banger_pull(store, reference, options, NULL, stop_at, &left, &image, &error);
        if (code == 0) {
            banger_image_free(image);
            CHECK_OK(banger_store_remove(store, "c-test", NULL, &error));
            /* Either every event was let pass, or the pull was over when the last one was refused. */
            if (left >= 0)
                break;
            continue;
        }
        CHECK(code == BANGER_ERROR_CANCELLED && image == NULL);
        CHECK(banger_error_kind(error) == BANGER_KIND_CANCELLED);
        banger_error_free(error);
        error = NULL;
        CHECK(left_behind(directory) == 0);
    }
    CHECK(at > 3);
    banger_options_free(options);
}

/* Runs a pull that a thread cancels after a while; returns its code, and how long it went on after that. */
static int pull_cancelled(banger_store *store, const char *reference, banger_options *options, long after_ms,
                          double *late)
{
    banger_error *error = NULL;
    banger_image *image = NULL;
    timer what;
    int code;
    start_timer(&what, after_ms);
    code = banger_pull(store, reference, options, what.cancel, NULL, NULL, &image, &error);
    *late = stop_timer(&what);
    CHECK(banger_error_code(error) == code);
    banger_error_free(error);
    banger_image_free(image);
    return code;
}

static void at_a_timer(banger_store *store, const char *reference, const char *directory)
{
    banger_error *error = NULL;
    banger_options *options = named_options();
    long after;
    double late;
    for (after = 0; after < 40; after += 3) {
        int code = pull_cancelled(store, reference, options, after, &late);
        if (code == 0)
            CHECK_OK(banger_store_remove(store, "c-test", NULL, &error));
        else
            CHECK(code == BANGER_ERROR_CANCELLED);
        CHECK(left_behind(directory) == 0);
    }
    banger_options_free(options);
}

static int stop_when_idle(const banger_event *event, void *user_data)
{
    int *idle = (int *)user_data;
    *idle += banger_event_kind(event) == BANGER_EVENT_IDLE;
    return *idle == 2;
}

/* A registry that takes connections and says nothing: no event comes, and no byte. */
static void while_all_is_silent(banger_store *store)
{
    char reference[64];
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    banger_error *error = NULL;
    banger_options *options = named_options();
    banger_image *image = NULL;
    int listener = socket(AF_INET, SOCK_STREAM, 0), idle = 0;
    double late;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listener, 16) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(reference, sizeof reference, "127.0.0.1:%d/a/b:c", ntohs(address.sin_port));
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_PLAIN_HTTP, true, &error));
    CHECK(pull_cancelled(store, reference, options, 100, &late) == BANGER_ERROR_CANCELLED);
    check_soon("silent registry", late);
    CHECK_FAILS(BANGER_ERROR_CANCELLED,
                banger_pull(store, reference, options, NULL, stop_when_idle, &idle, &image, &error));
    CHECK(idle == 2);
    close(listener);
    banger_options_free(options);
}

int main(int count, char **arguments)
{
    banger_store *store;
    CHECK(count == 3);
    store = open_store(arguments[2]);
    at_every_event(store, arguments[1], arguments[2]);
    at_a_timer(store, arguments[1], arguments[2]);
    while_all_is_silent(store);
    banger_store_free(store);
    return 0;
}
