package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// MaxFormerNames is how many names a checkpoint remembers that it had before: each of its records
// has them.
const MaxFormerNames = 16

// Rename gives the checkpoint another name: the record, the pass, the pause and what is parked move
// in one commit. An owner under the old name is fenced. The worker that has the new name resumes
// where that one ended, and everything else is as if it had always had that name: its audit events
// include those of the former names, and effect keys begin with the first one, so that the outside
// world sees no repetition.
//
// A program does the same when it says Formerly, see [Binding]. A worker that runs cannot be
// renamed: the system knows it by its name ([ErrRunning]).
//
// Errors: [ErrExists] where something has the new name, or had it before and still exists; a
// [store.InvalidError] for more than [MaxFormerNames].
type Rename struct{ To ID }

// String describes the change.
func (c Rename) String() string { return fmt.Sprintf("rename to %q", string(c.To)) }

func (c Rename) validate() error { return c.To.Validate() }

func (c Rename) apply(_ context.Context, p *plan) error {
	if err := checkHistory(p.id, p.record, p.st.Origin()); err != nil {
		return err
	}
	former := p.id
	if err := p.rename(c.To); err != nil {
		return err
	}
	p.out.Undo = Rename{To: former}
	return nil
}

// rename moves everything to another name. What is parked and the pause move as the bytes they are.
func (p *plan) rename(to ID) error {
	from := p.id
	left, err := leftAs(p.st, to) // before it is checked
	if err != nil {
		return err
	}
	if err := checkFree(p.st, to, from); err != nil {
		return err
	}
	names := p.record.Formerly
	if !slices.Contains(names, from) {
		names = append(slices.Clone(names), from)
	}
	if len(names) > MaxFormerNames {
		return fmt.Errorf("checkpoint %q: rename: %w", from,
			&store.InvalidError{Field: "former names", Limit: MaxFormerNames, Value: int64(len(names))})
	}
	p.record.Formerly = names
	if err := p.carry(from, to); err != nil {
		return err
	}
	for _, name := range names {
		if name != to {
			p.sides = append(p.sides, forward(name, to))
		}
	}
	p.sides = append(p.sides, left)
	p.id = to
	p.audits = append(p.audits, audit{Audit{Worker: to, From: from, Position: p.record.Floor()}, AuditRenamed})
	return nil
}

// carry moves what lies beside a record.
func (p *plan) carry(from, to ID) error {
	for side, err := range p.st.Sides(from.parkedPrefix()) {
		if err != nil {
			return fmt.Errorf("checkpoint %q: %q: %w", from, side.Key, unread(err))
		}
		key := to.parkedPrefix() + strings.TrimPrefix(side.Key, from.parkedPrefix())
		gone := store.SideWrite{Key: side.Key, Delete: true, Expect: store.Exactly(side.Revision)} // an erasure may change it
		p.sides = append(p.sides, gone, store.SideWrite{Key: key, Value: side.Value})
	}
	pause, ok, err := read(p.st, from.pauseKey())
	if err != nil {
		return fmt.Errorf("checkpoint %q: pause: %w", from, err)
	}
	if ok {
		p.sides = append(p.sides, Resume(from), store.SideWrite{Key: to.pauseKey(), Value: pause})
	}
	_, ok, err = read(p.st, from.passKey())
	if err != nil {
		return fmt.Errorf("checkpoint %q: pass: %w", from, err)
	}
	if ok {
		p.sides = append(p.sides, Pass{}.write(from))
	}
	return nil
}

// checkFree makes sure that nothing has the name, but a checkpoint that had it before and takes it
// back.
func checkFree(st *store.Store, name, by ID) error {
	if now, ok, err := renamedTo(st, name); err != nil {
		return err
	} else if ok && now != by {
		return refuse(name, ErrExists, "is a former name of %q", now)
	}
	for _, key := range []string{name.key(), name.passKey(), name.pauseKey()} {
		if _, found, err := read(st, key); found || err != nil {
			return taken(name, err)
		}
	}
	for _, err := range st.Sides(name.parkedPrefix()) {
		return taken(name, err)
	}
	return nil
}

// taken is the error for a name that has something, whether or not that makes sense.
func taken(name ID, bad error) error {
	if bad = unread(bad); bad != nil && !senseless(bad) {
		return fmt.Errorf("checkpoint %q: %w", name, bad)
	}
	return refuse(name, ErrExists, "exists already")
}

// A name that a checkpoint has left points to the one it has now, so that no other checkpoint takes
// it: its effect keys and audit events would be mixed up with those of the first.
const (
	renamedPrefix  = "renamed/"
	renamedMagic   = "PSRN"
	renamedVersion = 1
)

func (id ID) renamedKey() string { return renamedPrefix + string(id) }

func forward(former, now ID) store.SideWrite {
	b := append([]byte(renamedMagic), renamedVersion)
	return store.SideWrite{Key: former.renamedKey(), Value: seal(appendText(b, string(now)))}
}

// leftAs returns the side write that lets a name point nowhere, if no checkpoint leaves it from now
// until the commit.
func leftAs(st *store.Store, name ID) (store.SideWrite, error) {
	side, _, err := st.Side(name.renamedKey())
	if err != nil {
		return store.SideWrite{}, unreadName(name, unread(err))
	}
	return store.SideWrite{Key: name.renamedKey(), Delete: true, Expect: store.Exactly(side.Revision)}, nil
}

// renamedTo returns the present name of the checkpoint that has left a name.
func renamedTo(st *store.Store, former ID) (ID, bool, error) {
	b, ok, err := read(st, former.renamedKey())
	if !ok && err == nil {
		return "", false, nil
	}
	var now ID
	if err == nil {
		now, err = decodeRenamed(b)
	}
	if err != nil {
		return "", false, unreadName(former, err)
	}
	return now, true, nil
}

func unreadName(former ID, err error) error {
	return fmt.Errorf("checkpoint %q: new name: %w", former, err)
}

// CheckName returns [ErrRenamed] for a name that a checkpoint has left: effect keys that begin
// with it belong to that. [Acquire] does so too; this is for readers without a checkpoint.
func CheckName(st *store.Store, name ID) error {
	now, left, err := renamedTo(st, name)
	if left {
		return refuse(name, ErrRenamed, "was renamed to %q, and the former name stays with it", now)
	}
	return err
}

func decodeRenamed(b []byte) (ID, error) {
	_, body, err := open(b, renamedMagic, renamedVersion)
	if err != nil {
		return "", err
	}
	in := reader{rest: body}
	now := ID(in.text())
	return now, in.end()
}

// forwardsTo returns the side writes that let go of all names that a checkpoint has left. It looks
// at every such name, since the record that lists them may be unreadable.
func forwardsTo(st *store.Store, id ID) (sides []store.SideWrite, err error) {
	for side, err := range st.Sides(renamedPrefix) {
		if err = unread(err); err != nil && !senseless(err) {
			return nil, fmt.Errorf("checkpoint %q: former names: %w", id, err)
		}
		if now, bad := decodeRenamed(side.Value); err == nil && bad == nil && now == id {
			sides = append(sides, store.SideWrite{Key: side.Key, Delete: true})
		}
	}
	return sides, nil
}

// namesOf returns the name with the names that its checkpoint had before.
func namesOf(st *store.Store, id ID) ([]ID, error) {
	info, err := look(st, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	names := []ID{id}
	for _, name := range info.Record.Formerly {
		if name != id {
			names = append(names, name)
		}
	}
	return names, nil
}
