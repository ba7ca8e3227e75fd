package banger

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// FS is the file system in an ext4 file as an [fs.FS]. It also implements [fs.ReadDirFS], [fs.ReadFileFS],
// [fs.ReadLinkFS] and [fs.StatFS]. Symlinks are followed inside the file system, absolute ones too. Many goroutines
// may use it.
//
// Names are relative to the root, and have to be UTF-8: package io/fs wants that. [Rootfs] reads other names.
type FS struct {
	rootfs *Rootfs
	// owned says that Close closes the Rootfs.
	owned bool
}

var (
	_ fs.ReadDirFS   = (*FS)(nil)
	_ fs.ReadFileFS  = (*FS)(nil)
	_ fs.ReadLinkFS  = (*FS)(nil)
	_ fs.StatFS      = (*FS)(nil)
	_ io.ReaderAt    = (*file)(nil)
	_ io.Seeker      = (*file)(nil)
	_ fs.ReadDirFile = (*directory)(nil)
)

// OpenFS opens the file system in file to read it. Close it after use.
func OpenFS(file string) (*FS, error) {
	rootfs, err := OpenRootfs(file)
	if err != nil {
		return nil, err
	}
	return &FS{rootfs, true}, nil
}

// FS returns the file system as an [fs.FS]. It sees changes that are not committed yet. Closing it does nothing.
func (r *Rootfs) FS() *FS { return &FS{r, false} }

// Close closes the file system, if [OpenFS] opened it.
func (f *FS) Close() error {
	if f.owned {
		return f.rootfs.Close()
	}
	return nil
}

// at returns the absolute path of name, with the symlinks followed in all its components where follow is true.
func (f *FS) at(operation, name string, follow bool) (string, error) {
	if !fs.ValidPath(name) || strings.IndexByte(name, 0) >= 0 {
		return "", pathError(operation, name, fs.ErrInvalid)
	}
	at := path.Join("/", name)
	if !follow {
		return at, nil
	}
	resolved, err := f.rootfs.Resolve(at)
	if err != nil {
		return "", pathError(operation, name, err)
	}
	return resolved, nil
}

func pathError(operation, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: operation, Path: name, Err: err}
}

// Open opens the file or directory name.
func (f *FS) Open(name string) (fs.File, error) {
	at, err := f.at("open", name, true)
	if err != nil {
		return nil, err
	}
	info, err := f.info("open", name, at)
	if err != nil {
		return nil, err
	}
	opened := openFile{fs: f, name: name, at: at, info: info}
	if !info.IsDir() {
		return &file{openFile: opened}, nil
	}
	entries, err := f.entries("open", name, at)
	if err != nil {
		return nil, err
	}
	return &directory{openFile: opened, rest: entries}, nil
}

// Stat tells what is at name, behind a symlink.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	at, err := f.at("stat", name, true)
	if err != nil {
		return nil, err
	}
	return f.info("stat", name, at)
}

// Lstat tells what is at name, a symlink itself.
func (f *FS) Lstat(name string) (fs.FileInfo, error) {
	at, err := f.at("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return f.info("lstat", name, at)
}

// ReadLink returns the target of the symlink name.
func (f *FS) ReadLink(name string) (string, error) {
	at, err := f.at("readlink", name, false)
	if err != nil {
		return "", err
	}
	target, err := f.rootfs.ReadLink(at)
	return target, pathError("readlink", name, err)
}

// ReadDir returns the entries of the directory name, ordered by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	at, err := f.at("readdir", name, true)
	if err != nil {
		return nil, err
	}
	return f.entries("readdir", name, at)
}

// ReadFile returns the bytes of the file name.
func (f *FS) ReadFile(name string) ([]byte, error) {
	at, err := f.at("readfile", name, true)
	if err != nil {
		return nil, err
	}
	data, err := f.rootfs.ReadFile(at)
	if e := (*Error)(nil); errors.As(err, &e) && e.Kind == KindLimit {
		opened, err := f.Open(name)
		if err != nil {
			return nil, err
		}
		defer opened.Close()
		return io.ReadAll(opened)
	}
	return data, pathError("readfile", name, err)
}

// info returns what is at the path at, under the name that name has.
func (f *FS) info(operation, name, at string) (fileInfo, error) {
	stat, err := f.rootfs.Lstat(at)
	if err != nil {
		return fileInfo{}, pathError(operation, name, err)
	}
	return fileInfo{path.Base(name), stat}, nil
}

func (f *FS) entries(operation, name, at string) ([]fs.DirEntry, error) {
	found, err := f.rootfs.ReadDir(at)
	if err != nil {
		return nil, pathError(operation, name, err)
	}
	entries := make([]fs.DirEntry, len(found))
	for i, entry := range found {
		entries[i] = dirEntry{f, path.Join(at, entry.Name), entry}
	}
	return entries, nil
}

// fileInfo is a [Stat] with a name.
type fileInfo struct {
	name string
	stat *Stat
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.stat.SizeBytes }
func (i fileInfo) Mode() fs.FileMode  { return i.stat.Mode }
func (i fileInfo) ModTime() time.Time { return i.stat.ModTime }
func (i fileInfo) IsDir() bool        { return i.stat.Mode.IsDir() }
func (i fileInfo) String() string     { return fs.FormatFileInfo(i) }

// Sys returns the [*Stat].
func (i fileInfo) Sys() any { return i.stat }

// dirEntry is a [DirEntry] that can be asked for the rest.
type dirEntry struct {
	fs    *FS
	at    string
	entry DirEntry
}

func (e dirEntry) Name() string      { return e.entry.Name }
func (e dirEntry) IsDir() bool       { return e.entry.Type.IsDir() }
func (e dirEntry) Type() fs.FileMode { return e.entry.Type }
func (e dirEntry) String() string    { return fs.FormatDirEntry(e) }
func (e dirEntry) Info() (fs.FileInfo, error) {
	return e.fs.info("stat", e.entry.Name, e.at)
}

// openFile is what open files and directories have in common.
type openFile struct {
	fs       *FS
	name, at string
	info     fileInfo
	closed   bool
}

func (o *openFile) Stat() (fs.FileInfo, error) {
	if err := o.check("stat"); err != nil {
		return nil, err
	}
	return o.info, nil
}

func (o *openFile) Close() error {
	if err := o.check("close"); err != nil {
		return err
	}
	o.closed = true
	return nil
}

func (o *openFile) check(operation string) error {
	if o.closed {
		return pathError(operation, o.name, fs.ErrClosed)
	}
	return nil
}

// file is an open file that is not a directory.
type file struct {
	openFile
	offset int64
}

func (f *file) Read(buffer []byte) (int, error) {
	n, err := f.read("read", buffer, f.offset)
	f.offset += int64(n)
	if err == nil && n == 0 && len(buffer) > 0 {
		return 0, io.EOF
	}
	return n, err
}

func (f *file) ReadAt(buffer []byte, offset int64) (int, error) {
	n, err := f.read("readat", buffer, offset)
	if err == nil && n < len(buffer) {
		return n, io.EOF
	}
	return n, err
}

func (f *file) read(operation string, buffer []byte, offset int64) (int, error) {
	if err := f.check(operation); err != nil {
		return 0, err
	}
	n, err := f.fs.rootfs.ReadAt(f.at, buffer, offset)
	return n, pathError(operation, f.name, err)
}

func (f *file) Seek(offset int64, whence int) (int64, error) {
	if err := f.check("seek"); err != nil {
		return 0, err
	}
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += f.info.Size()
	default:
		return 0, pathError("seek", f.name, fs.ErrInvalid)
	}
	if offset < 0 {
		return 0, pathError("seek", f.name, fs.ErrInvalid)
	}
	f.offset = offset
	return offset, nil
}

// directory is an open directory.
type directory struct {
	openFile
	// rest are the entries that were not returned yet.
	rest []fs.DirEntry
}

func (d *directory) Read([]byte) (int, error) {
	if err := d.check("read"); err != nil {
		return 0, err
	}
	return 0, pathError("read", d.name, errors.New("is a directory"))
}

func (d *directory) ReadDir(n int) ([]fs.DirEntry, error) {
	if err := d.check("readdir"); err != nil {
		return nil, err
	}
	if n > 0 && len(d.rest) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.rest) {
		n = len(d.rest)
	}
	entries := slices.Clone(d.rest[:n])
	d.rest = d.rest[n:]
	return entries, nil
}
