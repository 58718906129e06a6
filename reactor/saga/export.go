package saga

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// exported is a line of what Instances.Export writes.
type exported struct {
	Saga   string `json:"saga"`
	Key    string `json:"key"`
	Record []byte `json:"record"` // as it is kept
}

// Export writes the instances that have not ended, as they were committed last, and returns how
// many: for [Saga.Check] of a program that is to continue them. It is a line of JSON for each,
// which holds its state and results: mind whose data that is. It needs no running system, and holds
// up none.
func (h *Instances[S]) Export(w io.Writer) (n int, err error) {
	prefix, err := h.prefix()
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	out, from := json.NewEncoder(w), prefix+recordKey("")
	for side, err := range h.st.SideRange(from, from[:len(from)-1]+"0", 0) {
		var rec *record
		if err == nil {
			rec, err = decodeRecord(side.Value)
		}
		if err == nil && !rec.Life.alive() {
			continue
		}
		key := strings.TrimPrefix(side.Key, from)
		if err == nil {
			err = out.Encode(exported{Saga: h.saga.name, Key: key, Record: side.Value})
		}
		if err != nil {
			return n, fmt.Errorf("saga %s, key %q: %w", h.saga.name, key, err)
		}
		n++
	}
	return n, nil
}

// Check reads what [Instances.Export] has written, and tells whether the saga can continue each of
// those instances, by the definition or one of its former versions: their names are there, their
// states and results can be read, and what migrates them does. So a test, or a program before it
// takes over, knows what a deploy would do. It returns how many there were.
//
// Errors: [UnrunnableError] where names are missing; the first state, result or migration of each
// instance that fails, with its key; [ErrRecord] for what is no export of this saga.
func (s *Saga[S]) Check(r io.Reader) (n int, err error) {
	p, err := s.program()
	if err != nil {
		return 0, err
	}
	lacking := &UnrunnableError{Saga: p.name}
	var errs []error
	in := json.NewDecoder(bufio.NewReader(r))
	for {
		var one exported
		err := in.Decode(&one)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && one.Saga != p.name {
			err = fmt.Errorf("it is of saga %q", one.Saga)
		}
		if err != nil {
			return n, fmt.Errorf("%w: line %d: %w", ErrRecord, n+1, err)
		}
		n++
		if err := p.continues(one.Key, one.Record, lacking); err != nil {
			errs = append(errs, fmt.Errorf("saga %s, key %q: %w", p.name, one.Key, err))
		}
	}
	if lacking.Instances > 0 {
		errs = append(errs, lacking)
	}
	return n, errors.Join(errs...)
}

// continues tells whether an instance can be continued; what it lacks is counted.
func (p *program[S]) continues(key string, kept []byte, lacking *UnrunnableError) error {
	rec, err := decodeRecord(kept)
	if err != nil {
		return err
	}
	version := rec.Version
	d, lacks, err := p.take(rec)
	if lacks != "" {
		lacking.add(key, version, lacks, err)
		return err
	}
	var state S
	if err := decodeState(rec, &state); err != nil {
		return err
	}
	for _, u := range rec.Undo {
		read := d.steps[u.Step].read
		if read == nil {
			continue
		}
		if err := read(u.Result); err != nil {
			return fmt.Errorf("%w: step %q: result: %w", ErrRecord, u.Step, err)
		}
	}
	return nil
}
