package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// The file OWNER lies beside LOCK and says who holds it. It exists from just after the lock is
// taken until just before it is released, so it is stale only after the death of its process; and
// as it is read only by those who find the lock taken, a stale one misleads only between the taking
// of the lock and the writing of the file. It is never synced, and an error with it is ignored:
// neither a full disk nor a crash with half of it written may keep a store from opening.
//
// The content is a JSON object with the members pid, program, started, admin. Readers ignore other
// members.
const (
	ownerName     = "OWNER"
	ownerNew      = "OWNER.new" // takes the place of the other
	maxOwnerBytes = 4 << 10     // read of it, whatever its size
	maxAdminBytes = 1 << 10
)

// Owner is the process that has a directory open for writing: what it says of itself, for people
// who look for it. No law depends on it, and what the process did not say is zero.
type Owner struct {
	PID     int       `json:"pid"`
	Program string    `json:"program,omitempty"` // path of the executable
	Started time.Time `json:"started"`           // when it opened the directory, to the second
	Admin   string    `json:"admin,omitempty"`   // where it can be asked for more, see [Announce]
}

// OwnerOf returns the process that has the store in a directory open for writing, nil if there is
// none. The answer may be outdated on return: it is for people, and for programs that open the
// directory afterwards, which tells them for certain. It changes nothing and takes no lock.
//
// Errors: [ErrNotStore] where there is no store, those of the file system.
func OwnerOf(dir string) (*Owner, error) {
	if dir == "" {
		return nil, &InvalidError{Field: "directory", Rule: "must not be empty"}
	}
	d, err := vfs.OS().OpenDir(dir, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q", ErrNotStore, dir)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	s := &Store{dir: d, path: dir}
	if numbers, err := s.segmentNumbers(); err != nil {
		return nil, err
	} else if len(numbers) == 0 {
		return nil, s.notStore()
	}
	held, err := d.Locked(lockName)
	if err != nil || !held {
		return nil, err
	}
	return &readOwner(d).Owner, nil
}

// Announce says in the file OWNER of the directory where the process that has it open can be asked
// for more, in the words of those who ask; "" takes that back. Close does so, too. It is on the
// disk when Announce returns, but not synced: after a crash there is no such process.
//
// Errors: [InvalidError] for more than 1,024 bytes, [ErrReadOnly], [ErrClosed], those of the file
// system; then what was announced before still is.
func Announce(st *Store, admin string) error {
	switch {
	case len(admin) > maxAdminBytes:
		return &InvalidError{Field: "admin bytes", Limit: maxAdminBytes, Value: int64(len(admin))}
	case st.options.ReadOnly:
		return ErrReadOnly
	}
	st.closing.Lock()
	defer st.closing.Unlock()
	if st.closed.Load() {
		return ErrClosed
	}
	before := st.owner.Admin
	st.owner.Admin = admin
	_ = st.dir.Remove(ownerNew) // of an announcement that a crash cut short
	err := st.createOwner(ownerNew)
	if err == nil {
		err = st.dir.Rename(ownerNew, ownerName)
	}
	if err != nil {
		st.owner.Admin = before
		_ = st.dir.Remove(ownerNew)
	}
	return err
}

// writeOwner names this process as the owner of the directory. The lock must be held.
func (s *Store) writeOwner() {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	s.owner = Owner{PID: os.Getpid(), Program: program, Started: time.Now().UTC().Truncate(time.Second)}
	s.removeOwner() // a stale one would be worse than none, should the disk be full
	if err := s.createOwner(ownerName); err != nil {
		s.removeOwner()
	}
}

// createOwner writes the file under a name that is free.
func (s *Store) createOwner(name string) error {
	content, err := json.Marshal(s.owner)
	if err != nil {
		return err
	}
	file, err := s.dir.Create(name)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(append(content, '\n'), 0)
	return errors.Join(err, file.Close())
}

// removeOwner takes the name away again. The lock must be held.
func (s *Store) removeOwner() { _ = s.dir.Remove(ownerName) }

// readOwner returns the error of a directory that is locked, with what the holder of the lock says
// of itself; a zero one where it says nothing that can be read.
func readOwner(dir vfs.Dir) *LockedError {
	file, err := dir.Open(ownerName, true)
	if err != nil {
		return &LockedError{}
	}
	defer func() { _ = file.Close() }()
	b := make([]byte, maxOwnerBytes)
	n, _ := file.ReadAt(b, 0) // what there is of it; a file that is cut short is not an object
	var o Owner
	if json.Unmarshal(b[:n], &o) != nil || o.PID <= 0 {
		return &LockedError{}
	}
	return &LockedError{o}
}
