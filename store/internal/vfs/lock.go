package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// The lock of a directory has two parts, taken in this order:
//
//	claim      excludes other callers of Lock. Callers of Locked never touch it, so a refusal means
//	           another holder. On unix it is on the descriptor of the directory: removing the file
//	           ends no lock, and a new file of that name is no other lock.
//	presence   is what Locked looks for, on the file. The holder of the claim takes it, and competes
//	           with no other caller of Lock for it.
//
// On linux Locked asks the kernel about the presence without taking anything, so any number of
// callers leave it alone. Elsewhere there is no such question, and Locked takes a shared lock for
// some microseconds; the holder of the claim waits those out, and is never told that another one
// has the directory.

const (
	// lockPatience is how long Lock keeps trying a claim, and lockPoll how often it looks: what holds
	// it for a moment only is a caller of Locked that found no file.
	lockPatience = 250 * time.Millisecond
	lockPoll     = 5 * time.Millisecond
)

// osLock is what the holder of a lock keeps open.
type osLock struct {
	once      sync.Once
	file, dir *os.File
	err       error
}

// Close ends the lock with its descriptors: first what Locked looks for, then what excludes others.
func (l *osLock) Close() error {
	l.once.Do(func() {
		for _, f := range []*os.File{l.file, l.dir} {
			if f != nil {
				l.err = errors.Join(l.err, f.Close())
			}
		}
	})
	return l.err
}

func (d *osDir) Lock(name string) (io.Closer, error) {
	l := &osLock{}
	if err := d.takeLock(name, l); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// takeLock takes both parts. Where the claim is on the directory the file is made by its holder
// only: one without a lock would tell callers of Locked that there is no holder. It is never
// removed: another caller may have it open, and would hold the lock of a file that no one finds.
func (d *osDir) takeLock(name string, l *osLock) (err error) {
	if l.dir, err = d.self(); err != nil {
		return err
	}
	// An existing lock file in a read-only directory would open well enough, so the
	// directory itself is checked.
	if err = writable(l.dir); err != nil {
		return d.named("lock", name, err)
	}
	if claimsDirectory {
		if err = d.claim(name, l); err != nil {
			return err
		}
	}
	if l.file, err = d.openFile("lock", name, os.O_RDWR|os.O_CREATE); err != nil {
		return err
	}
	if !claimsDirectory {
		if err = d.claim(name, l); err != nil {
			return err
		}
	}
	return d.take(name, presencePatience, func() (bool, error) { return tryPresence(l.file) })
}

func (d *osDir) claim(name string, l *osLock) error {
	return d.take(name, lockPatience, func() (bool, error) { return tryClaim(l.dir, l.file) })
}

// take takes one part.
func (d *osDir) take(name string, patience time.Duration, try func() (bool, error)) error {
	ok, err := patiently(patience, try)
	if !ok && err == nil {
		err = ErrLocked
	}
	return d.named("lock", name, err)
}

// patiently tries until it works. The system offers no wait with a time limit, so this polls; it
// happens only when a store is opened.
func patiently(patience time.Duration, try func() (bool, error)) (bool, error) {
	for deadline := time.Now().Add(patience); ; {
		ok, err := try()
		if ok || err != nil || !time.Now().Before(deadline) {
			return ok, err
		}
		time.Sleep(lockPoll) //nolint:forbidigo // there is no state to wait for, as said above
	}
}

func (d *osDir) Locked(name string) (bool, error) {
	f, err := d.openFile("look at lock", name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return d.claimed()
	}
	if err != nil {
		return false, err
	}
	held, err := presence(f)
	return held, d.named("look at lock", name, errors.Join(err, f.Close()))
}

// claimed looks for the holder of a lock whose file was removed. It takes the claim for a moment
// where there is none, which Lock waits out.
func (d *osDir) claimed() (bool, error) {
	dir, err := d.self()
	if err != nil {
		return false, err
	}
	defer func() { _ = dir.Close() }()
	return claimHeld(dir)
}
