package banger

// #include "bridge.h"
import "C"

import (
	"context"
	"io/fs"
	"iter"
	"time"
	"unsafe"
)

// Metadata is type, permissions, owner, time and extended attributes of each path of a file system, apart from the
// bytes of files. It does not change.
type Metadata struct {
	handle *handle[*C.banger_metadata]
}

func newMetadata(metadata *C.banger_metadata) *Metadata {
	free := func(metadata *C.banger_metadata) { C.banger_metadata_free(metadata) }
	return &Metadata{newHandle("Metadata", metadata, free)}
}

// MetadataOfImage downloads an image and returns the metadata of the root file system that its layers make, without
// writing a file system. reference and the options for image, registry and limits are as for [Store.Pull].
func (s *Store) MetadataOfImage(ctx context.Context, reference string, given ...Option) (*Metadata, error) {
	text, free, err := cText("reference", reference)
	if err != nil {
		return nil, err
	}
	defer free()
	var metadata *C.banger_metadata
	err = withOptions(given, func(options *C.banger_options, tell *progress) error {
		return s.handle.share(func(store *C.banger_store) error {
			return tell.run(ctx, func() { C.banger_metadata_free(metadata) }, func(
				function C.banger_progress_fn, user unsafe.Pointer, cancel *C.banger_cancel, failure **C.banger_error,
			) C.int {
				return C.banger_metadata_of_image(
					store, text, options, cancel, function, user, &metadata, failure)
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return newMetadata(metadata), nil
}

// Metadata returns the metadata of the file system, with the changes that are not committed yet.
func (r *Rootfs) Metadata(ctx context.Context) (*Metadata, error) {
	var metadata *C.banger_metadata
	err := r.run(ctx, func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int {
		return C.banger_metadata_of_rootfs(rootfs, cancel, &metadata, failure)
	})
	if err != nil {
		return nil, err
	}
	return newMetadata(metadata), nil
}

// ParseMetadata reads what [Metadata.MarshalJSON] has written.
func ParseMetadata(json []byte) (*Metadata, error) {
	var metadata *C.banger_metadata
	text, length := bytesOf(string(json))
	err := call(func(failure **C.banger_error) C.int {
		return C.banger_metadata_from_json(text, length, &metadata, failure)
	})
	if err != nil {
		return nil, err
	}
	return newMetadata(metadata), nil
}

// Close frees the metadata.
func (m *Metadata) Close() error {
	m.handle.close()
	return nil
}

// MarshalJSON returns the metadata as a document: entries, each path, type, mode, uid, gid, mtime, and where it has
// them major and minor, and xattrs (base64).
func (m *Metadata) MarshalJSON() (json []byte, err error) {
	err = m.handle.share(func(metadata *C.banger_metadata) (err error) {
		json, err = document(func(out **C.banger_string, failure **C.banger_error) C.int {
			return C.banger_metadata_json(metadata, out, failure)
		})
		return err
	})
	return json, err
}

// MetadataEntry is what is known of one path.
type MetadataEntry struct {
	// Path is absolute and may have any bytes but NUL.
	Path string
	// Mode has the type, the permissions, and the setuid, setgid and sticky bits.
	Mode fs.FileMode
	// UID and GID are the owner and the group.
	UID, GID uint32
	// ModTime is the time of the last modification.
	ModTime time.Time
	// Xattrs is the number of extended attributes; the document has them.
	Xattrs int
	// DeviceMajor and DeviceMinor are the numbers of a device.
	DeviceMajor, DeviceMinor uint32
}

// Len returns the number of entries; 0 after Close.
func (m *Metadata) Len() (length int) {
	_ = m.handle.share(func(metadata *C.banger_metadata) error {
		length = int(C.banger_metadata_length(metadata))
		return nil
	})
	return length
}

// At returns the entry index, from 0 on.
func (m *Metadata) At(index int) (entry MetadataEntry, err error) {
	if index < 0 {
		return entry, argumentError("index is negative")
	}
	err = m.handle.share(func(metadata *C.banger_metadata) error {
		var found C.banger_metadata_entry
		err := call(func(failure **C.banger_error) C.int {
			return C.banger_metadata_at(
				metadata, C.size_t(index), &found, C.sizeof_banger_metadata_entry, failure)
		})
		if err != nil {
			return err
		}
		entry = MetadataEntry{
			Path:        string(unsafe.Slice((*byte)(unsafe.Pointer(found.path)), int(found.path_length))),
			Mode:        fileMode(uint32(found.file_type), uint32(found.mode)),
			UID:         uint32(found.uid),
			GID:         uint32(found.gid),
			ModTime:     time.Unix(int64(found.mtime_seconds), int64(found.mtime_nanoseconds)),
			Xattrs:      int(found.xattr_count),
			DeviceMajor: uint32(found.device_major),
			DeviceMinor: uint32(found.device_minor),
		}
		return nil
	})
	return entry, err
}

// All returns the entries, parents before children. It ends early if the metadata is closed meanwhile.
func (m *Metadata) All() iter.Seq[MetadataEntry] {
	return func(yield func(MetadataEntry) bool) {
		for i := range m.Len() {
			entry, err := m.At(i)
			if err != nil || !yield(entry) {
				return
			}
		}
	}
}
