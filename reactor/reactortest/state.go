package reactortest

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

// State returns what a reactor keeps for a key, the zero value where it keeps nothing: see
// [reactor.OnState]. It reads at the one version of S, and fails the test at a state of another
// one.
func State[S store.Payload](r *Run, name, key string) (state S) {
	r.tb.Helper()
	syncStore(r)
	err := r.guard(func() (err error) {
		state, err = reactor.State[S](r.st, nil, r.worker(name).name(), key)
		return err
	})
	if err != nil {
		r.tb.Fatalf("reactortest: state of %q for %q: %v", name, key, err)
	}
	return state
}

// instants are times within reactions and what is kept, and tickets of what is scheduled, which
// have one. A crash may delay what they are of.
var instants = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)|\b[0-9a-f]{16}/[0-9a-f]{4}/[0-9a-f]{16}\b`)

// keptOf returns what a worker keeps, a line for each value, without the times in it.
func keptOf(r *Run, at, name string) (lines []string) {
	r.tb.Helper()
	text := r.worker(name).baton.Worker.KeptText
	if text == nil {
		text = func(_ string, value []byte) string { return string(value) }
	}
	err := r.guard(func() error {
		lines = nil
		id := checkpoint.ID(name)
		info, err := checkpoint.Inspect(r.st, id)
		if errors.Is(err, checkpoint.ErrNotFound) {
			return nil
		}
		prefix := checkpoint.KeptPrefix(info.Record.FirstName(id))
		for side, bad := range r.st.Sides(prefix) {
			if err = errors.Join(err, bad); err != nil {
				break
			}
			key := side.Key[len(prefix):]
			lines = append(lines, fmt.Sprintf("%s keeps %s: %q", at, key, instants.ReplaceAllString(text(key, side.Value), "TIME")))
		}
		return err
	})
	if err != nil {
		r.tb.Fatalf("reactortest: what %q keeps: %v", name, err)
	}
	return lines
}
