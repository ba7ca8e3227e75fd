package banger

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"context"
)

// Store is a directory of images with a cache of downloaded blobs. Pulls by one Store share threads, connections,
// logins and limits on parallel work.
type Store struct {
	handle *handle[*C.banger_store]
}

// OpenStore opens a store: stateDir holds the images, cacheDir the downloaded blobs. They are made when they are
// needed. "" is the user's own directory, which XDG_STATE_HOME, XDG_CACHE_HOME and HOME tell.
func OpenStore(stateDir, cacheDir string) (*Store, error) {
	state, freeState, err := optionalText("stateDir", stateDir)
	if err != nil {
		return nil, err
	}
	defer freeState()
	cache, freeCache, err := optionalText("cacheDir", cacheDir)
	if err != nil {
		return nil, err
	}
	defer freeCache()
	var store *C.banger_store
	err = call(func(failure **C.banger_error) C.int { return C.banger_store_open(state, cache, &store, failure) })
	if err != nil {
		return nil, err
	}
	free := func(store *C.banger_store) { C.banger_store_free(store) }
	return &Store{newHandle("Store", store, free)}, nil
}

// Close waits for the calls that run and frees the store. The images stay.
func (s *Store) Close() error {
	s.handle.close()
	return nil
}

// List returns the document of `banger image list --json`: the images, and those that are damaged.
func (s *Store) List() ([]byte, error) {
	return s.document(func(store *C.banger_store, out **C.banger_string, failure **C.banger_error) C.int {
		return C.banger_store_list(store, out, failure)
	})
}

// Find returns the image with the name, the id or the unique prefix of an id wanted.
func (s *Store) Find(ctx context.Context, wanted string) (*Image, error) {
	return s.image(ctx, wanted, func(
		store *C.banger_store, wanted *C.char, cancel *C.banger_cancel, image **C.banger_image,
		failure **C.banger_error,
	) C.int {
		return C.banger_store_find(store, wanted, cancel, image, failure)
	})
}

// Remove removes an image; wanted is as for [Store.Find]. An image in use, also by an [Image] that is not closed,
// stays: that is an error of [KindInUse].
func (s *Store) Remove(ctx context.Context, wanted string) error {
	return s.change(ctx, wanted, "", func(
		store *C.banger_store, wanted, _ *C.char, cancel *C.banger_cancel, failure **C.banger_error,
	) C.int {
		return C.banger_store_remove(store, wanted, cancel, failure)
	})
}

// Prune removes images and returns the document of `banger image prune --json`: those that [WithKeep] does not name and
// that are old enough for [WithOlderThan], or with [WithAll] all of them. One of these options has to be set.
// [WithDryRun] removes nothing. Images in use stay.
func (s *Store) Prune(ctx context.Context, options ...Option) (json []byte, err error) {
	err = withOptions(options, func(options *C.banger_options, _ *progress) error {
		var out *C.banger_string
		err := s.change(ctx, "", "", func(
			store *C.banger_store, _, _ *C.char, cancel *C.banger_cancel, failure **C.banger_error,
		) C.int {
			return C.banger_store_prune(store, options, cancel, &out, failure)
		})
		if err == nil {
			json = takeBytes(out)
		}
		return err
	})
	return json, err
}

// Rename gives an image another name, which must be free; wanted is as for [Store.Find].
func (s *Store) Rename(ctx context.Context, wanted, name string) error {
	return s.change(ctx, wanted, name, func(
		store *C.banger_store, wanted, name *C.char, cancel *C.banger_cancel, failure **C.banger_error,
	) C.int {
		return C.banger_store_rename(store, wanted, name, cancel, failure)
	})
}

// Export copies the ext4 file of an image to file, with its holes, by reflink where the host can. wanted is as for
// [Store.Find]. A file that exists is an error, unless replace is true.
func (s *Store) Export(ctx context.Context, wanted, file string, replace bool) error {
	return s.change(ctx, wanted, file, func(
		store *C.banger_store, wanted, file *C.char, cancel *C.banger_cancel, failure **C.banger_error,
	) C.int {
		return C.banger_store_export(store, wanted, file, C.bool(replace), cancel, failure)
	})
}

// Clone copies an image for one machine; wanted is as for [Store.Find]. A target with a slash is the path of an ext4
// file, any other the name of a new managed image, which must be free. The copy has another identity: no machine-id, host
// keys, random seeds and DHCP leases, and another UUID. It is complete, or absent.
//
// Options: [WithCloneIdentity], [WithUUID], [WithSizeBytes], [WithHostname], [WithSSHKey], [WithCloneEnv], [WithClonePut],
// [WithForce], [WithNetworkInterface], [WithNetworkAddress], [WithNetworkGateway], [WithNetworkDNS].
func (s *Store) Clone(ctx context.Context, wanted, target string, given ...Option) (*Image, error) {
	place, free, err := cText("target", target)
	if err != nil {
		return nil, err
	}
	defer free()
	var made *Image
	err = withOptions(given, func(options *C.banger_options, _ *progress) error {
		made, err = s.image(ctx, wanted, func(
			store *C.banger_store, wanted *C.char, cancel *C.banger_cancel, image **C.banger_image,
			failure **C.banger_error,
		) C.int {
			return C.banger_store_clone(store, wanted, place, options, cancel, image, failure)
		})
		return err
	})
	return made, err
}

// Verify checks an image against its record and its checksums, and returns the document of `banger image verify
// --json` for it. Damage is no error: the document has it in problems.
func (s *Store) Verify(ctx context.Context, wanted string) ([]byte, error) {
	var out *C.banger_string
	err := s.change(ctx, wanted, "", func(
		store *C.banger_store, wanted, _ *C.char, cancel *C.banger_cancel, failure **C.banger_error,
	) C.int {
		return C.banger_store_verify(store, wanted, cancel, &out, failure)
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(out), nil
}

// CacheList returns the document of `banger image cache list --json`: the downloaded blobs.
func (s *Store) CacheList() ([]byte, error) {
	return s.document(func(store *C.banger_store, out **C.banger_string, failure **C.banger_error) C.int {
		return C.banger_cache_list(store, out, failure)
	})
}

// CachePrune removes the blobs that [WithOlderThan], [WithMaxSizeBytes] or [WithAll] tell; it removes nothing
// without options. It returns the document of `banger image cache prune --json`.
func (s *Store) CachePrune(options ...Option) (json []byte, err error) {
	err = withOptions(options, func(options *C.banger_options, _ *progress) (err error) {
		json, err = s.document(func(store *C.banger_store, out **C.banger_string, failure **C.banger_error) C.int {
			return C.banger_cache_prune(store, options, out, failure)
		})
		return err
	})
	return json, err
}

// CacheVerify hashes the downloaded blobs and returns the document of `banger image cache verify --json`. It removes
// damaged blobs if remove is true. Damage is no error: the document has it in damaged.
func (s *Store) CacheVerify(ctx context.Context, remove bool) ([]byte, error) {
	var out *C.banger_string
	err := s.change(ctx, "", "", func(
		store *C.banger_store, _, _ *C.char, cancel *C.banger_cancel, failure **C.banger_error,
	) C.int {
		return C.banger_cache_verify(store, C.bool(remove), cancel, &out, failure)
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(out), nil
}

func (s *Store) document(
	function func(store *C.banger_store, out **C.banger_string, failure **C.banger_error) C.int,
) (json []byte, err error) {
	err = s.handle.share(func(store *C.banger_store) (err error) {
		json, err = document(func(out **C.banger_string, failure **C.banger_error) C.int {
			return function(store, out, failure)
		})
		return err
	})
	return json, err
}

// change runs a function that takes the image wanted and, but for "", a second text.
func (s *Store) change(
	ctx context.Context, wanted, second string,
	function func(
		store *C.banger_store, wanted, second *C.char, cancel *C.banger_cancel, failure **C.banger_error,
	) C.int,
) error {
	wantedText, freeWanted, err := cText("wanted", wanted)
	if err != nil {
		return err
	}
	defer freeWanted()
	secondText, freeSecond, err := cText("argument", second)
	if err != nil {
		return err
	}
	defer freeSecond()
	return s.handle.share(func(store *C.banger_store) error {
		return callContext(ctx, func(cancel *C.banger_cancel, failure **C.banger_error) C.int {
			return function(store, wantedText, secondText, cancel, failure)
		})
	})
}

// image runs a function that finds or makes an image.
func (s *Store) image(
	ctx context.Context, wanted string,
	function func(
		store *C.banger_store, wanted *C.char, cancel *C.banger_cancel, image **C.banger_image,
		failure **C.banger_error,
	) C.int,
) (*Image, error) {
	var image *C.banger_image
	err := s.change(ctx, wanted, "", func(
		store *C.banger_store, wanted, _ *C.char, cancel *C.banger_cancel, failure **C.banger_error,
	) C.int {
		return function(store, wanted, cancel, &image, failure)
	})
	if err != nil {
		return nil, err
	}
	return newImage(image), nil
}
