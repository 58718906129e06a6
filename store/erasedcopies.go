package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// ErasedFile is a segment that had something of what was erased, as it was when that was finished.
// Each time a segment is rewritten, or becomes one with others, its generation grows.
type ErasedFile struct {
	Segment    uint32 `json:"segment"`        // number of the file
	Last       uint32 `json:"last,omitempty"` // of the last segment that it stands for, where it is another
	Generation uint32 `json:"generation"`
}

// ErasedFiles tell which copies of a log have what an erasure removed from the log itself. They
// are in its report, and in its last audit event. Where there are none it is not known, as of an
// erasure that is not finished, or a dry run.
type ErasedFiles []ErasedFile

// InBackup reports whether the backup in a directory still may have it: until the next [Backup]
// into it. A backup in which segments were merged in another way meanwhile may be one that does
// not. Errors: an [InvalidError] where there are no files, as what is not known is no "no";
// [ErrNotBackup], [ErrCorrupt], those of the file system.
func (f ErasedFiles) InBackup(dir string) (bool, error) {
	held, err := f.inBackup(vfs.OS(), dir)
	if err != nil {
		return false, fmt.Errorf("look at backup %s: %w", dir, err)
	}
	return held, nil
}

func (f ErasedFiles) inBackup(fsys vfs.FS, path string) (bool, error) {
	dir, err := fsys.OpenDir(path, ownerOnly)
	if err != nil {
		return false, err
	}
	defer func() { _ = dir.Close() }()
	return f.in(context.Background(), directorySource{dir})
}

// InDepot is InBackup for what [Ship] has put into a depot.
func (f ErasedFiles) InDepot(ctx context.Context, depot Depot) (bool, error) {
	held, err := f.in(ctx, depotSource{depot})
	if err != nil {
		return false, fmt.Errorf("look at depot: %w", err)
	}
	return held, nil
}

func (f ErasedFiles) in(ctx context.Context, copied source) (bool, error) {
	if len(f) == 0 {
		return false, &InvalidError{Field: "erased files", Rule: "must be those of an erasure that is finished"}
	}
	m, err := copied.manifest(ctx)
	if err != nil {
		return false, err
	}
	for _, g := range m.Segments {
		for _, is := range f {
			if g.Number <= max(is.Segment, is.Last) && is.Segment <= max(g.Number, g.Last) && g.Generation < is.Generation {
				return true, nil
			}
		}
	}
	return false, nil
}

// formerFiles returns the files of erasures that were finished before, as their audit events say;
// none where one of these is not in the log any more.
func (s *Store) formerFiles(ctx context.Context, erasures map[uuid.UUID]struct{}) (files ErasedFiles, err error) {
	for id := range erasures {
		known := false
		finished := Region{Entity: erasureEntity + id.String(), Scope: ReservedScope, Kinds: []string{AuditUnlinked}}
		for e, err := range s.Read(ctx, finished, Beginning()) {
			var audit ErasureAudit
			if err == nil {
				err = e.Decode(&audit)
			}
			if err != nil {
				return nil, err
			}
			files, known = append(files, audit.Files...), len(audit.Files) > 0
		}
		if !known {
			return nil, nil
		}
	}
	return files, nil
}

// filesOf returns the files that have the events of an erasure now, those that were rewritten for
// it, and of one that an earlier writer has begun all that may have been.
func (s *Store) filesOf(e *erasure, rewritten map[uint32]bool) (files ErasedFiles) {
	for _, g := range *s.segments.Load() {
		t := g.trailer.Load()
		if t == nil || g.generation == 0 {
			continue
		}
		if e.resumed || rewritten[g.number] || len(e.events.clip(g.first, Position(t.NextPosition)-1)) > 0 {
			f := ErasedFile{Segment: g.number, Generation: g.generation}
			if g.last != g.number {
				f.Last = g.last
			}
			files = append(files, f)
		}
	}
	return files
}
