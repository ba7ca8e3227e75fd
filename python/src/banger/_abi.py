"""The C ABI, made of include/banger.h by tools/abi.py. Do not edit."""

from __future__ import annotations

import ctypes
from ctypes import (
    c_bool,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

BANGER_EDIT = 1
BANGER_ERROR_ARGUMENT = 511
BANGER_ERROR_CANCELLED = 505
BANGER_ERROR_INTERNAL = 510
BANGER_ERROR_OPTION = 512
BANGER_ERROR_RESOURCES = 513
BANGER_FEATURE_E2FSPROGS = 4
BANGER_FEATURE_GUEST_AMD64 = 1
BANGER_FEATURE_GUEST_ARM64 = 2
BANGER_FOREVER = 18446744073709551615
BANGER_KEEP_ID = 4294967295
BANGER_STRLEN = 18446744073709551615
BANGER_TIME_NOW = 1073741823
BANGER_VERSION_MAJOR = 0
BANGER_VERSION_MINOR = 1
BANGER_VERSION_PATCH = 0

BANGER_EXEC_NOTHING = 0
BANGER_EXEC_OUTPUT = 1
BANGER_EXEC_ERROR_OUTPUT = 2
BANGER_EXEC_ENDED = 3
BANGER_EXEC_OTHER = 4

BANGER_EXIT_EXITED = 1
BANGER_EXIT_KILLED = 2
BANGER_EXIT_OTHER = 3

BANGER_KIND_CANCELLED = 1
BANGER_KIND_NOT_FOUND = 2
BANGER_KIND_EXISTS = 3
BANGER_KIND_ACCESS = 4
BANGER_KIND_NETWORK = 5
BANGER_KIND_NO_SPACE = 6
BANGER_KIND_LIMIT = 7
BANGER_KIND_IN_USE = 8
BANGER_KIND_DAMAGED = 9
BANGER_KIND_UNSUPPORTED = 10
BANGER_KIND_ARGUMENT = 11
BANGER_KIND_GUEST = 12
BANGER_KIND_INTERNAL = 13

BANGER_FILE_FIFO = 1
BANGER_FILE_CHAR_DEVICE = 2
BANGER_FILE_DIRECTORY = 4
BANGER_FILE_BLOCK_DEVICE = 6
BANGER_FILE_REGULAR = 8
BANGER_FILE_SYMLINK = 10
BANGER_FILE_SOCKET = 12

BANGER_OPT_NAME = 1
BANGER_OPT_PLATFORM = 2
BANGER_OPT_SIZE_BYTES = 3
BANGER_OPT_SIZE_AT_LEAST_BYTES = 4
BANGER_OPT_INODES = 5
BANGER_OPT_BACKEND = 6
BANGER_OPT_INIT = 7
BANGER_OPT_INJECT = 8
BANGER_OPT_GUEST_DIR = 9
BANGER_OPT_FORCE = 10
BANGER_OPT_SOURCE_DATE_EPOCH = 11
BANGER_OPT_SCRATCH_DIR = 12
BANGER_OPT_LABEL = 13
BANGER_OPT_UUID = 14
BANGER_OPT_JOBS = 15
BANGER_OPT_PLAIN_HTTP = 16
BANGER_OPT_CA_CERT = 17
BANGER_OPT_AUTH = 18
BANGER_OPT_USER = 19
BANGER_OPT_PASSWORD = 20
BANGER_OPT_IDENTITY_TOKEN = 21
BANGER_OPT_AUTH_FILE = 22
BANGER_OPT_HELPER_DIR = 23
BANGER_OPT_HELPER_TIMEOUT_MS = 24
BANGER_OPT_ATTEMPTS = 25
BANGER_OPT_BACKOFF_MS = 26
BANGER_OPT_MAX_BACKOFF_MS = 27
BANGER_OPT_CONNECT_TIMEOUT_MS = 28
BANGER_OPT_STALL_TIMEOUT_MS = 29
BANGER_OPT_MIN_RATE_BYTES = 30
BANGER_OPT_RATE_WINDOW_MS = 31
BANGER_OPT_MAX_WAIT_MS = 32
BANGER_OPT_MAX_TIME_MS = 33
BANGER_OPT_MAX_MANIFEST_BYTES = 34
BANGER_OPT_MAX_CONFIG_BYTES = 35
BANGER_OPT_MAX_DOWNLOAD_BYTES = 36
BANGER_OPT_MAX_CONTENT_BYTES = 37
BANGER_OPT_MAX_TAR_BYTES = 38
BANGER_OPT_MAX_ENTRIES = 39
BANGER_OPT_MAX_DEPTH = 40
BANGER_OPT_MAX_FILE_BYTES = 41
BANGER_OPT_MAX_XATTR_BYTES = 42
BANGER_OPT_MAX_METADATA_BYTES = 43
BANGER_OPT_MAX_PATH_COMPONENTS = 44
BANGER_OPT_MAX_LAYERS = 45
BANGER_OPT_MAX_WARNINGS = 46
BANGER_OPT_MAX_EXTENDED_BYTES = 47
BANGER_OPT_MAX_SPARSE_EXTENTS = 48
BANGER_OPT_MAX_URLS = 49
BANGER_OPT_OLDER_THAN_MS = 50
BANGER_OPT_MAX_SIZE_BYTES = 51
BANGER_OPT_ALL = 52
BANGER_OPT_DRY_RUN = 53
BANGER_OPT_KERNEL_REF = 54
BANGER_OPT_MAX_OUTPUT_BYTES = 100
BANGER_OPT_MAX_COPY_BYTES = 101
BANGER_OPT_REPLY_TIMEOUT_MS = 102
BANGER_OPT_ARCHITECTURE = 103
BANGER_OPT_HOSTNAME = 104
BANGER_OPT_EXEC_ARGV = 105
BANGER_OPT_EXEC_ENV = 106
BANGER_OPT_EXEC_CLEAR_ENV = 107
BANGER_OPT_EXEC_USER = 108
BANGER_OPT_EXEC_WORKING_DIR = 109
BANGER_OPT_EXEC_STDIN = 110
BANGER_OPT_EXEC_ROWS = 111
BANGER_OPT_EXEC_COLUMNS = 112
BANGER_OPT_EXEC_TIMEOUT_MS = 113
BANGER_OPT_NETWORK_INTERFACE = 114
BANGER_OPT_NETWORK_ADDRESS = 115
BANGER_OPT_NETWORK_GATEWAY = 116
BANGER_OPT_NETWORK_DNS = 117
BANGER_OPT_NETWORK_PERSIST = 118
BANGER_OPT_COPY_MODE = 119
BANGER_OPT_COPY_UID = 120
BANGER_OPT_COPY_GID = 121
BANGER_OPT_COPY_PARENTS = 122
BANGER_OPT_GUEST_BINARY = 123
BANGER_OPT_KERNEL_INITRD = 200
BANGER_OPT_KERNEL_MODULES = 201
BANGER_OPT_KERNEL_CONFIG = 202
BANGER_OPT_KERNEL_PACKAGE = 203
BANGER_OPT_MAX_KERNEL_BYTES = 204
BANGER_OPT_KERNEL_SHA256 = 205
BANGER_OPT_KERNEL_CATALOG = 206
BANGER_OPT_KERNEL_ALSO = 207
BANGER_OPT_KERNEL_TAG = 208
BANGER_OPT_KERNEL_LICENCE = 209
BANGER_OPT_KERNEL_SOURCE_URL = 210
BANGER_OPT_KERNEL_SOURCE_COMMIT = 211
BANGER_OPT_VMM = 220
BANGER_OPT_CHECK_FOR = 221
BANGER_OPT_BOOT_CPUS = 222
BANGER_OPT_BOOT_MEMORY_MIB = 223
BANGER_OPT_BOOT_INITRD = 224
BANGER_OPT_BOOT_ROOT = 225
BANGER_OPT_BOOT_READ_ONLY = 226
BANGER_OPT_BOOT_VSOCK = 227
BANGER_OPT_BOOT_CID = 228
BANGER_OPT_BOOT_TAP = 229
BANGER_OPT_BOOT_MAC = 230
BANGER_OPT_BOOT_APPEND = 231
BANGER_OPT_BOOT_ACCELERATION = 232
BANGER_OPT_BOOT_DISK = 233
BANGER_OPT_VM_FORWARD = 250
BANGER_OPT_VM_FIRST_BOOT = 251
BANGER_OPT_VM_BOOT_TIMEOUT_MS = 252
BANGER_OPT_VM_TIMEOUT_MS = 253
BANGER_OPT_VM_QEMU = 254
BANGER_OPT_BUILD_STEP = 260
BANGER_OPT_BUILD_NO_CACHE = 261
BANGER_OPT_DOCKER_HOST = 280
BANGER_OPT_PODMAN_HOST = 281
BANGER_OPT_STORAGE_ROOT = 282
BANGER_OPT_USER_SOURCES = 283
BANGER_OPT_INPUT_FD = 284
BANGER_OPT_BLOB_FD = 285
BANGER_OPT_REGISTRIES = 290
BANGER_OPT_REGISTRIES_CONF = 291
BANGER_OPT_CERTS_DIR = 292
BANGER_OPT_CERT_DIR = 293
BANGER_OPT_CLIENT_CERT = 294
BANGER_OPT_CLIENT_KEY = 295
BANGER_OPT_PROXY = 296
BANGER_OPT_NO_PROXY = 297
BANGER_OPT_PULL_POLICY = 298
BANGER_OPT_LIMIT_RATE_BYTES = 320
BANGER_OPT_SPLIT_AFTER_MS = 321
BANGER_OPT_MIN_PIECE_BYTES = 322
BANGER_OPT_VERIFY_KEY = 340
BANGER_OPT_POLICY = 341
BANGER_OPT_KEEP = 342
BANGER_OPT_REFERRERS = 343
BANGER_OPT_MOUNT_FROM = 350
BANGER_OPT_ROOTFS_ONLY = 351
BANGER_OPT_SIGN_KEY = 380
BANGER_OPT_SIGN_PASSWORD = 381
BANGER_OPT_ATTEST = 382
BANGER_OPT_COMMIT_SQUASH = 370
BANGER_OPT_COMMIT_COMPRESSION = 371
BANGER_OPT_COMMIT_MESSAGE = 372
BANGER_OPT_COMMIT_AUTHOR = 373
BANGER_OPT_VERITY = 360
BANGER_OPT_CLONE_IDENTITY = 410
BANGER_OPT_SSH_KEY = 411
BANGER_OPT_CLONE_ENV = 412
BANGER_OPT_CLONE_PUT = 413
BANGER_OPT_PARTITION = 420
BANGER_OPT_OFFSET_BYTES = 421
BANGER_OPT_HEADROOM_BYTES = 430
BANGER_OPT_JOURNAL_BYTES = 431
BANGER_OPT_RESERVED_BLOCKS = 432
BANGER_OPT_OWN_IDENTITY = 433
BANGER_OPT_PUT_IF_MATCH = 390
BANGER_OPT_PUT_MODE = 391
BANGER_OPT_PUT_OWNER = 392
BANGER_OPT_PUT_PARENTS = 393
BANGER_OPT_USAGE_DETAIL = 394
BANGER_OPT_FIND_NAME = 395
BANGER_OPT_FIND_PATH = 396
BANGER_OPT_FIND_TYPE = 397
BANGER_OPT_FIND_SIZE = 398
BANGER_OPT_FIND_NEWER = 399
BANGER_OPT_FIND_PERM = 400
BANGER_OPT_FIND_UID = 401
BANGER_OPT_FIND_GID = 402
BANGER_OPT_FIND_MAX_DEPTH = 403

BANGER_EVENT_IDLE = 1
BANGER_EVENT_RESOLVING = 2
BANGER_EVENT_RESOLVED = 3
BANGER_EVENT_BLOB_STARTED = 4
BANGER_EVENT_BLOB_WAITING = 5
BANGER_EVENT_PULL_WAITING = 6
BANGER_EVENT_BLOB_PROGRESS = 7
BANGER_EVENT_BLOB_DONE = 8
BANGER_EVENT_RETRY = 9
BANGER_EVENT_LAYER_PROGRESS = 10
BANGER_EVENT_LAYER_DONE = 11
BANGER_EVENT_DIRECTORY_PROGRESS = 12
BANGER_EVENT_WARNING = 13
BANGER_EVENT_BUILDING = 14
BANGER_EVENT_DONE = 15
BANGER_EVENT_OTHER = 16
BANGER_EVENT_STEP = 17
BANGER_EVENT_STEP_OUTPUT = 18


class banger_dirent(ctypes.Structure):
    _fields_ = [
        ("name", c_void_p),
        ("name_length", c_size_t),
        ("inode", c_uint64),
        ("file_type", c_uint32),
        ("reserved", c_uint32),
    ]


class banger_exit(ctypes.Structure):
    _fields_ = [
        ("kind", c_uint32),
        ("status", c_int32),
        ("signal", c_int32),
        ("reserved", c_uint32),
    ]


class banger_exec_event(ctypes.Structure):
    _fields_ = [
        ("data", c_void_p),
        ("length", c_size_t),
        ("kind", c_uint32),
        ("reserved", c_uint32),
    ]


class banger_metadata_entry(ctypes.Structure):
    _fields_ = [
        ("path", c_void_p),
        ("path_length", c_size_t),
        ("mtime_seconds", c_int64),
        ("mtime_nanoseconds", c_uint32),
        ("file_type", c_uint32),
        ("mode", c_uint32),
        ("uid", c_uint32),
        ("gid", c_uint32),
        ("xattr_count", c_uint32),
        ("device_major", c_uint32),
        ("device_minor", c_uint32),
    ]


class banger_attrs(ctypes.Structure):
    _fields_ = [
        ("mtime_seconds", c_int64),
        ("mtime_nanoseconds", c_uint32),
        ("mode", c_uint32),
        ("uid", c_uint32),
        ("gid", c_uint32),
    ]


class banger_stat(ctypes.Structure):
    _fields_ = [
        ("inode", c_uint64),
        ("size_bytes", c_uint64),
        ("mtime_seconds", c_int64),
        ("mtime_nanoseconds", c_uint32),
        ("file_type", c_uint32),
        ("mode", c_uint32),
        ("uid", c_uint32),
        ("gid", c_uint32),
        ("nlink", c_uint32),
        ("device_major", c_uint32),
        ("device_minor", c_uint32),
    ]


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "banger_boot_plan": (c_int, [c_void_p, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_build": (c_int, [c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_build_start": (c_int, [c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_cache_list": (c_int, [c_void_p, c_void_p, c_void_p]),
    "banger_cache_prune": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_cache_verify": (c_int, [c_void_p, c_bool, c_void_p, c_void_p, c_void_p]),
    "banger_cancel_cancel": (None, [c_void_p]),
    "banger_cancel_free": (None, [c_void_p]),
    "banger_cancel_is_cancelled": (c_bool, [c_void_p]),
    "banger_cancel_new": (c_void_p, []),
    "banger_dir_free": (None, [c_void_p]),
    "banger_dir_next": (c_int, [c_void_p, c_void_p, c_size_t, c_void_p]),
    "banger_doctor": (c_int, [c_void_p, c_void_p, c_void_p]),
    "banger_error_advice": (c_char_p, [c_void_p]),
    "banger_error_code": (c_int, [c_void_p]),
    "banger_error_errno": (c_int, [c_void_p]),
    "banger_error_free": (None, [c_void_p]),
    "banger_error_is_transient": (c_bool, [c_void_p]),
    "banger_error_json": (c_char_p, [c_void_p]),
    "banger_error_kind": (c_int, [c_void_p]),
    "banger_error_message": (c_char_p, [c_void_p]),
    "banger_event_digest": (c_char_p, [c_void_p]),
    "banger_event_done_bytes": (c_uint64, [c_void_p]),
    "banger_event_json": (c_char_p, [c_void_p]),
    "banger_event_kind": (c_int, [c_void_p]),
    "banger_event_layer": (c_uint32, [c_void_p]),
    "banger_event_message": (c_char_p, [c_void_p]),
    "banger_event_size_bytes": (c_uint64, [c_void_p]),
    "banger_exec_exit": (c_int, [c_void_p, c_void_p, c_size_t, c_void_p]),
    "banger_exec_fd": (c_int, [c_void_p]),
    "banger_exec_free": (None, [c_void_p]),
    "banger_exec_input_close": (c_int, [c_void_p, c_void_p]),
    "banger_exec_input_free": (None, [c_void_p]),
    "banger_exec_input_resize": (c_int, [c_void_p, c_uint16, c_uint16, c_void_p]),
    "banger_exec_input_signal": (c_int, [c_void_p, c_int, c_void_p]),
    "banger_exec_input_write": (c_int, [c_void_p, c_void_p, c_size_t, c_void_p]),
    "banger_exec_next": (c_int, [c_void_p, c_uint64, c_void_p, c_size_t, c_void_p]),
    "banger_exec_open_input": (c_int, [c_void_p, c_void_p, c_void_p]),
    "banger_exec_pid": (c_uint32, [c_void_p]),
    "banger_exec_start": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_features": (c_uint64, []),
    "banger_guest_copy_in_fd": (c_int, [c_void_p, c_char_p, c_int, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_guest_copy_out_fd": (c_int, [c_void_p, c_char_p, c_int, c_void_p, c_void_p, c_void_p]),
    "banger_guest_free": (None, [c_void_p]),
    "banger_guest_grow": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_guest_health": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_guest_info": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_guest_new": (c_int, [c_char_p, c_void_p, c_void_p, c_void_p]),
    "banger_guest_run": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p]),
    "banger_guest_set_network": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_guest_shutdown": (c_int, [c_void_p, c_bool, c_void_p, c_void_p]),
    "banger_guest_wait": (c_int, [c_void_p, c_uint64, c_void_p, c_void_p, c_size_t, c_void_p]),
    "banger_guest_wait_ready": (c_int, [c_void_p, c_uint64, c_void_p, c_void_p, c_void_p]),
    "banger_image_build": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_image_commit": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_image_digest": (c_char_p, [c_void_p]),
    "banger_image_free": (None, [c_void_p]),
    "banger_image_id": (c_char_p, [c_void_p]),
    "banger_image_inspect": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_image_is_unchanged": (c_bool, [c_void_p]),
    "banger_image_json": (c_char_p, [c_void_p]),
    "banger_image_name": (c_char_p, [c_void_p]),
    "banger_image_path": (c_char_p, [c_void_p]),
    "banger_image_push": (c_int, [c_void_p, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_image_register": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_image_size_bytes": (c_uint64, [c_void_p]),
    "banger_kernel_check": (c_int, [c_void_p, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_kernel_import": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_kernel_list": (c_int, [c_void_p, c_void_p, c_void_p]),
    "banger_kernel_pack": (c_int, [c_void_p, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_kernel_pull": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_kernel_remove": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p]),
    "banger_kernel_show": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p]),
    "banger_login": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_logout": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_metadata_at": (c_int, [c_void_p, c_size_t, c_void_p, c_size_t, c_void_p]),
    "banger_metadata_free": (None, [c_void_p]),
    "banger_metadata_from_json": (c_int, [c_char_p, c_size_t, c_void_p, c_void_p]),
    "banger_metadata_json": (c_int, [c_void_p, c_void_p, c_void_p]),
    "banger_metadata_length": (c_size_t, [c_void_p]),
    "banger_metadata_of_image": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_metadata_of_rootfs": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_options_add_string": (c_int, [c_void_p, c_int, c_char_p, c_void_p]),
    "banger_options_free": (None, [c_void_p]),
    "banger_options_new": (c_void_p, []),
    "banger_options_set_bool": (c_int, [c_void_p, c_int, c_bool, c_void_p]),
    "banger_options_set_bytes": (c_int, [c_void_p, c_int, c_void_p, c_size_t, c_void_p]),
    "banger_options_set_string": (c_int, [c_void_p, c_int, c_char_p, c_void_p]),
    "banger_options_set_u64": (c_int, [c_void_p, c_int, c_uint64, c_void_p]),
    "banger_pull": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_pull_start": (c_int, [c_void_p, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_pull_to_fd": (c_int, [c_void_p, c_char_p, c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_pull_to_fd_start": (c_int, [c_void_p, c_char_p, c_int, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_pull_to_file": (c_int, [c_void_p, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_apply_ownership": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_commit": (c_int, [c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_create_dir": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_size_t, c_void_p]),
    "banger_rootfs_diff": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_disk_usage": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_edit_script": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_entry": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_void_p]),
    "banger_rootfs_find": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_free": (None, [c_void_p]),
    "banger_rootfs_get": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_hard_link": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p]),
    "banger_rootfs_inject": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_is_commit_due": (c_bool, [c_void_p]),
    "banger_rootfs_minimum_size": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_mknod": (c_int, [c_void_p, c_char_p, c_size_t, c_uint32, c_uint32, c_uint32, c_void_p, c_size_t, c_void_p]),
    "banger_rootfs_open": (c_int, [c_char_p, c_uint, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_put": (c_int, [c_void_p, c_char_p, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_read": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_void_p]),
    "banger_rootfs_read_at": (c_int, [c_void_p, c_char_p, c_size_t, c_uint64, c_void_p, c_size_t, c_void_p, c_void_p]),
    "banger_rootfs_read_dir": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_void_p]),
    "banger_rootfs_read_link": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_void_p]),
    "banger_rootfs_remove": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_void_p]),
    "banger_rootfs_remove_xattr": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_void_p]),
    "banger_rootfs_rename": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p]),
    "banger_rootfs_repair": (c_int, [c_char_p, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_resize": (c_int, [c_void_p, c_uint64, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_resolve": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_void_p]),
    "banger_rootfs_set_mode": (c_int, [c_void_p, c_char_p, c_size_t, c_uint32, c_void_p]),
    "banger_rootfs_set_mtime": (c_int, [c_void_p, c_char_p, c_size_t, c_int64, c_uint32, c_void_p]),
    "banger_rootfs_set_owner": (c_int, [c_void_p, c_char_p, c_size_t, c_uint32, c_uint32, c_void_p]),
    "banger_rootfs_set_xattr": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_void_p, c_size_t, c_void_p]),
    "banger_rootfs_size_bytes": (c_uint64, [c_void_p]),
    "banger_rootfs_stat": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_size_t, c_void_p]),
    "banger_rootfs_symlink": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p, c_size_t, c_void_p]),
    "banger_rootfs_tar_fd": (c_int, [c_void_p, c_char_p, c_size_t, c_int, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_usage": (c_int, [c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_verify": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_write": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p]),
    "banger_rootfs_write_from_fd": (c_int, [c_void_p, c_char_p, c_size_t, c_int, c_void_p, c_size_t, c_void_p, c_void_p]),
    "banger_rootfs_write_network": (c_int, [c_void_p, c_void_p, c_void_p]),
    "banger_rootfs_xattr": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_void_p, c_void_p]),
    "banger_rootfs_xattrs": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_void_p]),
    "banger_store_clone": (c_int, [c_void_p, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_store_export": (c_int, [c_void_p, c_char_p, c_char_p, c_bool, c_void_p, c_void_p]),
    "banger_store_find": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p, c_void_p]),
    "banger_store_free": (None, [c_void_p]),
    "banger_store_list": (c_int, [c_void_p, c_void_p, c_void_p]),
    "banger_store_open": (c_int, [c_char_p, c_char_p, c_void_p, c_void_p]),
    "banger_store_prune": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "banger_store_remove": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p]),
    "banger_store_rename": (c_int, [c_void_p, c_char_p, c_char_p, c_void_p, c_void_p]),
    "banger_store_verify": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p, c_void_p]),
    "banger_string_data": (c_void_p, [c_void_p]),
    "banger_string_free": (None, [c_void_p]),
    "banger_string_length": (c_size_t, [c_void_p]),
    "banger_task_fd": (c_int, [c_void_p]),
    "banger_task_finish_image": (c_int, [c_void_p, c_void_p, c_void_p]),
    "banger_task_finish_json": (c_int, [c_void_p, c_void_p, c_void_p]),
    "banger_task_free": (None, [c_void_p]),
    "banger_task_next": (c_int, [c_void_p, c_uint32, c_void_p, c_void_p]),
    "banger_version": (c_char_p, []),
    "banger_version_number": (c_uint32, []),
    "banger_vm_run": (c_int, [c_void_p, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
}
