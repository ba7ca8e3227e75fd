/*
 * Makes the disk of a virtual machine: pulls an image into FILE with a progress bar, writes hostname, ssh key and
 * network into it, makes it boot, and prints the image's record as JSON. PROGRAM is what runs in the machine if the
 * image has no init. Ctrl-C stops it and leaves no file. With SOURCE_DATE_EPOCH the disk is reproducible.
 *
 *     cc -o pull pull.c $(pkg-config --cflags --libs banger)
 *     ./pull debian:bookworm vm1.ext4 vm1 "ssh-ed25519 AAAA… me" 10.0.0.2/24 10.0.0.1
 *
 * examples/rust, examples/go/pull and examples/python are the same program.
 */
#define _POSIX_C_SOURCE 200809L
#include <banger.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 40, LAYERS = 512 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

typedef struct bar {
    bool is_terminal, is_drawn;
    uint64_t total, done[LAYERS];
} bar;

static void draw(bar *b, int percent)
{
    char filled[WIDTH + 1];
    memset(filled, '#', sizeof filled);
    filled[percent * WIDTH / 100] = '\0';
    fprintf(stderr, "\r[%-*s] %3d %%", WIDTH, filled, percent);
    b->is_drawn = true;
}

static void end_line(bar *b)
{
    if (b->is_drawn)
        fputc('\n', stderr);
    b->is_drawn = false;
}

/* Called on the thread of main, at least every 200 ms: so that a signal is seen soon. */
static int tell(const banger_event *event, void *user_data)
{
    bar *b = (bar *)user_data;
    uint64_t sum = 0;
    uint32_t layer = banger_event_layer(event);
    size_t at;
    switch (banger_event_kind(event)) {
    case BANGER_EVENT_RESOLVED:
        b->total = banger_event_size_bytes(event);
        break;
    case BANGER_EVENT_LAYER_PROGRESS:
        if (layer < LAYERS)
            b->done[layer] = banger_event_done_bytes(event);
        for (at = 0; at < LAYERS; at++)
            sum += b->done[at];
        if (b->is_terminal && b->total > 0)
            draw(b, sum < b->total ? (int)(sum * 100 / b->total) : 100);
        break;
    case BANGER_EVENT_WARNING:
    case BANGER_EVENT_RETRY:
        end_line(b);
        fprintf(stderr, "note: %s\n", banger_event_message(event));
        break;
    case BANGER_EVENT_DONE:
        if (b->is_terminal)
            draw(b, 100);
        break;
    default:
        break;
    }
    return interrupted;
}

/* Sets the time of what is written to SOURCE_DATE_EPOCH: the library does not read the environment for it. */
static int set_time(banger_options *options, banger_error **error)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    if (epoch == NULL || epoch[0] == '\0')
        return 0;
    return banger_options_set_u64(options, BANGER_OPT_SOURCE_DATE_EPOCH, strtoull(epoch, NULL, 10), error);
}

static int put(banger_rootfs *rootfs, const char *path, const char *line, uint32_t mode, banger_error **error)
{
    char text[4096];
    banger_attrs attrs = {0, BANGER_TIME_NOW, mode, 0, 0};
    int length = snprintf(text, sizeof text, "%s\n", line);
    return banger_rootfs_write(rootfs, path, BANGER_STRLEN, (const uint8_t *)text, (size_t)length, &attrs,
                               sizeof attrs, NULL, error);
}

/* Makes a directory, unless it is there. */
static int make_directory(banger_rootfs *rootfs, const char *path, uint32_t mode, banger_error **error)
{
    banger_attrs attrs = {0, BANGER_TIME_NOW, mode, 0, 0};
    banger_error *own = NULL;
    int code = banger_rootfs_create_dir(rootfs, path, BANGER_STRLEN, &attrs, sizeof attrs, &own);
    if (code != 0 && banger_error_kind(own) == BANGER_KIND_EXISTS) {
        banger_error_free(own);
        return 0;
    }
    *error = own;
    return code;
}

/* Writes all that is the machine's own, and makes the file system boot: all of it, or nothing. */
static int prepare(char **arguments, banger_error **error)
{
    const char *file = arguments[2], *hostname = arguments[3], *key = arguments[4];
    char **word;
    banger_rootfs *rootfs = NULL;
    banger_string *report = NULL;
    banger_options *opening = banger_options_new(), *network = banger_options_new(), *boot = banger_options_new();
    int code = set_time(opening, error);
    if (code == 0)
        code = banger_rootfs_open(file, BANGER_EDIT, opening, &rootfs, error);
    if (code == 0)
        code = put(rootfs, "/etc/hostname", hostname, 0644, error);
    if (code == 0)
        code = make_directory(rootfs, "/root", 0700, error);
    if (code == 0)
        code = make_directory(rootfs, "/root/.ssh", 0700, error);
    if (code == 0)
        code = put(rootfs, "/root/.ssh/authorized_keys", key, 0600, error);
    if (code == 0)
        code = banger_options_add_string(network, BANGER_OPT_NETWORK_ADDRESS, arguments[5], error);
    if (code == 0)
        code = banger_options_add_string(network, BANGER_OPT_NETWORK_GATEWAY, arguments[6], error);
    if (code == 0)
        code = banger_options_set_string(network, BANGER_OPT_HOSTNAME, hostname, error);
    if (code == 0)
        code = banger_rootfs_write_network(rootfs, network, error);
    for (word = arguments + 7; code == 0 && *word != NULL; word++)
        code = banger_options_add_string(boot, BANGER_OPT_EXEC_ARGV, *word, error);
    if (code == 0)
        code = banger_rootfs_inject(rootfs, boot, NULL, &report, error);
    if (code == 0)
        code = banger_rootfs_commit(rootfs, NULL, error);
    banger_string_free(report);
    banger_options_free(boot);
    banger_options_free(network);
    banger_options_free(opening);
    banger_rootfs_free(rootfs);
    return code;
}

static int failed(banger_error *error)
{
    int status = banger_error_kind(error) == BANGER_KIND_CANCELLED ? 130 : 1;
    if (status == 1) {
        fprintf(stderr, "error %d: %s\n", banger_error_code(error), banger_error_message(error));
        if (banger_error_advice(error)[0] != '\0')
            fprintf(stderr, "  %s\n", banger_error_advice(error));
    }
    banger_error_free(error);
    return status;
}

int main(int count, char **arguments)
{
    bar b = {isatty(2), false, 0, {0}};
    banger_store *store = NULL;
    banger_options *options = banger_options_new();
    banger_image *image = NULL;
    banger_error *error = NULL;
    int code;

    if (count < 7) {
        fputs("usage: pull REFERENCE FILE HOSTNAME KEY ADDRESS GATEWAY [PROGRAM ARGUMENT...]\n", stderr);
        return 2;
    }
    signal(SIGINT, on_interrupt);
    code = banger_store_open(NULL, NULL, &store, &error);
    if (code == 0)
        code = set_time(options, &error);
    /* What makes it boot comes below, in one commit with the rest. */
    if (code == 0)
        code = banger_options_set_bool(options, BANGER_OPT_INJECT, false, &error);
    if (code == 0)
        code = banger_pull_to_file(store, arguments[1], arguments[2], options, NULL, tell, &b, &image, &error);
    end_line(&b);
    if (code == 0)
        code = prepare(arguments, &error);
    if (code == 0)
        puts(banger_image_json(image));
    banger_image_free(image);
    banger_options_free(options);
    banger_store_free(store);
    return code == 0 ? 0 : failed(error);
}
