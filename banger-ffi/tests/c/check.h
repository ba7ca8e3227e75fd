/* What all C tests use: checks that name their line, and the values that the generated test passes. */
#ifndef CHECK_H
#define CHECK_H

#include <banger.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);      \
            exit(1);                                                                     \
        }                                                                                \
    } while (0)

/* Checks that a call succeeds; prints the error otherwise. `error` is a variable. */
#define CHECK_OK(call)                                                                   \
    do {                                                                                 \
        int code_ = (call);                                                              \
        if (code_ != 0) {                                                                \
            fprintf(stderr, "%s:%d: error %d: %s\n", __FILE__, __LINE__, code_,          \
                    banger_error_message(error));                                        \
            exit(1);                                                                     \
        }                                                                                \
        CHECK(error == NULL);                                                            \
    } while (0)

/* Checks that a call fails with a code, and frees the error. */
#define CHECK_FAILS(code, call)                                                          \
    do {                                                                                 \
        int code_ = (call);                                                              \
        if (code_ != (code) || banger_error_code(error) != code_) {                      \
            fprintf(stderr, "%s:%d: error %d: %s\n", __FILE__, __LINE__, code_,          \
                    banger_error_message(error));                                        \
            exit(1);                                                                     \
        }                                                                                \
        CHECK(banger_error_message(error)[0] != '\0');                                   \
        CHECK(banger_error_json(error)[0] == '{');                                       \
        CHECK(banger_error_kind(error) != 0);                                            \
        banger_error_free(error);                                                        \
        error = NULL;                                                                    \
    } while (0)

/* Options for an image that is left as it is: the library of a test has no guest binary. */
static inline banger_options *plain_options(void)
{
    banger_error *error = NULL;
    banger_options *options = banger_options_new();
    CHECK_OK(banger_options_set_bool(options, BANGER_OPT_INJECT, false, &error));
    CHECK_OK(banger_options_set_u64(options, BANGER_OPT_SIZE_AT_LEAST_BYTES, 8 << 20, &error));
    return options;
}

static inline banger_store *open_store(const char *directory)
{
    char state[4096], cache[4096];
    banger_error *error = NULL;
    banger_store *store = NULL;
    snprintf(state, sizeof state, "%s/state", directory);
    snprintf(cache, sizeof cache, "%s/cache", directory);
    CHECK_OK(banger_store_open(state, cache, &store, &error));
    return store;
}

static inline int contains(banger_string *json, const char *text)
{
    CHECK(strlen(banger_string_data(json)) == banger_string_length(json));
    return strstr(banger_string_data(json), text) != NULL;
}

#endif
