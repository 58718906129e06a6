package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
)

// Files keeps checkpoints in files, one for each id, outside the store: for a follower that opened
// it read-only. Files are made for their owner alone, 0600.
//
// Dir is open as long as Files is used; its caller closes it. It stays the same directory whatever
// its path leads to later, and must belong to one follower: two processes that save the same id
// overwrite each other.
//
// A file and the log are not one write. A follower that dies between handling and saving handles
// the events since the last Save again.
type Files struct {
	Dir *os.Root
}

// fileMagic begins a file: its version, the id of the event at the highest position that the record
// says anything about (zero at 0), from the second version on what is hidden up to there, and the
// record, in an envelope of its own. A file of an older version is the record alone.
const (
	fileMagic   = "PSCF"
	fileEvent   = 1
	fileVersion = 2
)

// Load reads a checkpoint and checks that it fits, the event that it ends with included (see
// [store.Anchor]), since a file outlives a log that was cut or restored: [store.ErrForeignHistory].
// Where the log has not come that far yet, a store that follows a writer waits for it until ctx
// ends. b.Start, b.Formerly and b.Epoch are ignored: an id without a file is [ErrNotFound], and the
// caller begins where it likes. Other errors are those of [Acquire] except [ErrAhead].
//
// A file of an older version names no event, and is accepted at position 0 alone, since nothing
// proves that the log is the one it speaks of. Where that is known, remove the file and save a
// record at the same position.
func (f Files) Load(ctx context.Context, st *store.Store, id ID, b Binding) (Record, error) {
	if err := id.Validate(); err != nil {
		return Record{}, err
	}
	if err := b.validate(); err != nil {
		return Record{}, fmt.Errorf("checkpoint %q: %w", id, err)
	}
	raw, err := f.Dir.ReadFile(fileName(id))
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, fmt.Errorf("checkpoint %q: %w", id, ErrNotFound)
	}
	if err != nil {
		return Record{}, fmt.Errorf("checkpoint %q: %w", id, err)
	}
	r, anchor, err := decodeFile(raw)
	if err != nil {
		return Record{}, fmt.Errorf("checkpoint %q: file %s: %w", id, f.path(id), err)
	}
	if err := checkHistory(id, r, st.Origin()); err != nil {
		return Record{}, err
	}
	if err := st.CheckAnchor(ctx, anchor); err != nil {
		return Record{}, fmt.Errorf("checkpoint %q: file %s: %w", id, f.path(id), err)
	}
	if err := b.check(id, r); err != nil {
		return Record{}, err
	}
	r.Origin = st.Origin()
	return r, nil
}

// Save replaces the checkpoint by one of this store, whatever incarnation r.Origin names. It reads
// the event that the file ends with. After a crash the file holds the former record or this one;
// once Save has returned nil, this one, over a power cut too.
//
// Errors: [store.ErrForeignHistory] for a record of another store, [ErrAhead] for a position after
// the head.
func (f Files) Save(ctx context.Context, st *store.Store, id ID, r Record) error {
	if err := id.Validate(); err != nil {
		return err
	}
	if err := checkHistory(id, r, st.Origin()); err != nil {
		return err
	}
	r.Origin = st.Origin()
	anchor, err := st.AnchorAt(ctx, r.highest())
	if errors.Is(err, store.ErrNotFound) {
		return &PositionError{Err: ErrAhead, ID: id, Position: r.highest(), Bound: st.Head()}
	}
	if err != nil {
		return fmt.Errorf("checkpoint %q: save: %w", id, err)
	}
	if err := f.replace(fileName(id), encodeFile(r, anchor)); err != nil {
		return fmt.Errorf("checkpoint %q: save: %w", id, err)
	}
	return nil
}

func encodeFile(r Record, anchor store.Anchor) []byte {
	b := append(append([]byte(fileMagic), fileVersion), anchor.Event[:]...)
	return seal(append(appendText(b, anchor.Hidden), r.bytes()...))
}

// decodeFile returns the record and its anchor, which names no event at position 0 and for a file
// of an older version.
func decodeFile(b []byte) (r Record, anchor store.Anchor, err error) {
	if bytes.HasPrefix(b, []byte(magic)) {
		r, err = decode(b)
		return r, anchorIn(&r, anchor), err
	}
	version, body, err := open(b, fileMagic, fileVersion)
	if err != nil {
		return r, anchor, err
	}
	in := reader{rest: body}
	copy(anchor.Event[:], in.take(len(anchor.Event)))
	if version > fileEvent {
		anchor.Hidden = in.text()
	}
	r, err = decode(in.rest)
	named := anchor.Event != uuid.Nil
	if err == nil && (named != (r.highest() > 0) || !named && anchor.Hidden != "" || len(anchor.Hidden) > store.MaxHiddenBytes) {
		err = fmt.Errorf("%w: event of position %d", ErrCorrupt, r.highest())
	}
	return r, anchorIn(&r, anchor), err
}

// anchorIn completes the anchor of a record.
func anchorIn(r *Record, anchor store.Anchor) store.Anchor {
	anchor.Store, anchor.Position = r.Origin.Store, r.highest()
	return anchor
}

// replace writes a new file and gives it the name of the old one. It begins with a fixed name, so
// that crashes leave one stray file at most, which the next one overwrites.
func (f Files) replace(name string, content []byte) error {
	temporary := name + ".tmp"
	err := f.writeSynced(temporary, content)
	if err == nil {
		err = f.Dir.Rename(temporary, name)
	}
	if err == nil {
		err = f.sync()
	}
	return err
}

func (f Files) writeSynced(name string, b []byte) error {
	file, err := f.Dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// sync makes a rename durable. Windows cannot sync a directory, and does not need to: NTFS
// journals renames.
func (f Files) sync() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := f.Dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// path is for messages.
func (f Files) path(id ID) string { return filepath.Join(f.Dir.Name(), fileName(id)) }

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
