package cursor

import (
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// newer is the schema of an event which the worker cannot read, as only a later build of the
// program does; the zero value for others.
func (o *owner) newer(e *store.Event) checkpoint.Schema {
	newest, limited := o.worker.SchemaVersions[e.Kind]
	if !limited || e.SchemaVersion <= newest {
		return checkpoint.Schema{}
	}
	return checkpoint.Schema{Kind: e.Kind, Version: e.SchemaVersion}
}

// readable reports whether an event that was too new when it was parked no longer is.
func (o *owner) readable(s checkpoint.Schema) bool {
	return s.Version > 0 && s.Version <= o.worker.SchemaVersions[s.Kind]
}
