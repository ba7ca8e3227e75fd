/* The process forks while calls run: children that exec, and children that do not and stay. */
#include "timing.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 24

static banger_store *store;
static const char *reference, *directory;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_over;

static bool goes_on(void)
{
    bool result;
    pthread_mutex_lock(&lock);
    result = !is_over;
    pthread_mutex_unlock(&lock);
    return result;
}

/* All that takes locks: an image is pulled, found, copied, edited and removed. */
static void use_all(int round)
{
    char path[4096], name[32];
    banger_error *error = NULL;
    banger_options *options = plain_options();
    banger_image *image = NULL;
    banger_rootfs *rootfs = NULL;
    const uint8_t *text = (const uint8_t *)"text";

    snprintf(path, sizeof path, "%s/exported.ext4", directory);
    snprintf(name, sizeof name, "image-%d", round % 2);
    CHECK_OK(banger_options_set_string(options, BANGER_OPT_NAME, name, &error));
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_FORCE, true, &error));
    CHECK_OK(banger_pull(store, reference, options, NULL, NULL, NULL, &image, &error));
    banger_image_free(image);
    CHECK_OK(banger_store_find(store, name, NULL, &image, &error));
    CHECK_OK(banger_rootfs_open(banger_image_path(image), BANGER_EDIT, NULL, &rootfs, &error));
    CHECK_OK(banger_rootfs_write(rootfs, "/new", BANGER_STRLEN, text, 4, NULL, 0, NULL, &error));
    CHECK_OK(banger_rootfs_commit(rootfs, NULL, &error));
    banger_rootfs_free(rootfs);
    banger_image_free(image);
    CHECK_OK(banger_store_export(store, name, path, true, NULL, &error));
    CHECK_OK(banger_rootfs_open(path, BANGER_EDIT, NULL, &rootfs, &error));
    banger_rootfs_free(rootfs);
    CHECK_OK(banger_store_remove(store, name, NULL, &error));
    banger_options_free(options);
}

static void *use_for_ever(void *argument)
{
    int *rounds = (int *)argument;
    while (goes_on()) {
        use_all(*rounds);
        (*rounds)++;
    }
    return NULL;
}

int main(int count, char **arguments)
{
    pid_t children[CHILDREN];
    pthread_t thread;
    int at, status, rounds = 0;

    CHECK(count == 3);
    reference = arguments[1];
    directory = arguments[2];
    store = open_store(directory);
    CHECK(pthread_create(&thread, NULL, use_for_ever, &rounds) == 0);
    for (at = 0; at < CHILDREN; at++) {
        pause_ms(5 + at * 7 % 31);
        children[at] = fork();
        CHECK(children[at] >= 0);
        if (children[at] == 0) {
            /* Also where a check fails. */
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            switch (at % 3) {
            case 0:
                execlp("sleep", "sleep", "600", (char *)NULL);
                _exit(127);
            case 1:
                /* As a server that forks has it: a copy of all descriptors, for as long as it lives. */
                for (;;)
                    pause();
            default:
                _exit(0);
            }
        }
    }
    pthread_mutex_lock(&lock);
    is_over = true;
    pthread_mutex_unlock(&lock);
    CHECK(pthread_join(thread, NULL) == 0);
    fprintf(stderr, "%d rounds\n", rounds);
    CHECK(rounds > 0);
    /* The children that stay hold nothing of what ran when they began. */
    use_all(0);
    use_all(1);
    for (at = 0; at < CHILDREN; at++) {
        if (at % 3 != 2)
            CHECK(kill(children[at], SIGKILL) == 0);
        CHECK(waitpid(children[at], &status, 0) == children[at]);
        CHECK(at % 3 == 2 ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                          : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    banger_store_free(store);
    return 0;
}
