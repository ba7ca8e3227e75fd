/* The values that the generated test of conventions passes: VALID_TYPE for each handle, VALUE_NAME for each other
   parameter. A function with a new type or name of a parameter needs a line here. */
#ifndef VALUES_H
#define VALUES_H

#include "check.h"

static char v_directory[4096], v_source[4096], v_file[4096];
static uint8_t v_buffer[64];
static banger_attrs v_attrs;
static banger_cancel *v_cancel;
static banger_dir *v_dir;
static banger_dirent v_dirent;
static banger_exec *v_exec;
static banger_exec_event v_exec_event;
static banger_exec_input *v_exec_input;
static banger_exit v_exit;
static banger_guest *v_guest;
static banger_metadata *v_metadata;
static banger_metadata_entry v_metadata_entry;
static banger_rootfs *v_rootfs;
static banger_stat v_stat;
static banger_options *v_options;
static banger_store *v_store;
static banger_task *v_task;
static int v_user_data;

/* Handles that calls are made on, and places of structures. */
#define VALID_banger_attrs (&v_attrs)
#define VALID_banger_cancel v_cancel
#define VALID_banger_dir v_dir
#define VALID_banger_dirent (&v_dirent)
#define VALID_banger_exec v_exec
#define VALID_banger_exec_event (&v_exec_event)
#define VALID_banger_exec_input v_exec_input
#define VALID_banger_exit (&v_exit)
#define VALID_banger_guest v_guest
#define VALID_banger_metadata v_metadata
#define VALID_banger_metadata_entry (&v_metadata_entry)
#define VALID_banger_rootfs v_rootfs
#define VALID_banger_stat (&v_stat)
#define VALID_banger_options v_options
#define VALID_banger_store v_store
#define VALID_banger_task v_task

/* All else. */
#define VALUE_address "unix:/nowhere"
#define VALUE_base "none"
#define VALUE_buffer v_buffer
#define VALUE_cache v_directory
#define VALUE_columns 80
#define VALUE_data ((const uint8_t *)"abc")
#define VALUE_data_length 3
#define VALUE_destination v_directory
#define VALUE_dir v_directory
#define VALUE_disk "none"
#define VALUE_existing "/hello"
#define VALUE_existing_length BANGER_STRLEN
#define VALUE_fd 0
#define VALUE_file v_file
#define VALUE_file_type BANGER_FILE_FIFO
#define VALUE_flags 0
#define VALUE_from "/hello"
#define VALUE_from_length BANGER_STRLEN
#define VALUE_gid 0
#define VALUE_image "none"
#define VALUE_index 0
#define VALUE_json "{}"
#define VALUE_kernel "none"
#define VALUE_length 3
#define VALUE_major 0
#define VALUE_minor 0
#define VALUE_mode 0644
#define VALUE_name "none"
#define VALUE_nanoseconds 0
#define VALUE_number 15
#define VALUE_offset 0
#define VALUE_path "/hello"
#define VALUE_progress NULL
#define VALUE_reboot false
#define VALUE_reference "oci:/nowhere:at-all"
#define VALUE_registry "127.0.0.1:9"
#define VALUE_remove false
#define VALUE_replace false
#define VALUE_rootfs v_source
#define VALUE_rows 25
#define VALUE_script "{}"
#define VALUE_seconds 0
#define VALUE_size_bytes 0
#define VALUE_source v_source
#define VALUE_state v_directory
#define VALUE_target "hello"
#define VALUE_target_length BANGER_STRLEN
#define VALUE_timeout_ms 0
#define VALUE_uid 0
#define VALUE_user_data (&v_user_data)
#define VALUE_value "1"
#define VALUE_value_length 1
#define VALUE_wanted "none"

/* Values that depend on the function. */
#define VALUE_banger_options_add_string_key BANGER_OPT_AUTH_FILE
#define VALUE_banger_options_set_bool_key BANGER_OPT_FORCE
#define VALUE_banger_options_set_bool_value true
#define VALUE_banger_options_set_bytes_key BANGER_OPT_GUEST_BINARY
#define VALUE_banger_options_set_string_key BANGER_OPT_NAME
#define VALUE_banger_options_set_u64_key BANGER_OPT_JOBS
#define VALUE_banger_options_set_u64_value 1

static inline void make_values(const char *directory)
{
    banger_error *error = NULL;
    banger_options *plain = banger_options_new(), *program;
    banger_string *json = NULL;
    const char *address = getenv("BANGER_TEST_GUEST");
    snprintf(v_directory, sizeof v_directory, "%s", directory);
    snprintf(v_source, sizeof v_source, "%s/source", directory);
    snprintf(v_file, sizeof v_file, "%s/made.ext4", directory);
    v_cancel = banger_cancel_new();
    v_options = banger_options_new();
    v_store = open_store(directory);
    CHECK_OK(banger_pull_start(v_store, "oci:/nowhere:at-all", NULL, plain, NULL, &v_task, &error));
    banger_options_free(plain);
    CHECK_OK(banger_build(v_source, v_file, NULL, NULL, NULL, NULL, &json, &error));
    banger_string_free(json);
    CHECK_OK(banger_rootfs_open(v_file, BANGER_EDIT, NULL, &v_rootfs, &error));
    CHECK_OK(banger_rootfs_read_dir(v_rootfs, "/", BANGER_STRLEN, &v_dir, &error));
    CHECK_OK(banger_metadata_of_rootfs(v_rootfs, NULL, &v_metadata, &error));
    CHECK(address != NULL);
    CHECK_OK(banger_guest_new(address, NULL, &v_guest, &error));
    program = banger_options_new();
    CHECK_OK(banger_options_add_string(program, BANGER_OPT_EXEC_ARGV, "true", &error));
    CHECK_OK(banger_exec_start(v_guest, program, NULL, &v_exec, &error));
    CHECK_OK(banger_exec_open_input(v_exec, &v_exec_input, &error));
    banger_options_free(program);
}

static inline void free_values(void)
{
    banger_task_free(v_task);
    banger_exec_input_free(v_exec_input);
    banger_exec_free(v_exec);
    banger_guest_free(v_guest);
    banger_metadata_free(v_metadata);
    banger_dir_free(v_dir);
    banger_rootfs_free(v_rootfs);
    banger_store_free(v_store);
    banger_options_free(v_options);
    banger_cancel_free(v_cancel);
}

#endif
