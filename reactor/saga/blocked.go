package saga

import (
	"fmt"
	"strings"

	"github.com/penstock-io/penstock/checkpoint"
)

// blocked returns why no input moves the instance of a key, nil where they do: the first event of
// it that one of the workers has parked. It reads all that is parked.
func (h *Instances[S]) blocked(key string) (why, err error) {
	name := h.saga.name
	for _, w := range []struct {
		worker string
		of     func(parked string) bool
	}{
		{name, func(parked string) bool { return parked == recordKey(key) }},
		{name + effectsSuffix, func(parked string) bool { return strings.HasPrefix(parked, entity(name, key)+"/") }},
	} {
		for p, err := range checkpoint.ParkedEvents(h.st, checkpoint.ID(w.worker)) {
			if err != nil {
				return nil, err
			}
			if !p.Held && w.of(p.Key) {
				return fmt.Errorf("saga: blocked by event %d, which %s has parked: %s", p.Position, w.worker, p.Error), nil
			}
		}
	}
	return nil, nil //nolint:nilnil // nothing blocks it
}
