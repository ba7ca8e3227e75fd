/* Programs that the library starts have no blocked signals: a credential helper, and a tool of e2fsprogs. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char helpers[4096];

/* Writes a script that notes its blocked signals beside itself and goes on with `rest`. */
static void write_script(const char *name, const char *rest)
{
    char path[8192];
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", helpers, name);
    file = fopen(path, "w");
    CHECK(file != NULL);
    /* The shell reads its own mask: dash unblocks signals when it starts a program. */
    fprintf(file,
            "#!/bin/sh\nwhile read -r name mask; do\n[ \"$name\" != SigBlk: ] || echo \"$mask\" > \"$0.mask\"\n"
            "done < /proc/self/status\n%s\n",
            rest);
    CHECK(fclose(file) == 0 && chmod(path, 0755) == 0);
}

static void check_mask(const char *name)
{
    char path[8192], line[128] = "";
    FILE *file;
    snprintf(path, sizeof path, "%s/%s.mask", helpers, name);
    file = fopen(path, "r");
    CHECK(file != NULL);
    CHECK(fgets(line, sizeof line, file) != NULL);
    fclose(file);
    if (strcmp(line, "0000000000000000\n") != 0) {
        fprintf(stderr, "%s: %s", name, line);
        exit(1);
    }
}

/* Wants a password for everything. */
static void *serve(void *argument)
{
    static const char answer[] = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"test\"\r\n"
                                 "Content-Length: 0\r\nConnection: close\r\n\r\n";
    char request[8192];
    int listener = *(int *)argument, connection;
    while ((connection = accept(listener, NULL, NULL)) >= 0) {
        if (read(connection, request, sizeof request) > 0)
            CHECK(write(connection, answer, sizeof answer - 1) == (ssize_t)(sizeof answer - 1));
        close(connection);
    }
    return NULL;
}

int main(int count, char **arguments)
{
    char path[8192], reference[128], config[8192];
    banger_error *error = NULL;
    banger_options *options = banger_options_new();
    banger_image *image = NULL;
    banger_string *json = NULL;
    banger_store *store;
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    pthread_t server;
    FILE *file;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(count == 3);
    snprintf(helpers, sizeof helpers, "%s/helpers", arguments[2]);
    CHECK(mkdir(helpers, 0755) == 0);
    snprintf(path, sizeof path, "%s:%s", helpers, getenv("PATH"));
    CHECK(setenv("PATH", path, 1) == 0);
    write_script("docker-credential-mask", "echo credentials not found\nexit 1");
    write_script("mke2fs", "PATH=${PATH#*:}:/sbin:/usr/sbin exec mke2fs \"$@\"");

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 8) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    CHECK(pthread_create(&server, NULL, serve, &listener) == 0);

    snprintf(config, sizeof config, "%s/auth.json", arguments[2]);
    file = fopen(config, "w");
    CHECK(file != NULL);
    fprintf(file, "{\"credHelpers\": {\"127.0.0.1:%d\": \"mask\"}}\n", ntohs(address.sin_port));
    fclose(file);
    snprintf(reference, sizeof reference, "127.0.0.1:%d/image:tag", ntohs(address.sin_port));

    store = open_store(arguments[2]);
    CHECK_OK(banger_options_add_string(options, BANGER_OPT_AUTH_FILE, config, &error));
    CHECK_OK(banger_options_set_string(options, BANGER_OPT_HELPER_DIR, helpers, &error));
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_PLAIN_HTTP, true, &error));
    CHECK_FAILS(103, banger_pull(store, reference, options, NULL, NULL, NULL, &image, &error));
    check_mask("docker-credential-mask");
    banger_options_free(options);

    options = plain_options();
    CHECK_OK(banger_options_set_u64(options, BANGER_OPT_SIZE_AT_LEAST_BYTES, 32 << 20, &error));
    CHECK_OK(banger_options_set_string(options, BANGER_OPT_BACKEND, "e2fsprogs", &error));
    CHECK_OK(banger_pull(store, arguments[1], options, NULL, NULL, NULL, &image, &error));
    banger_image_free(image);
    check_mask("mke2fs");
    snprintf(path, sizeof path, "%s/mke2fs.mask", helpers);
    CHECK(unlink(path) == 0);
    banger_options_free(options);

    options = banger_options_new();
    CHECK_OK(banger_options_set_string(options, BANGER_OPT_BACKEND, "e2fsprogs", &error));
    CHECK_OK(banger_options_set_u64(options, BANGER_OPT_SIZE_BYTES, 16 << 20, &error));
    snprintf(path, sizeof path, "%s/source", arguments[2]);
    snprintf(config, sizeof config, "%s/built.ext4", arguments[2]);
    CHECK_OK(banger_build(path, config, options, NULL, NULL, NULL, &json, &error));
    banger_string_free(json);
    check_mask("mke2fs");
    banger_options_free(options);
    banger_store_free(store);
    return 0;
}
