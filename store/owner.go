package store

import (
	"encoding/json"
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
// The content is a JSON object with the members pid, program, started. Readers ignore other
// members.
const (
	ownerName     = "OWNER"
	maxOwnerBytes = 4 << 10 // read of it, whatever its size
)

type ownerFile struct {
	PID     int       `json:"pid"`
	Program string    `json:"program,omitempty"`
	Started time.Time `json:"started"`
}

// writeOwner names this process as the owner of the directory. The lock must be held.
func (s *Store) writeOwner() {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	content, err := json.Marshal(ownerFile{PID: os.Getpid(), Program: program, Started: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return
	}
	s.removeOwner() // a stale one would be worse than none, should the disk be full
	file, err := s.dir.Create(ownerName)
	if err != nil {
		return
	}
	_, err = file.WriteAt(append(content, '\n'), 0)
	if closed := file.Close(); err != nil || closed != nil {
		s.removeOwner()
	}
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
	var f ownerFile
	if json.Unmarshal(b[:n], &f) != nil || f.PID <= 0 {
		return &LockedError{}
	}
	return &LockedError{PID: f.PID, Program: f.Program, Started: f.Started}
}
