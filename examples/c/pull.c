/*
 * Pulls an image into DIRECTORY/vm1.ext4, writes name, key and network of a machine into it, and prints the image's
 * record as JSON. Shows progress on standard error; Ctrl-C cancels.
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

/* Writes a small text to a path in the file system. */
static int put(banger_rootfs *rootfs, const char *path, const char *text, banger_error **error)
{
    return banger_rootfs_write(rootfs, path, BANGER_STRLEN, (const uint8_t *)text, strlen(text), NULL, 0, NULL,
                               error);
}

/* Gives the machine its name, a key for ssh and its network; all of it or nothing is in the file afterwards. */
static int prepare(const char *file, banger_error **error)
{
    banger_rootfs *rootfs = NULL;
    banger_options *network = banger_options_new();
    int code = banger_rootfs_open(file, BANGER_EDIT, NULL, &rootfs, error);
    if (code == 0)
        code = put(rootfs, "/etc/hostname", "vm1\n", error);
    if (code == 0)
        code = put(rootfs, "/etc/ssh-key-of-vm1", "ssh-ed25519 AAAA… me\n", error);
    if (code == 0)
        code = banger_options_add_string(network, BANGER_OPT_NETWORK_ADDRESS, "10.0.0.2/24", error);
    if (code == 0)
        code = banger_options_add_string(network, BANGER_OPT_NETWORK_GATEWAY, "10.0.0.1", error);
    if (code == 0)
        code = banger_rootfs_write_network(rootfs, network, error);
    if (code == 0)
        code = banger_rootfs_commit(rootfs, NULL, error);
    banger_options_free(network);
    banger_rootfs_free(rootfs);
    return code;
}

static int pull(const char *reference, const char *directory)
{
    char state[4096], cache[4096], file[4096];
    banger_store *store = NULL;
    banger_options *options = banger_options_new();
    banger_image *image = NULL;
    banger_error *error = NULL;
    int code;

    snprintf(state, sizeof state, "%s/state", directory);
    snprintf(cache, sizeof cache, "%s/cache", directory);
    snprintf(file, sizeof file, "%s/vm1.ext4", directory);
    code = banger_store_open(state, cache, &store, &error);
    if (code == 0)
        code = banger_options_set_bool(options, BANGER_OPT_FORCE, true, &error);
    /* A pull makes the image boot; a library that was built without a guest binary cannot. */
    if (code == 0 && (banger_features() & (BANGER_FEATURE_GUEST_AMD64 | BANGER_FEATURE_GUEST_ARM64)) == 0)
        code = banger_options_set_bool(options, BANGER_OPT_INJECT, false, &error);
    if (code == 0)
        code = banger_pull_to_file(store, reference, file, options, NULL, show, NULL, &image, &error);
    if (code == 0)
        code = prepare(file, &error);
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
