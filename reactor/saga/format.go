package saga

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/penstock-io/penstock/cursor/fields"
	"github.com/penstock-io/penstock/store"
)

// recordFormat is the first byte of a record, before its fields. It is for changes that the fields
// cannot have: one that is added has a number of its own, and an older program that meets it
// refuses the record.
const recordFormat = 1

// encode returns the record as it is kept.
func (r *record) encode() []byte {
	const usual = 256
	return fields.Write(append(make([]byte, 0, usual+len(r.State)), recordFormat), r.fields)
}

// decodeRecord reads what is kept under a key, which it must not change; where nothing is, the
// record is an empty one.
func decodeRecord(kept []byte) (*record, error) {
	r := new(record)
	switch {
	case kept == nil:
		return r, nil
	case len(kept) == 0 || kept[0] != recordFormat:
		return nil, fmt.Errorf("%w: it begins with %.1q, not with format %d", ErrRecord, kept, recordFormat)
	}
	if err := fields.Read(kept[1:], r.fields); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return r, nil
}

// keptText is what the coordinator keeps under a key, for people.
func keptText(key string, value []byte) string {
	if strings.HasPrefix(key, pagePrefix) {
		inputs, err := decodePage(value)
		return fmt.Sprint(inputs, err)
	}
	if !strings.HasPrefix(key, recordKey("")) && !strings.HasPrefix(key, strays) {
		return string(value)
	}
	r, err := decodeRecord(value)
	if err != nil {
		return err.Error()
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// fields are those of a record. Their numbers are in the log: none is given again.
func (r *record) fields(c *fields.Coder) {
	fields.Number(c, 1, &r.Life)
	if r.Life > Failed {
		c.Fail("there is no life %d", r.Life)
	}
	fields.Number(c, 2, &r.Run)
	fields.Number(c, 3, &r.Version)
	fields.Text(c, 4, &r.Phase)
	c.Time(5, &r.Began)
	c.Time(6, &r.Entered)
	c.Time(7, &r.Ended)
	fields.Number(c, 8, &r.Inputs)
	fields.Text(c, 9, &r.State)
	fields.Table(c, 10, &r.Steps, stepFields)
	implied := !c.Reads() && undoImplied(r)
	if !implied {
		fields.List(c, 11, &r.Undo, r.undoFields)
	}
	fields.Number(c, 12, &r.Order)
	fields.Table(c, 13, &r.Timers, timerFields)
	fields.Number(c, 14, &r.Setting)
	fields.List(c, 15, &r.Aliases, func(c *fields.Coder, a *alias) {
		fields.Text(c, 1, &a.Name)
		fields.Text(c, 2, &a.Value)
		fields.Number(c, 3, &a.From)
	})
	c.Flag(16, &r.Pivoted)
	c.Flag(17, &r.Closing)
	fields.List(c, 18, &r.Held, func(c *fields.Coder, h *held) {
		fields.Number(c, 1, &h.At)
		c.Flag(2, &h.Tried)
	})
	c.Time(19, &r.Again)
	fields.Number(c, 20, &r.Retried)
	fields.Number(c, 21, &r.Before)
	fields.Part(c, 22, &r.Why, failureFields)
	fields.Part(c, 23, &r.Stuck, stuckFields)
	fields.Strings(c, 24, &r.Skipped)
	fields.Number(c, 25, &r.Counted)
	fields.Text(c, 26, &r.Lacks)
	fields.Number(c, 27, &r.From)
	if c.Flag(28, &implied); implied && c.Reads() {
		implyUndo(r)
	}
	fields.Number(c, 30, &r.Pages.First)
	fields.Number(c, 31, &r.Pages.Count)
	fields.Number(c, 32, &r.Pages.Inputs)
	fields.Number(c, 33, &r.Passing.Before)
	fields.Text(c, 34, &r.Passing.Why)
}

// encodePage is a page: the positions of inputs, each as what it is more than the one before.
func encodePage(inputs []store.Position) (b []byte) {
	last := store.Position(0)
	for _, at := range inputs {
		b = binary.AppendUvarint(b, uint64(at-last))
		last = at
	}
	return b
}

// decodePage reads one, which is not empty.
func decodePage(b []byte) (inputs []store.Position, err error) {
	last := store.Position(0)
	for len(b) > 0 {
		more, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, fmt.Errorf("%w: a page of inputs", ErrRecord)
		}
		last += store.Position(more)
		inputs, b = append(inputs, last), b[n:]
	}
	if len(inputs) == 0 {
		return nil, fmt.Errorf("%w: a page of inputs is missing", ErrRecord)
	}
	return inputs, nil
}

// statuses by their numbers in the log.
//
//nolint:gochecknoglobals // a table
var statuses = []status{"", requested, done, refused, unknown, withdrawn, undone}

// stepFields are those of a step, behind its name.
func stepFields(c *fields.Coder, s *stepRecord) {
	fields.Name(c, 2, &s.Status, statuses)
	fields.Number(c, 3, &s.Visit)
	fields.Number(c, 4, &s.Try)
	fields.Number(c, 5, &s.Order)
	fields.Text(c, 6, &s.Result)
	fields.Text(c, 7, &s.Error)
}

// undoFields are those of something to be undone. What is said of its step already is left out:
// mostly it is the last request of that.
func (r *record) undoFields(c *fields.Coder, u *undoRecord) {
	fields.Text(c, 1, &u.Step)
	s := r.Steps[u.Step]
	last := !c.Reads() && s != nil && u.isOf(s)
	switch c.Flag(2, &last); {
	case !last:
		fields.Number(c, 3, &u.Visit)
		fields.Number(c, 4, &u.Order)
		c.Flag(5, &u.Unknown)
		fields.Text(c, 6, &u.Result)
	case s == nil:
		c.Fail("there is no step %q to be undone", u.Step)
	case c.Reads():
		*u = s.toUndo(u.Step)
	}
	fields.Number(c, 7, &u.Try)
	fields.Number(c, 8, &u.Refused)
}

func timerFields(c *fields.Coder, t *timerRecord) {
	c.Time(2, &t.Due)
	fields.Number(c, 3, &t.Generation)
	fields.Text(c, 4, &t.Ticket)
}

func failureFields(c *fields.Coder, f *failure) {
	fields.Text(c, 1, &f.Step)
	fields.Text(c, 2, &f.Error)
	fields.Text(c, 3, &f.Cause)
	c.Flag(4, &f.Fails)
	c.Flag(5, &f.Undid)
}

func stuckFields(c *fields.Coder, s *stuckRecord) {
	fields.Text(c, 1, &s.Step)
	c.Flag(2, &s.Undo)
	fields.Text(c, 3, &s.Error)
	c.Time(4, &s.Since)
}

// undoImplied reports whether the steps say all that is undone: each that is done or may be, as it
// was requested last, and no other.
func undoImplied(r *record) bool {
	n := 0
	for _, s := range r.Steps {
		if s.happened() {
			n++
		}
	}
	if n == 0 || n != len(r.Undo) {
		return false
	}
	for i := range r.Undo {
		u := &r.Undo[i]
		s := r.Steps[u.Step]
		if s == nil || !s.happened() || !u.isOf(s) || u.Try > 0 || u.Refused > 0 || i > 0 && u.Order <= r.Undo[i-1].Order {
			return false
		}
	}
	return true
}

// implyUndo is the reverse.
func implyUndo(r *record) {
	for name, s := range r.Steps {
		if s.happened() {
			r.addUndo(s.toUndo(name))
		}
	}
}

// happened reports whether the last request of the step was carried out, or may have been.
func (s *stepRecord) happened() bool { return s.Status == done || s.Status == unknown }

// toUndo is what compensation undoes of a request that is done, or may be.
func (s *stepRecord) toUndo(name string) undoRecord {
	return undoRecord{Step: name, Visit: s.Visit, Order: s.Order, Unknown: s.Status == unknown, Result: s.Result}
}

// isOf reports whether it undoes the last request of its step.
func (u *undoRecord) isOf(s *stepRecord) bool {
	of := s.toUndo(u.Step)
	return u.Visit == of.Visit && u.Order == of.Order && u.Unknown == of.Unknown && bytes.Equal(u.Result, of.Result)
}
