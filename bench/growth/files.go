package growth

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/penstock-io/penstock/store"
)

// fresh is how many of the last segments may still be written to: the active one, the one made
// ahead, and the one whose sealing may not be over.
const fresh = 3

// Killed makes a directory of what a kill of the writer of another one would leave, which may be
// open. No commit may be under way. Sealed segments, which are never changed, are linked, the rest
// is copied and synced: reading it later waits for nothing.
func Killed(to, from string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	sealed := -fresh
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".seg") {
			sealed++
		}
	}
	for _, e := range entries { // by name, so segments by number
		add := copyFile
		if strings.HasSuffix(e.Name(), ".seg") && sealed > 0 {
			add = os.Link
			sealed--
		}
		if err := add(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Sync(), dst.Close())
}

// opened is how long it takes to open a store for writing.
func opened(dir string, o store.Options) (*store.Store, time.Duration, error) {
	began := time.Now()
	st, err := store.Open(dir, o)
	return st, time.Since(began), err
}

// openedAfterKill is how long it takes to open what a kill of the writer of a directory would
// leave. It leaves nothing of that behind.
func openedAfterKill(dir string, o store.Options) (took time.Duration, err error) {
	left := dir + "-killed"
	defer func() { err = errors.Join(err, os.RemoveAll(left)) }()
	if err := Killed(left, dir); err != nil {
		return 0, err
	}
	st, took, err := opened(left, o)
	if err != nil {
		return 0, err
	}
	return took, st.Close()
}
