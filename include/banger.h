/*
 * banger: container images to bootable ext4 root file systems.
 *
 * Made by `cargo xtask header` from the Rust sources of banger-ffi; do not edit it. docs/ffi.md has examples,
 * and the table of options and calls.
 *
 * Rules for all functions
 *
 * Results. A function that can fail returns an int: 0, or the stable code of the error (docs/json.md lists
 * them). Its last parameter takes the error as an object: pass NULL if you do not want it. Results are written
 * on success only, and the error on failure only; what they point to before does not matter. A place for a
 * result must not be NULL.
 *
 * Pointers. A handle is what a function of this library gave; each type has one _free function, which takes
 * NULL. Free a handle once, and do not use it after that or while another thread frees it. Arguments are
 * borrowed for the call only. Where the description says nothing else, an argument that is NULL is error 511,
 * and so is a text that is not UTF-8. Options, cancel and progress may be NULL. A `const char *` that a function
 * returns is never NULL and lives as long as the handle that was asked; functions that only ask a handle take
 * NULL and answer 0, false or "".
 *
 * Text. Paths of the host, references, names and documents end with a NUL byte and are UTF-8. Paths and names in
 * a guest are bytes with a length; BANGER_STRLEN as the length says that they end with a NUL byte.
 *
 * Threads. All calls block. A progress function runs on the thread that made the call, only during the call;
 * it may use handles of other calls, and must not unwind, throw or longjmp. Share among threads what says so;
 * use any other handle from one thread at a time. Threads of the library block all signals that are sent to the
 * process. No function may be called in a signal handler, or in a child after fork before it calls exec.
 *
 * The process. The library does not touch signal handlers, SIGPIPE, the environment, the working directory, the
 * umask, the locale, standard input, output or error. It reads the environment only where the description says
 * so; proxies (HTTPS_PROXY, HTTP_PROXY, NO_PROXY) and SSL_CERT_FILE are read by pulls from registries. File
 * descriptors close on exec.
 *
 * Versions. Enumerations grow: expect values that this header does not have. Structures grow at their end: pass
 * the sizeof that your program was compiled with; fields that the library does not know are set to 0.
 */


#ifndef BANGER_H
#define BANGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/** The version of this header; banger_version_number() is that of the library. */
#define BANGER_VERSION_MAJOR 0
#define BANGER_VERSION_MINOR 1
#define BANGER_VERSION_PATCH 0
#define BANGER_VERSION_NUMBER \
    (BANGER_VERSION_MAJOR * 1000000 + BANGER_VERSION_MINOR * 1000 + BANGER_VERSION_PATCH)

/** The length of a text that ends with a NUL byte. */
#define BANGER_STRLEN SIZE_MAX

/**
 * A pointer is NULL that must not be, a text is not UTF-8, or an option has a value of another type.
 */
#define BANGER_ERROR_ARGUMENT 511

/**
 * The call was cancelled: by a banger_cancel or by a progress function.
 */
#define BANGER_ERROR_CANCELLED 505

/**
 * A fault of banger itself: a panic was caught.
 */
#define BANGER_ERROR_INTERNAL 510

/**
 * The option is unknown to this version of the library, or the call does not use it.
 */
#define BANGER_ERROR_OPTION 512

/**
 * The host has no threads or memory left.
 */
#define BANGER_ERROR_RESOURCES 513

/**
 * `banger_features`: the library has the backend that runs mkfs.ext4 and debugfs.
 */
#define BANGER_FEATURE_E2FSPROGS 4

/**
 * `banger_features`: the library holds a guest binary for amd64.
 */
#define BANGER_FEATURE_GUEST_AMD64 1

/**
 * `banger_features`: the library holds a guest binary for arm64.
 */
#define BANGER_FEATURE_GUEST_ARM64 2



/**
 * The kind of a failure: what a program decides by. Expect kinds that this header does not know.
 */
typedef enum banger_failure_kind {
    /**
     * The caller asked to stop.
     */
    BANGER_KIND_CANCELLED = 1,
    /**
     * A file, image, name or path does not exist.
     */
    BANGER_KIND_NOT_FOUND = 2,
    /**
     * Something exists already in the place of what was to be made.
     */
    BANGER_KIND_EXISTS = 3,
    /**
     * A server or the host refuses access.
     */
    BANGER_KIND_ACCESS = 4,
    /**
     * A server cannot be reached, or does not answer as it has to.
     */
    BANGER_KIND_NETWORK = 5,
    /**
     * The disk, the quota or the image is full.
     */
    BANGER_KIND_NO_SPACE = 6,
    /**
     * The input costs more than a limit allows.
     */
    BANGER_KIND_LIMIT = 7,
    /**
     * Another process or thread uses the file.
     */
    BANGER_KIND_IN_USE = 8,
    /**
     * The input is damaged or malformed.
     */
    BANGER_KIND_DAMAGED = 9,
    /**
     * The input is sound, but has something that banger does not support.
     */
    BANGER_KIND_UNSUPPORTED = 10,
    /**
     * An argument or option has a value that makes no sense.
     */
    BANGER_KIND_ARGUMENT = 11,
    /**
     * A guest answered with an error, or not at all.
     */
    BANGER_KIND_GUEST = 12,
    /**
     * The host failed otherwise, or banger has a fault.
     */
    BANGER_KIND_INTERNAL = 13,
    /**
     * Makes the type 32 bits wide; not a kind.
     */
    BANGER_KIND_FORCE_32BIT = 2147483647,
} banger_failure_kind;

/**
 * What an event tells. Expect kinds that this header does not know.
 */
typedef enum banger_step_kind {
    /**
     * Nothing happened for 200 ms: the time to look at a signal, or to cancel.
     */
    BANGER_EVENT_IDLE = 1,
    /**
     * The reference is being turned into a digest.
     */
    BANGER_EVENT_RESOLVING = 2,
    /**
     * The image is known: digest, and the size of all layers.
     */
    BANGER_EVENT_RESOLVED = 3,
    /**
     * A blob starts to come in: digest and size.
     */
    BANGER_EVENT_BLOB_STARTED = 4,
    /**
     * Another process downloads the blob; this one waits for it.
     */
    BANGER_EVENT_BLOB_WAITING = 5,
    /**
     * Another thread or process pulls an image of this name; this one waits for it.
     */
    BANGER_EVENT_PULL_WAITING = 6,
    /**
     * More of a blob came in: digest, bytes so far, size.
     */
    BANGER_EVENT_BLOB_PROGRESS = 7,
    /**
     * A blob is whole, checked, and in the cache.
     */
    BANGER_EVENT_BLOB_DONE = 8,
    /**
     * A request failed and is tried again: the message says what and why.
     */
    BANGER_EVENT_RETRY = 9,
    /**
     * A layer is being applied: layer, published bytes so far, published bytes in all.
     */
    BANGER_EVENT_LAYER_PROGRESS = 10,
    /**
     * A layer is applied.
     */
    BANGER_EVENT_LAYER_DONE = 11,
    /**
     * More of a directory of the host was read.
     */
    BANGER_EVENT_DIRECTORY_PROGRESS = 12,
    /**
     * Something was changed or left out: the message says what and why.
     */
    BANGER_EVENT_WARNING = 13,
    /**
     * The file system is being written.
     */
    BANGER_EVENT_BUILDING = 14,
    /**
     * All is done.
     */
    BANGER_EVENT_DONE = 15,
    /**
     * Something that this version has no kind for: read the JSON.
     */
    BANGER_EVENT_OTHER = 16,
    /**
     * Makes the type 32 bits wide; not a kind.
     */
    BANGER_EVENT_FORCE_32BIT = 2147483647,
} banger_step_kind;

/**
 * The options. The number of a key never changes. A call that does not use an option that is set fails with
 * error 512; docs/ffi.md lists which call uses which.
 */
typedef enum banger_option {
    /**
     * Text: name of the managed image. Default: made from the reference.
     */
    BANGER_OPT_NAME = 1,
    /**
     * Text: platform of the image, "linux/arm64". Default: Linux on the host's processor.
     */
    BANGER_OPT_PLATFORM = 2,
    /**
     * Number: size of the file system in bytes. Default: content x 1.25, at least 1 GiB.
     */
    BANGER_OPT_SIZE_BYTES = 3,
    /**
     * Number: least size of the file system, where SIZE_BYTES is not set. Default: 1 GiB.
     */
    BANGER_OPT_SIZE_AT_LEAST_BYTES = 4,
    /**
     * Number: least number of inodes. Default: one for every 16 KiB.
     */
    BANGER_OPT_INODES = 5,
    /**
     * Text: what writes the file system: "native" or "e2fsprogs". Default: "native".
     */
    BANGER_OPT_BACKEND = 6,
    /**
     * Text: init of the guest: "auto", "image", "banger" or "install". Default: "auto".
     */
    BANGER_OPT_INIT = 7,
    /**
     * Boolean: whether the image is made to boot. Default: true.
     */
    BANGER_OPT_INJECT = 8,
    /**
     * Text: directory with guest binaries, banger-guest-amd64 and so on. Default: the library's own.
     */
    BANGER_OPT_GUEST_DIR = 9,
    /**
     * Boolean: build again what is up to date, and replace an output file. Default: false.
     */
    BANGER_OPT_FORCE = 10,
    /**
     * Number: seconds since 1970 for what the input gives no time to. The environment is not read.
     */
    BANGER_OPT_SOURCE_DATE_EPOCH = 11,
    /**
     * Text: directory for scratch files of the e2fsprogs backend. Default: $TMPDIR.
     */
    BANGER_OPT_SCRATCH_DIR = 12,
    /**
     * Text: label of the file system, at most 16 bytes. Default: empty.
     */
    BANGER_OPT_LABEL = 13,
    /**
     * Text: UUID of the file system. Default: made from the files.
     */
    BANGER_OPT_UUID = 14,
    /**
     * Number: how many layers are downloaded at a time, 1 to 64. Default: 4.
     */
    BANGER_OPT_JOBS = 15,
    /**
     * Boolean: use http for any registry. Default: false.
     */
    BANGER_OPT_PLAIN_HTTP = 16,
    /**
     * Text: PEM file with certificates to trust besides those of the system.
     */
    BANGER_OPT_CA_CERT = 17,
    /**
     * Text: where credentials come from: "anonymous" or "user", which reads the files of docker and podman
     * and runs the programs they name. Default: "anonymous".
     */
    BANGER_OPT_AUTH = 18,
    /**
     * Text: user name for the registry; PASSWORD goes with it.
     */
    BANGER_OPT_USER = 19,
    /**
     * Text: password or access token for the registry; USER goes with it.
     */
    BANGER_OPT_PASSWORD = 20,
    /**
     * Text: refresh token for the registry, in the place of user name and password.
     */
    BANGER_OPT_IDENTITY_TOKEN = 21,
    /**
     * List of texts: credential files in the format of docker, in the place of the user's own.
     */
    BANGER_OPT_AUTH_FILE = 22,
    /**
     * Text: directory of the credential helpers that files of AUTH_FILE name. Default: $PATH.
     */
    BANGER_OPT_HELPER_DIR = 23,
    /**
     * Number: how long such a helper may take. Default: 30000.
     */
    BANGER_OPT_HELPER_TIMEOUT_MS = 24,
    /**
     * Number: how often a request is tried before the pull fails. Default: 5.
     */
    BANGER_OPT_ATTEMPTS = 25,
    /**
     * Number: pause after the first failed attempt; it doubles with each further one. Default: 500.
     */
    BANGER_OPT_BACKOFF_MS = 26,
    /**
     * Number: longest pause between two attempts. Default: 60000.
     */
    BANGER_OPT_MAX_BACKOFF_MS = 27,
    /**
     * Number: how long to wait for a connection. Default: 10000.
     */
    BANGER_OPT_CONNECT_TIMEOUT_MS = 28,
    /**
     * Number: how long a transfer may stand still. Default: 30000.
     */
    BANGER_OPT_STALL_TIMEOUT_MS = 29,
    /**
     * Number: least bytes a second of a transfer; 0 allows any rate. Default: 1024.
     */
    BANGER_OPT_MIN_RATE_BYTES = 30,
    /**
     * Number: how long a transfer may be slower than MIN_RATE_BYTES. Default: 30000.
     */
    BANGER_OPT_RATE_WINDOW_MS = 31,
    /**
     * Number: longest time of all pauses between attempts together. Default: 600000.
     */
    BANGER_OPT_MAX_WAIT_MS = 32,
    /**
     * Number: longest time of all requests and downloads together. Default: 43200000.
     */
    BANGER_OPT_MAX_TIME_MS = 33,
    /**
     * Number: largest manifest or index. Default: 4 MiB.
     */
    BANGER_OPT_MAX_MANIFEST_BYTES = 34,
    /**
     * Number: largest image configuration. Default: 16 MiB.
     */
    BANGER_OPT_MAX_CONFIG_BYTES = 35,
    /**
     * Number: largest total of compressed layers. Default: 1 TiB.
     */
    BANGER_OPT_MAX_DOWNLOAD_BYTES = 36,
    /**
     * Number: largest total of files and directories, in whole blocks. Default: 64 GiB.
     */
    BANGER_OPT_MAX_CONTENT_BYTES = 37,
    /**
     * Number: largest total of uncompressed layers. Default: 128 GiB.
     */
    BANGER_OPT_MAX_TAR_BYTES = 38,
    /**
     * Number: most entries of all layers together. Default: 10000000.
     */
    BANGER_OPT_MAX_ENTRIES = 39,
    /**
     * Number: most directories on the way to one path. Default: 1024.
     */
    BANGER_OPT_MAX_DEPTH = 40,
    /**
     * Number: largest file, holes included. Default: 1 TiB.
     */
    BANGER_OPT_MAX_FILE_BYTES = 41,
    /**
     * Number: most room for the extended attributes of one file. Default: 4144.
     */
    BANGER_OPT_MAX_XATTR_BYTES = 42,
    /**
     * Number: most memory for names, targets and attributes, besides 300 bytes an entry. Default: 96 MiB.
     */
    BANGER_OPT_MAX_METADATA_BYTES = 43,
    /**
     * Number: most components of paths and symlinks to resolve, besides 32 a path. Default: 4194304.
     */
    BANGER_OPT_MAX_PATH_COMPONENTS = 44,
    /**
     * Number: most layers of an image. Default: 512.
     */
    BANGER_OPT_MAX_LAYERS = 45,
    /**
     * Number: most warnings that are kept; the rest is counted. Default: 100.
     */
    BANGER_OPT_MAX_WARNINGS = 46,
    /**
     * Number: largest extended header of a tar. Default: 1 MiB.
     */
    BANGER_OPT_MAX_EXTENDED_BYTES = 47,
    /**
     * Number: most pieces of one sparse file. Default: 1048576.
     */
    BANGER_OPT_MAX_SPARSE_EXTENTS = 48,
    /**
     * Number: most addresses of foreign layers that are tried. Default: 64.
     */
    BANGER_OPT_MAX_URLS = 49,
    /**
     * Number: remove blobs that were last used longer ago than this.
     */
    BANGER_OPT_OLDER_THAN_MS = 50,
    /**
     * Number: remove the least recently used blobs until the cache is no larger than this.
     */
    BANGER_OPT_MAX_SIZE_BYTES = 51,
    /**
     * Boolean: remove all blobs. Default: false.
     */
    BANGER_OPT_ALL = 52,
    /**
     * Boolean: tell what would be removed, and remove nothing. Default: false.
     */
    BANGER_OPT_DRY_RUN = 53,
    /**
     * Makes the type 32 bits wide; not an option.
     */
    BANGER_OPT_FORCE_32BIT = 2147483647,
} banger_option;

/**
 * A flag that stops calls. Threads may share it. Free it with banger_cancel_free after the last call that
 * uses it has returned.
 */
typedef struct banger_cancel banger_cancel;

/**
 * Why a call failed. Free it with banger_error_free.
 */
typedef struct banger_error banger_error;

/**
 * One event. It lives until the progress function returns, or until the next banger_task_next.
 */
typedef struct banger_event banger_event;

/**
 * An image: an ext4 file and what is known of it. A managed image keeps its path until this is freed, even if
 * another image takes its name. Threads may share it. Free it with banger_image_free.
 */
typedef struct banger_image banger_image;

/**
 * Options of a call. One thread at a time may use it; calls only read it. Free it with banger_options_free.
 */
typedef struct banger_options banger_options;

/**
 * A store of images with its cache of blobs. Threads may share it. Pulls by one store share threads,
 * connections, logins and limits on parallel work. Free it with banger_store_free.
 */
typedef struct banger_store banger_store;

/**
 * Bytes that the library made: a document or the content of a file. Free it with banger_string_free.
 */
typedef struct banger_string banger_string;

/**
 * A pull or a build that runs on a thread of the library, for programs with an event loop. One thread at a
 * time may use it. Free it with banger_task_free.
 */
typedef struct banger_task banger_task;

/**
 * A function of the caller that is told of each event. It runs on the thread that made the call, only during
 * the call. It returns 0 to go on and another number to cancel.
 */
typedef int (*banger_progress_fn)(const struct banger_event *event, void *user_data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Builds the ext4 file `file` from `source`, a directory or a tar, as `banger rootfs build --json` does. The
 * file is complete when this succeeds and absent when it fails.
 */
int banger_build(const char *source,
                 const char *file,
                 const struct banger_options *options,
                 const struct banger_cancel *cancel,
                 banger_progress_fn progress,
                 void *user_data,
                 struct banger_string **json,
                 struct banger_error **error);

/**
 * Starts banger_build.
 */
int banger_build_start(const char *source,
                       const char *file,
                       const struct banger_options *options,
                       const struct banger_cancel *cancel,
                       struct banger_task **task,
                       struct banger_error **error);

/**
 * Lists the blobs of the cache, as `banger image cache list --json` does.
 */
int banger_cache_list(const struct banger_store *store,
                      struct banger_string **json,
                      struct banger_error **error);

/**
 * Removes blobs from the cache, as `banger image cache prune --json` does: those that the options tell, and
 * none without options. Blobs of a running pull stay.
 */
int banger_cache_prune(const struct banger_store *store,
                       const struct banger_options *options,
                       struct banger_string **json,
                       struct banger_error **error);

/**
 * Sets the flag for good: every call that uses it returns error 505 within 200 ms, also one that waits for a
 * server, a guest or a lock. Any thread may call this, but not a signal handler. NULL is fine.
 */
void banger_cancel_cancel(const struct banger_cancel *cancel);

/**
 * Frees a flag. NULL is fine.
 */
void banger_cancel_free(struct banger_cancel *cancel);

/**
 * Returns whether the flag is set. False for NULL.
 */
bool banger_cancel_is_cancelled(const struct banger_cancel *cancel);

/**
 * Returns a flag that is not set. Never NULL.
 */
struct banger_cancel *banger_cancel_new(void);

/**
 * Returns what the caller can do, naming options as docs/ffi.md does. It lives as long as the error. "" if
 * there is nothing, and for NULL.
 */
const char *banger_error_advice(const struct banger_error *error);

/**
 * Returns the code of the failure: the number that the call returned. 0 for NULL.
 */
int banger_error_code(const struct banger_error *error);

/**
 * Returns the host's error number (errno), where the host failed, and 0 otherwise.
 */
int banger_error_errno(const struct banger_error *error);

/**
 * Frees an error. NULL is fine.
 */
void banger_error_free(struct banger_error *error);

/**
 * Returns whether the same call may succeed later without any change by the caller.
 */
bool banger_error_is_transient(const struct banger_error *error);

/**
 * Returns the error as a JSON object: version, code, kind, message, advice, context. It lives as long as the
 * error. "" for NULL.
 */
const char *banger_error_json(const struct banger_error *error);

/**
 * Returns the kind of the failure, a banger_failure_kind. 0 for NULL.
 */
int banger_error_kind(const struct banger_error *error);

/**
 * Returns what failed and on what, in one line of UTF-8. It lives as long as the error. "" for NULL.
 */
const char *banger_error_message(const struct banger_error *error);

/**
 * Returns the digest of the image or blob that the event tells of, else "".
 */
const char *banger_event_digest(const struct banger_event *event);

/**
 * Returns the bytes that are done, where the event tells of bytes; else 0.
 */
uint64_t banger_event_done_bytes(const struct banger_event *event);

/**
 * Returns the event as a JSON object, as `banger --progress json` prints it.
 */
const char *banger_event_json(const struct banger_event *event);

/**
 * Returns what the event tells, a banger_step_kind. 0 for NULL.
 */
int banger_event_kind(const struct banger_event *event);

/**
 * Returns the position of the layer, 0 for the base, where the event tells of a layer; else 0.
 */
uint32_t banger_event_layer(const struct banger_event *event);

/**
 * Returns the text of a warning or of a request that is tried again, else "".
 */
const char *banger_event_message(const struct banger_event *event);

/**
 * Returns the bytes in all, where the event tells of bytes; else 0.
 */
uint64_t banger_event_size_bytes(const struct banger_event *event);

/**
 * Returns what the library was built with: a set of BANGER_FEATURE_* bits.
 */
uint64_t banger_features(void);

/**
 * Returns the digest of the image's manifest. It lives as long as the image. "" for NULL.
 */
const char *banger_image_digest(const struct banger_image *image);

/**
 * Frees an image; its file stays. NULL is fine.
 */
void banger_image_free(struct banger_image *image);

/**
 * Returns the id of the image. It lives as long as the image. "" for NULL.
 */
const char *banger_image_id(const struct banger_image *image);

/**
 * Returns whether a pull found the image up to date and left it as it was. False for NULL.
 */
bool banger_image_is_unchanged(const struct banger_image *image);

/**
 * Returns the image's record as a JSON object, as `banger image pull --json` and `banger image show --json`
 * print it. It lives as long as the image. "" for NULL.
 */
const char *banger_image_json(const struct banger_image *image);

/**
 * Returns the name of the image. It lives as long as the image. "" for NULL.
 */
const char *banger_image_name(const struct banger_image *image);

/**
 * Returns the path of the ext4 file. It lives as long as the image. "" for NULL.
 */
const char *banger_image_path(const struct banger_image *image);

/**
 * Returns the length of the ext4 file. 0 for NULL.
 */
uint64_t banger_image_size_bytes(const struct banger_image *image);

/**
 * Adds a text to an option that takes a list.
 */
int banger_options_add_string(struct banger_options *options,
                              int key,
                              const char *value,
                              struct banger_error **error);

/**
 * Frees options. NULL is fine.
 */
void banger_options_free(struct banger_options *options);

/**
 * Returns options without values. Never NULL.
 */
struct banger_options *banger_options_new(void);

/**
 * Sets an option that takes a boolean.
 */
int banger_options_set_bool(struct banger_options *options, int key, bool value, struct banger_error **error);

/**
 * Sets an option that takes bytes. The bytes are copied.
 */
int banger_options_set_bytes(struct banger_options *options,
                             int key,
                             const uint8_t *data,
                             size_t length,
                             struct banger_error **error);

/**
 * Sets an option that takes a text.
 */
int banger_options_set_string(struct banger_options *options,
                              int key,
                              const char *value,
                              struct banger_error **error);

/**
 * Sets an option that takes a number.
 */
int banger_options_set_u64(struct banger_options *options,
                           int key,
                           uint64_t value,
                           struct banger_error **error);

/**
 * Pulls an image into the store, in the place of an older image of its name. `reference` is as for
 * `banger image pull`: "debian:bookworm", "oci:DIR:NAME", "docker-archive:FILE". `options`, `cancel` and
 * `progress` may be NULL.
 */
int banger_pull(const struct banger_store *store,
                const char *reference,
                const struct banger_options *options,
                const struct banger_cancel *cancel,
                banger_progress_fn progress,
                void *user_data,
                struct banger_image **image,
                struct banger_error **error);

/**
 * Starts banger_pull, or banger_pull_to_file where `file` is not NULL.
 */
int banger_pull_start(const struct banger_store *store,
                      const char *reference,
                      const char *file,
                      const struct banger_options *options,
                      const struct banger_cancel *cancel,
                      struct banger_task **task,
                      struct banger_error **error);

/**
 * Pulls an image into the ext4 file `file`, as `banger image pull --output` does. The file is complete when
 * this succeeds and absent when it fails.
 */
int banger_pull_to_file(const struct banger_store *store,
                        const char *reference,
                        const char *file,
                        const struct banger_options *options,
                        const struct banger_cancel *cancel,
                        banger_progress_fn progress,
                        void *user_data,
                        struct banger_image **image,
                        struct banger_error **error);

/**
 * Copies an image under a new name, which must be free, as banger_store_export copies its file.
 */
int banger_store_clone(const struct banger_store *store,
                       const char *wanted,
                       const char *name,
                       const struct banger_cancel *cancel,
                       struct banger_image **image,
                       struct banger_error **error);

/**
 * Copies the ext4 file of an image to `file`, with its holes, by reflink where the host can. `wanted` is as for
 * banger_store_find; `replace` says whether a file that exists is replaced.
 */
int banger_store_export(const struct banger_store *store,
                        const char *wanted,
                        const char *file,
                        bool replace,
                        const struct banger_cancel *cancel,
                        struct banger_error **error);

/**
 * Finds the image with the name, the id or the unique prefix of an id `wanted`, and keeps it at its path until
 * it is freed.
 */
int banger_store_find(const struct banger_store *store,
                      const char *wanted,
                      const struct banger_cancel *cancel,
                      struct banger_image **image,
                      struct banger_error **error);

/**
 * Frees a store; what is in it stays. NULL is fine.
 */
void banger_store_free(struct banger_store *store);

/**
 * Lists the images, as `banger image list --json` does.
 */
int banger_store_list(const struct banger_store *store,
                      struct banger_string **json,
                      struct banger_error **error);

/**
 * Opens a store: `state` is the directory of the images, `cache` that of downloaded blobs. They are made when
 * they are needed. NULL is the user's own directory, which XDG_STATE_HOME, XDG_CACHE_HOME and HOME tell.
 */
int banger_store_open(const char *state,
                      const char *cache,
                      struct banger_store **store,
                      struct banger_error **error);

/**
 * Removes an image. `wanted` is as for banger_store_find. An image in use, also by a banger_image, stays: that
 * is an error of the kind BANGER_KIND_IN_USE.
 */
int banger_store_remove(const struct banger_store *store,
                        const char *wanted,
                        const struct banger_cancel *cancel,
                        struct banger_error **error);

/**
 * Gives an image another name, which must be free. `wanted` is as for banger_store_find.
 */
int banger_store_rename(const struct banger_store *store,
                        const char *wanted,
                        const char *name,
                        const struct banger_cancel *cancel,
                        struct banger_error **error);

/**
 * Checks an image against its record and its checksums, as `banger image verify --json` does; the document is
 * that of the one image. Damage is no error: look at `problems`.
 */
int banger_store_verify(const struct banger_store *store,
                        const char *wanted,
                        const struct banger_cancel *cancel,
                        struct banger_string **json,
                        struct banger_error **error);

/**
 * Returns the bytes. A NUL byte follows the last one. The pointer lives as long as the string. NULL for NULL.
 */
const char *banger_string_data(const struct banger_string *string);

/**
 * Frees a string. NULL is fine.
 */
void banger_string_free(struct banger_string *string);

/**
 * Returns the number of bytes, without the NUL byte behind them. 0 for NULL.
 */
size_t banger_string_length(const struct banger_string *string);

/**
 * Returns a file descriptor that is readable while there is an event or the end, for poll, select or epoll. It
 * belongs to the task: do not read from it, and do not close it. -1 for NULL and after the finish.
 */
int banger_task_fd(const struct banger_task *task);

/**
 * Waits for the end of a pull and hands out its image, or its error. Events that were not taken are lost.
 */
int banger_task_finish_image(struct banger_task *task,
                             struct banger_image **image,
                             struct banger_error **error);

/**
 * Waits for the end of a build and hands out its document, or its error. Events that were not taken are lost.
 */
int banger_task_finish_json(struct banger_task *task,
                            struct banger_string **json,
                            struct banger_error **error);

/**
 * Frees a task. Work that still runs is cancelled, and this waits for its end. NULL is fine.
 */
void banger_task_free(struct banger_task *task);

/**
 * Writes the next event to `event`: it lives until the next call for this task. Waits for it up to `timeout_ms`;
 * 0 does not wait. An event of the kind BANGER_EVENT_IDLE says that the time has passed; NULL says that the work
 * has ended.
 */
int banger_task_next(struct banger_task *task,
                     uint32_t timeout_ms,
                     const struct banger_event **event,
                     struct banger_error **error);

/**
 * Returns the version of the library as text, "0.1.0". It lives as long as the program.
 */
const char *banger_version(void);

/**
 * Returns the version of the library as a number: major * 1000000 + minor * 1000 + patch. Compare it with
 * BANGER_VERSION_NUMBER, the version of the header.
 */
uint32_t banger_version_number(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BANGER_H */
