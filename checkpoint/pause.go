package checkpoint

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/store"
)

// MaxReasonBytes is the longest reason of a pause. Those of other calls are cut at MaxErrorBytes.
const MaxReasonBytes = 1024

const (
	pausePrefix  = "pause/"
	pauseMagic   = "PSPZ"
	pauseVersion = 1
)

// Pause says that a worker is to rest.
type Pause struct {
	Since  time.Time // to the millisecond
	Until  time.Time // to the millisecond; zero: until it is resumed
	Reason string
}

// Validate reports a reason that is too long, as a store.LimitError.
func (p Pause) Validate() error {
	if len(p.Reason) > MaxReasonBytes {
		return &store.LimitError{Field: "reason bytes", Limit: MaxReasonBytes, Value: int64(len(p.Reason))}
	}
	return nil
}

func (id ID) pauseKey() string { return pausePrefix + string(id) }

// Write gives the side write that keeps the pause of a worker.
func (p Pause) Write(id ID) store.SideWrite {
	b := append([]byte(pauseMagic), pauseVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.Since.UnixMilli()))
	b = binary.LittleEndian.AppendUint64(b, uint64(p.Until.UnixMilli()))
	return store.SideWrite{Key: id.pauseKey(), Value: seal(appendText(b, p.Reason))}
}

// Resume gives the side write that takes a pause away.
func Resume(id ID) store.SideWrite { return store.SideWrite{Key: id.pauseKey(), Delete: true} }

// PauseOf gives the pause of a worker, and false when it has none.
func PauseOf(st *store.Store, id ID) (Pause, bool, error) {
	side, ok := st.Side(id.pauseKey())
	if !ok {
		return Pause{}, false, nil
	}
	p, err := decodePause(side.Value)
	if err != nil {
		return Pause{}, false, fmt.Errorf("checkpoint %q: pause: %w", id, err)
	}
	return p, true, nil
}

func decodePause(b []byte) (Pause, error) {
	_, body, err := open(b, pauseMagic, pauseVersion)
	if err != nil {
		return Pause{}, err
	}
	in := reader{rest: body}
	p := Pause{Since: time.UnixMilli(int64(in.u64())).UTC(), Until: time.UnixMilli(int64(in.u64())).UTC(), Reason: in.text()}
	if err := in.end(); err != nil {
		return Pause{}, err
	}
	return p, nil
}
