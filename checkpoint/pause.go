package checkpoint

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/store"
)

const (
	pausePrefix = "pause/"
	pauseMagic  = "PSPZ"
)

// Versions of the format of a pause.
const (
	pausePlain = 1
	pauseBy    = 2 // and who decided; written only where that is known
)

// maxYear is the last year that audit events can name: RFC 3339 ends there.
const maxYear = 9999

// Pause keeps a worker from handling events.
type Pause struct {
	Since  time.Time // to the millisecond
	Until  time.Time // to the millisecond, after Since, at most the year 9999; zero: until it is resumed
	Reason string
	By     string // who decided, see [Request]
}

// Validate reports the first rule that the pause breaks, as a [store.InvalidError].
func (p Pause) Validate() error {
	switch until := p.Until.UTC(); {
	case until.IsZero():
	case !until.Truncate(time.Millisecond).After(p.Since.Truncate(time.Millisecond)):
		return &store.InvalidError{Field: "until", Rule: "must be in the future", Value: until}
	case until.Year() > maxYear:
		return &store.InvalidError{Field: "until", Rule: fmt.Sprintf("must not be after the year %d", maxYear), Value: until}
	}
	return Request{Reason: p.Reason, By: p.By}.Validate()
}

func (id ID) pauseKey() string { return pausePrefix + string(id) }

// Write returns the side write that keeps the pause of a worker.
func (p Pause) Write(id ID) store.SideWrite {
	version := byte(pausePlain)
	if p.By != "" {
		version = pauseBy
	}
	b := append([]byte(pauseMagic), version)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.Since.UnixMilli()))
	b = binary.LittleEndian.AppendUint64(b, uint64(p.Until.UnixMilli()))
	b = appendText(b, p.Reason)
	if version == pauseBy {
		b = appendText(b, p.By)
	}
	return store.SideWrite{Key: id.pauseKey(), Value: seal(b)}
}

// Resume returns the side write that removes a pause.
func Resume(id ID) store.SideWrite { return store.SideWrite{Key: id.pauseKey(), Delete: true} }

// pauseOf returns the pause of a worker, nil when it has none.
func pauseOf(st *store.Store, id ID) (*Pause, error) {
	b, ok, err := read(st, id.pauseKey())
	if !ok && err == nil {
		return nil, nil
	}
	var p Pause
	if err == nil {
		p, err = decodePause(b)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint %q: pause: %w", id, err)
	}
	return &p, nil
}

func decodePause(b []byte) (Pause, error) {
	version, body, err := open(b, pauseMagic, pauseBy)
	if err != nil {
		return Pause{}, err
	}
	in := reader{rest: body}
	p := Pause{Since: time.UnixMilli(int64(in.u64())).UTC(), Until: time.UnixMilli(int64(in.u64())).UTC(), Reason: in.text()}
	if version == pauseBy {
		p.By = in.text()
		in.bad = in.bad || p.By == "" // is not written
	}
	if err := in.end(); err != nil {
		return Pause{}, err
	}
	return p, nil
}
