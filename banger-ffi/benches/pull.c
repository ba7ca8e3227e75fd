/* pull STATE CACHE REFERENCE FILE: prints the seconds of CPU time that one pull took. */
#include <banger.h>
#include <stdio.h>
#include <sys/resource.h>

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int watch(const banger_event *event, void *user_data)
{
    (void)user_data;
    return banger_event_kind(event) < 0;
}

int main(int count, char **arguments)
{
    banger_store *store = NULL;
    banger_image *image = NULL;
    banger_error *error = NULL;
    double before = cpu_seconds();
    if (count != 5)
        return 2;
    if (banger_store_open(arguments[1], arguments[2], &store, &error) != 0 ||
        banger_pull_to_file(store, arguments[3], arguments[4], NULL, NULL, watch, NULL, &image, &error) != 0) {
        fprintf(stderr, "%s\n", banger_error_message(error));
        return 1;
    }
    banger_image_free(image);
    banger_store_free(store);
    printf("%f\n", cpu_seconds() - before);
    return 0;
}
