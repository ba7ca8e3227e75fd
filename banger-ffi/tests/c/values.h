/* The values that the generated test of conventions passes: VALID_TYPE for each handle, VALUE_NAME for each other
   parameter. A function with a new type or name of a parameter needs a line here. */
#ifndef VALUES_H
#define VALUES_H

#include "check.h"

static char v_directory[4096], v_source[4096], v_file[4096];
static banger_cancel *v_cancel;
static banger_error *v_error;
static banger_options *v_options;
static banger_store *v_store;
static banger_task *v_task;
static int v_user_data;

/* Handles that calls are made on. */
#define VALID_banger_cancel v_cancel
#define VALID_banger_options v_options
#define VALID_banger_store v_store
#define VALID_banger_task v_task

/* All else. */
#define VALUE_cache v_directory
#define VALUE_data ((const uint8_t *)"abc")
#define VALUE_file v_file
#define VALUE_length 3
#define VALUE_name "none"
#define VALUE_progress NULL
#define VALUE_reference "oci:/nowhere:at-all"
#define VALUE_replace false
#define VALUE_source v_source
#define VALUE_state v_directory
#define VALUE_timeout_ms 0
#define VALUE_user_data (&v_user_data)
#define VALUE_value "1"
#define VALUE_wanted "none"

/* Values that depend on the function. */
#define VALUE_banger_options_add_string_key BANGER_OPT_AUTH_FILE
#define VALUE_banger_options_set_bool_key BANGER_OPT_FORCE
#define VALUE_banger_options_set_bool_value true
#define VALUE_banger_options_set_bytes_key BANGER_OPT_NAME
#define VALUE_banger_options_set_string_key BANGER_OPT_NAME
#define VALUE_banger_options_set_u64_key BANGER_OPT_JOBS
#define VALUE_banger_options_set_u64_value 1

static inline void make_values(const char *directory)
{
    banger_error *error = NULL;
    banger_options *plain = banger_options_new();
    snprintf(v_directory, sizeof v_directory, "%s", directory);
    snprintf(v_source, sizeof v_source, "%s/source", directory);
    snprintf(v_file, sizeof v_file, "%s/made.ext4", directory);
    v_cancel = banger_cancel_new();
    v_options = banger_options_new();
    v_store = open_store(directory);
    CHECK_OK(banger_pull_start(v_store, "oci:/nowhere:at-all", NULL, plain, NULL, &v_task, &error));
    banger_options_free(plain);
    (void)v_error;
}

static inline void free_values(void)
{
    banger_task_free(v_task);
    banger_store_free(v_store);
    banger_options_free(v_options);
    banger_cancel_free(v_cancel);
}

#endif
