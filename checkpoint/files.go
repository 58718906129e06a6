package checkpoint

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/penstock-io/penstock/store"
)

// Files keeps checkpoints in files, one for each id, outside the store: for a follower that opened
// it read-only. Dir must exist, and belong to one follower: two processes that save the same id
// overwrite each other.
//
// A file and the log are not one write. A follower that dies between handling and saving handles
// the events since the last Save again.
type Files struct {
	Dir string
}

// Load reads a checkpoint and checks that it fits: history must be that of the store as it is open
// now, exactly, since a file outlives a store that was cut or restored. b.Start, b.Formerly and
// b.Epoch are ignored: an id without a file is [ErrNotFound], and the caller begins where it likes.
// Other errors are those of [Acquire] except [ErrAhead].
func (f Files) Load(id ID, history store.Origin, b Binding) (Record, error) {
	if err := id.Validate(); err != nil {
		return Record{}, err
	}
	if err := b.validate(); err != nil {
		return Record{}, fmt.Errorf("checkpoint %q: %w", id, err)
	}
	raw, err := os.ReadFile(f.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, fmt.Errorf("checkpoint %q: %w", id, ErrNotFound)
	}
	if err != nil {
		return Record{}, fmt.Errorf("checkpoint %q: %w", id, err)
	}
	r, err := decode(raw)
	if err != nil {
		return Record{}, fmt.Errorf("checkpoint %q: file %s: %w", id, f.path(id), err)
	}
	if r.Origin != history {
		return Record{}, foreign(id, r.Origin, history)
	}
	if err := b.check(id, r); err != nil {
		return Record{}, err
	}
	return r, nil
}

// Save replaces the checkpoint. After a crash the file holds the former record or this one; once
// Save has returned nil, this one, over a power cut too.
func (f Files) Save(id ID, r Record) error {
	if err := id.Validate(); err != nil {
		return err
	}
	path := f.path(id)
	// A fixed name, so that crashes leave one stray file at most, which the next Save overwrites.
	temporary := path + ".tmp"
	err := writeSynced(temporary, r.bytes())
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err == nil {
		err = syncDir(f.Dir)
	}
	if err != nil {
		return fmt.Errorf("checkpoint %q: save: %w", id, err)
	}
	return nil
}

func writeSynced(path string, b []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncDir makes a rename durable. Windows cannot sync a directory, and does not need to: NTFS
// journals renames.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f Files) path(id ID) string { return filepath.Join(f.Dir, fileName(id)) }

// maxReadable is the longest name that is written out; file systems take 255 bytes.
const maxReadable = 128

// fileName gives every id a name of its own, on file systems that fold case or normalise Unicode
// too: bytes other than a-z, 0-9, '-', '_' and '.' become '%' and two lower-case hex digits. The
// prefix keeps clear of names that Windows reserves ("con", "nul"). A name that gets too long is
// cut and completed with the SHA-256 of the id; it contains a '~', which no other does.
func fileName(id ID) string {
	const hex = "0123456789abcdef"
	name := make([]byte, 0, 3*len(id))
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
			name = append(name, c)
		default:
			name = append(name, '%', hex[c>>4], hex[c&15])
		}
	}
	if len(name) > maxReadable {
		name = fmt.Appendf(name[:maxReadable/2], "~%x", sha256.Sum256([]byte(id)))
	}
	return "id-" + string(name) + ".checkpoint"
}
