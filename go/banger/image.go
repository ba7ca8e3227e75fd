package banger

// #include "bridge.h"
import "C"

// Image is an ext4 file and what is known of it. An image of a [Store] keeps its path until it is closed, even if
// another image takes its name.
type Image struct {
	handle                       *handle[*C.banger_image]
	path, id, name, digest, json string
	sizeBytes                    uint64
	isUnchanged                  bool
}

func newImage(image *C.banger_image) *Image {
	return &Image{
		handle:      newHandle("Image", image, func(image *C.banger_image) { C.banger_image_free(image) }),
		path:        C.GoString(C.banger_image_path(image)),
		id:          C.GoString(C.banger_image_id(image)),
		name:        C.GoString(C.banger_image_name(image)),
		digest:      C.GoString(C.banger_image_digest(image)),
		json:        C.GoString(C.banger_image_json(image)),
		sizeBytes:   uint64(C.banger_image_size_bytes(image)),
		isUnchanged: bool(C.banger_image_is_unchanged(image)),
	}
}

// Close lets the image go: another pull or a Remove may then take its file away.
func (i *Image) Close() error {
	i.handle.close()
	return nil
}

// Path returns the path of the ext4 file.
func (i *Image) Path() string { return i.path }

// ID returns the id of the image.
func (i *Image) ID() string { return i.id }

// Name returns the name of the image.
func (i *Image) Name() string { return i.name }

// Digest returns the digest of the manifest of the image.
func (i *Image) Digest() string { return i.digest }

// SizeBytes returns the length of the ext4 file.
func (i *Image) SizeBytes() uint64 { return i.sizeBytes }

// Unchanged reports whether a pull found the image up to date and left it as it was.
func (i *Image) Unchanged() bool { return i.isUnchanged }

// JSON returns the record of the image, as `banger image show --json` prints it.
func (i *Image) JSON() []byte { return []byte(i.json) }
