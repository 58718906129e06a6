package main

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/penstock-io/penstock/store"
)

// Git names files and people by bytes, the log names entities by printable text of a limited
// length, structured by colons. The functions here lead from one to the other; two different names
// never become one.

func scopeOf(path string) string { return shorten(escape(path), store.MaxScopeBytes) }

func commitEntity(hash string) string  { return "commit:" + hash }
func fileEntity(path string) string    { return entity("file:" + path) }
func authorEntity(name string) string  { return entity("author:" + name) }
func hotspotEntity(path string) string { return entity("hotspot:" + path) }

// pairEntity makes the pairs of a path a namespace: the region "pair:a.go" holds those that begin
// with a.go.
func pairEntity(a, b string) string { return entity("pair:" + a + ":" + b) }

func entity(name string) string { return shorten(name, store.MaxEntityBytes) }

const hexDigits = "0123456789ABCDEF"

// escape percent-encodes the bytes of everything that is not a printable character, and the two
// characters that have a meaning here: the percent sign and the colon.
func escape(name string) string {
	var b strings.Builder
	for len(name) > 0 {
		r, size := utf8.DecodeRuneInString(name)
		broken := r == utf8.RuneError && size == 1
		if broken || r == '%' || r == ':' || !unicode.IsPrint(r) {
			for _, c := range []byte(name[:size]) {
				b.WriteByte('%')
				b.WriteByte(hexDigits[c>>4])
				b.WriteByte(hexDigits[c&15])
			}
		} else {
			b.WriteString(name[:size])
		}
		name = name[size:]
	}
	return b.String()
}

// shorten cuts an escaped name that is longer than limit bytes, and puts a hash of the whole at its
// end, after a mark that no escaped name contains.
func shorten(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	end := fmt.Sprintf("%%~%x", sum[:16])
	cut := limit - len(end)
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + end
}
