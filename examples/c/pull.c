/*
 * Pulls an image and prints its record as JSON. Shows progress on standard error; Ctrl-C cancels.
 *
 *     cc -o pull pull.c $(pkg-config --cflags --libs banger)
 *     ./pull debian:bookworm /var/tmp/images
 */
#include <banger.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* Called on the thread of main. An event comes at least every 200 ms, so that a signal is seen soon. */
static int show(const banger_event *event, void *user_data)
{
    (void)user_data;
    switch (banger_event_kind(event)) {
    case BANGER_EVENT_BLOB_PROGRESS:
    case BANGER_EVENT_LAYER_PROGRESS:
        fprintf(stderr, "\r%3.0f %% of %llu bytes ",
                banger_event_size_bytes(event) == 0 ? 100.0
                    : 100.0 * (double)banger_event_done_bytes(event) / (double)banger_event_size_bytes(event),
                (unsigned long long)banger_event_size_bytes(event));
        break;
    case BANGER_EVENT_WARNING:
    case BANGER_EVENT_RETRY:
        fprintf(stderr, "\rnote: %s\n", banger_event_message(event));
        break;
    case BANGER_EVENT_DONE:
        fprintf(stderr, "\r%40s\r", "");
        break;
    default:
        break;
    }
    return interrupted;
}

static int failed(banger_error *error)
{
    fprintf(stderr, "error %d: %s\n", banger_error_code(error), banger_error_message(error));
    if (banger_error_advice(error)[0] != '\0')
        fprintf(stderr, "  %s\n", banger_error_advice(error));
    banger_error_free(error);
    return 1;
}

static int pull(const char *reference, const char *directory)
{
    char state[4096], cache[4096];
    banger_store *store = NULL;
    banger_options *options = banger_options_new();
    banger_image *image = NULL;
    banger_error *error = NULL;
    int code;

    snprintf(state, sizeof state, "%s/state", directory);
    snprintf(cache, sizeof cache, "%s/cache", directory);
    code = banger_store_open(state, cache, &store, &error);
    /* A library that was built without a guest binary cannot make an image boot. */
    if (code == 0 && (banger_features() & (BANGER_FEATURE_GUEST_AMD64 | BANGER_FEATURE_GUEST_ARM64)) == 0)
        code = banger_options_set_bool(options, BANGER_OPT_INJECT, false, &error);
    if (code == 0)
        code = banger_pull(store, reference, options, NULL, show, NULL, &image, &error);
    if (code == 0)
        printf("%s\n", banger_image_json(image));
    banger_image_free(image);
    banger_options_free(options);
    banger_store_free(store);
    return code == 0 ? 0 : failed(error);
}

int main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "usage: %s REFERENCE DIRECTORY\n", arguments[0]);
        return 2;
    }
    if (banger_version_number() / 1000000 != BANGER_VERSION_MAJOR) {
        fprintf(stderr, "this program needs version %d of banger\n", BANGER_VERSION_MAJOR);
        return 2;
    }
    signal(SIGINT, on_interrupt);
    return pull(arguments[1], arguments[2]);
}
