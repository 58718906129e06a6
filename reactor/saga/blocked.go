package saga

import (
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// blocked returns why no input moves the instance of a key, nil where they do: the first event of
// it that one of the workers has parked. It reads all that is parked.
func blocked(st *store.Store, name, key string) (why, err error) {
	for _, w := range []struct {
		worker checkpoint.ID
		of     func(parked string) bool
	}{
		{checkpoint.ID(name), func(parked string) bool { return parked == recordKey(key) }},
		{checkpoint.ID(name + effectsSuffix), func(parked string) bool { of, ok := instanceOf(name, parked); return ok && of == key }},
	} {
		for p, err := range checkpoint.ParkedEvents(st, w.worker) {
			if err != nil {
				return nil, err
			}
			if !p.Held && w.of(p.Key) {
				return &BlockedError{Worker: w.worker, Input: p.Position, Text: p.Error}, nil
			}
		}
	}
	return nil, nil //nolint:nilnil // nothing blocks it
}
