package saga

import (
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// shelf has what is kept of the instances of a saga.
type shelf struct {
	name string // of the saga
	st   *store.Store
}

// prefix begins the keys of what the coordinator keeps. A saga that has never run keeps nothing.
func (s shelf) prefix() (string, error) {
	id := checkpoint.ID(s.name)
	info, err := checkpoint.Inspect(s.st, id)
	if errors.Is(err, checkpoint.ErrNotFound) {
		return "", fmt.Errorf("%w: the saga has never run here", ErrNotFound)
	}
	return checkpoint.KeptPrefix(info.Record.FirstName(id)), err
}

// record reads the record of an instance.
func (s shelf) record(key string) (*record, error) {
	side, err := s.side(key)
	if err != nil {
		return nil, err
	}
	return started(side)
}

// side reads what is kept of an instance.
func (s shelf) side(key string) (store.SideValue, error) {
	prefix, err := s.prefix()
	if err != nil {
		return store.SideValue{}, err
	}
	side, found, err := s.st.Side(prefix + recordKey(key))
	if err == nil && !found {
		err = ErrNotFound
	}
	return side, err
}

// started is the record that is kept of an instance. It is ErrNotFound where nothing has started
// and only inputs wait for it.
func started(side store.SideValue) (*record, error) {
	rec, err := decodeRecord(side.Value)
	if err == nil && rec.Life == None {
		err = ErrNotFound
	}
	return rec, err
}

// isPresent reports whether a record that was read is the present one.
func (s shelf) isPresent(record store.SideValue) bool {
	if record.Key == "" {
		return false
	}
	now, found, err := s.st.Side(record.Key)
	return err == nil && found && now.Revision == record.Revision
}
