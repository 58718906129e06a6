package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// copyState is what a directory is as a copy of a log. It is decided by the file BACKUP alone,
// which is replaced whole: written under another name, synced, renamed.
//
//	none --> filling --> switching --> whole     Backup, the first time
//	whole --> switching --> whole                Backup, again
//	none --> filling --> none                    Restore
//	whole --> none                               Open for writing: it is a store of its own then
//
// A crash leaves the state that was durable last. What is filling is worth nothing: the next call
// begins from the start. What is switching is known by name: the next Backup finishes it, and
// Restore reads it as it is. Open refuses both, and so never shows half of a copy.
type copyState string

const (
	copyNone      copyState = ""          // no file: the directory is empty, or has something else
	copyFilling   copyState = "filling"   // files are being copied into what was empty
	copySwitching copyState = "switching" // copies take the places of the files of the backup before
	copyWhole     copyState = "whole"     // the files are those of a backup
)

const (
	manifestName     = "BACKUP"
	manifestFormat   = 1
	maxManifestBytes = 64 << 20 // some 500 000 segments

	// copiedSuffix is that of files that are no part of the log yet.
	copiedSuffix = ".copy"
)

// manifest is the content of the file: a checksum of the rest, CRC-32C in eight hexadecimal digits,
// a space, and a JSON object.
type manifest struct {
	Format      int             `json:"format"`
	State       copyState       `json:"state"`
	Store       uuid.UUID       `json:"store"`
	Incarnation uint32          `json:"incarnation"`
	Position    Position        `json:"position"`         // of the last event
	Event       uuid.UUID       `json:"event"`            // its id
	Hidden      string          `json:"hidden,omitempty"` // as in its anchor, if all fences before it had ended
	Sequence    uint64          `json:"sequence"`         // of the last commit
	Segments    []copiedSegment `json:"segments"`
}

// copiedSegment is a file of a backup.
type copiedSegment struct {
	Number     uint32 `json:"number"`
	Last       uint32 `json:"last"`       // number of the last segment that it stands for
	Generation uint32 `json:"generation"` // how often it was rewritten
	Bytes      int64  `json:"bytes"`
	Sealed     bool   `json:"sealed"`

	// In a depot: the objects that are the file, one after the other, and the sum of its face.
	Objects []string `json:"objects,omitempty"`
	Sum     string   `json:"sum,omitempty"`
}

func (m *manifest) anchor() Anchor {
	return Anchor{Store: m.Store, Position: m.Position, Event: m.Event, Hidden: m.Hidden}
}

func (m *manifest) encode() []byte {
	m.Format = manifestFormat
	body, err := json.Marshal(m)
	if err != nil {
		panic(err) // numbers and texts
	}
	return append(fmt.Appendf(nil, "%08x ", wal.Checksum(body)), body...)
}

func decodeManifest(b []byte) (m manifest, err error) {
	sum, body, _ := strings.Cut(string(b), " ")
	if sum != fmt.Sprintf("%08x", wal.Checksum([]byte(body))) {
		return m, fmt.Errorf("%w: file %s does not match its checksum", ErrCorrupt, manifestName)
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return manifest{}, fmt.Errorf("%w: file %s: %w", ErrCorrupt, manifestName, err)
	}
	known := m.State == copyFilling || m.State == copySwitching || m.State == copyWhole
	if m.Format > manifestFormat || !known {
		return manifest{}, fmt.Errorf("file %s: %w", manifestName, ErrNewerFormat)
	}
	return m, nil
}

// readManifest returns what the file of a directory says, copyNone where there is none.
func readManifest(dir vfs.Dir) (m manifest, err error) {
	file, err := dir.Open(manifestName, true)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	defer func() { _ = file.Close() }()
	size, err := file.Size()
	if err != nil {
		return m, err
	}
	b := make([]byte, min(size, maxManifestBytes))
	if n, err := file.ReadAt(b, 0); n < len(b) {
		return m, err
	}
	return decodeManifest(b)
}

// write replaces the file. It is durable when write returns; after an error the former one may be
// there, or this one.
func (m *manifest) write(dir vfs.Dir) error {
	const name = manifestName + rewrittenSuffix
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := dir.Create(name)
	if err != nil {
		return err
	}
	if _, err = file.WriteAt(m.encode(), 0); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		_ = dir.Remove(name)
		return err
	}
	if err := dir.Rename(name, manifestName); err != nil {
		return err
	}
	return dir.Sync()
}

// copied reports whether the directory is a backup, and refuses one that half a copy is in.
func (s *Store) copied() (bool, error) {
	m, err := readManifest(s.dir)
	if err == nil && !s.options.restores && (m.State == copyFilling || m.State == copySwitching) {
		err = fmt.Errorf("%w: %q", ErrUnfinishedCopy, s.path)
	}
	return m.State == copyWhole, err
}

// leaveBackup makes of a backup that is opened for writing a store of its own, durably and before
// anything is written: what it gets is in no log that was copied, and the next Backup into it would
// take that away.
func (s *Store) leaveBackup() error { return removeManifest(s.dir) }

// removeManifest makes of a copy a store, durably when it returns. After an error the file may be
// seen as gone and be there again after a power cut. Then it has another name as long as that may
// be, for the next opening to see: makeOwn.
func removeManifest(dir vfs.Dir) error {
	const left = manifestName + rewrittenSuffix
	if err := dir.Rename(manifestName, left); err != nil {
		return err
	}
	if err := dir.Sync(); err != nil {
		return err
	}
	return dir.Remove(left)
}

// makeOwn makes durable that a store is no copy any more, where that may not be so: before anything
// is written.
func (s *Store) makeOwn(names []string) error {
	const left = manifestName + rewrittenSuffix
	if !slices.Contains(names, left) {
		return nil
	}
	if err := s.dir.Sync(); err != nil {
		return err
	}
	return s.dir.Remove(left)
}
