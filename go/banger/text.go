package banger

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"encoding/json"
	"fmt"
	"strings"
	"unsafe"
)

// cText returns text for C, and a function that frees it. C ends a text at the first NUL byte, so a text that
// has one is an error.
func cText(name, text string) (*C.char, func(), error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, nil, argumentError(fmt.Sprintf("%s has a NUL byte", name))
	}
	copied := C.CString(text)
	return copied, func() { C.free(unsafe.Pointer(copied)) }, nil
}

// optionalText is cText, but "" is NULL.
func optionalText(name, text string) (*C.char, func(), error) {
	if text == "" {
		return nil, func() {}, nil
	}
	return cText(name, text)
}

// argumentError is the error of an argument that C cannot take.
func argumentError(message string) *Error {
	report, err := json.Marshal(map[string]any{
		"version": 1, "code": C.BANGER_ERROR_ARGUMENT, "kind": KindArgument.String(), "message": message,
		"context": map[string]string{},
	})
	if err != nil {
		panic(err) // Texts and numbers are always JSON.
	}
	return &Error{Code: C.BANGER_ERROR_ARGUMENT, Kind: KindArgument, Message: message, json: string(report)}
}

// bytesOf returns the bytes of a text or path that is passed with its length. C only reads them, during the call.
func bytesOf(text string) (*C.char, C.size_t) {
	if text == "" {
		return (*C.char)(unsafe.Pointer(unsafe.StringData("\x00"))), 0
	}
	return (*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.size_t(len(text))
}

// takeBytes copies a string of the C library and frees it.
func takeBytes(text *C.banger_string) []byte {
	defer C.banger_string_free(text)
	length := C.banger_string_length(text)
	if length == 0 {
		return []byte{}
	}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(C.banger_string_data(text))), int(length))...)
}

// document runs a function of the C library that answers with a document.
func document(function func(out **C.banger_string, failure **C.banger_error) C.int) ([]byte, error) {
	var text *C.banger_string
	if err := call(func(failure **C.banger_error) C.int { return function(&text, failure) }); err != nil {
		return nil, err
	}
	return takeBytes(text), nil
}
