package banger

// #include "bridge.h"
import "C"

import "io/fs"

// fileTypes are the types of C and of Go.
var fileTypes = []struct {
	number uint32
	mode   fs.FileMode
}{
	{C.BANGER_FILE_REGULAR, 0},
	{C.BANGER_FILE_DIRECTORY, fs.ModeDir},
	{C.BANGER_FILE_SYMLINK, fs.ModeSymlink},
	{C.BANGER_FILE_FIFO, fs.ModeNamedPipe},
	{C.BANGER_FILE_SOCKET, fs.ModeSocket},
	{C.BANGER_FILE_BLOCK_DEVICE, fs.ModeDevice},
	{C.BANGER_FILE_CHAR_DEVICE, fs.ModeDevice | fs.ModeCharDevice},
}

// modeFlags are the bits above the permissions.
var modeFlags = []struct {
	bit  uint32
	mode fs.FileMode
}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}}

// fileMode returns the mode of a type of C and of permission bits.
func fileMode(number, bits uint32) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	for _, flag := range modeFlags {
		if bits&flag.bit != 0 {
			mode |= flag.mode
		}
	}
	for _, fileType := range fileTypes {
		if fileType.number == number {
			return mode | fileType.mode
		}
	}
	return mode | fs.ModeIrregular
}

// modeBits returns the permission bits of mode, without its type.
func modeBits(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	for _, flag := range modeFlags {
		if mode&flag.mode != 0 {
			bits |= flag.bit
		}
	}
	return bits
}

// typeNumber returns the type of mode for C; 0, which is no type, for one that ext4 does not have.
func typeNumber(mode fs.FileMode) uint32 {
	for _, fileType := range fileTypes {
		if fileType.mode == mode.Type() {
			return fileType.number
		}
	}
	return 0
}
