// Package encode gives payloads the form in which the store keeps them, ahead of the commit: so that a
// payload that cannot be encoded fails the event whose handler made it, and that it is encoded only once.
//
// It must not know events, handlers or batches. It starts no goroutine.
package encode

import (
	"encoding/json"
	"fmt"

	"github.com/penstock-io/penstock/store"
)

// Payload encodes p as the store would. A [store.Raw] is encoded already and returned as it is. The kind is
// set even when an error is returned, unless p is nil.
func Payload(p store.Payload) (store.Raw, error) {
	switch raw := p.(type) {
	case nil:
		return store.Raw{}, &store.InvalidError{Field: "payload", Rule: "must not be nil"}
	case store.Raw:
		return raw, nil
	}
	raw := store.Raw{Type: p.Kind(), Codec: store.CodecJSON}
	if v, ok := p.(interface{ SchemaVersion() uint16 }); ok {
		raw.SchemaVersion = v.SchemaVersion()
	}
	data, err := json.Marshal(p)
	if err != nil {
		return raw, fmt.Errorf("encode payload of kind %q: %w", raw.Type, err)
	}
	raw.Data = data
	return raw, nil
}
