package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// exportedDropped begins what stays of some events that were dropped: all from the position after
// those of the line before on, up to the next one.
type exportedDropped struct {
	Next uint64     `json:"next"`
	Last *uuid.UUID `json:"last,omitempty"` // id of the last of them, where it is known
	Time string     `json:"time"`           // of it
}

// exportedState is what stays of an entity: what its next event continues.
type exportedState struct {
	Entity   string `json:"entity"`
	Position uint64 `json:"position"` // of its last event, as the rest
	Version  uint64 `json:"version"`
	Time     string `json:"time"`
	Hash     []byte `json:"hash"`
}

// exportedReceipt is what stays of a commit with an idempotency key.
type exportedReceipt struct {
	exportedKey

	First    uint64             `json:"first"` // position of its first event
	Time     string             `json:"time"`  // of its last one
	Recorded []exportedRecorded `json:"recorded"`
}

type exportedRecorded struct {
	ID      uuid.UUID `json:"id"`
	Version uint64    `json:"version"`
}

// dropped writes what stays of events that were dropped. A file of it that was replaced meanwhile
// is not read again, as more may have been dropped since.
func (x *exporting) dropped(ctx context.Context, segments []*segment) error {
	for _, g := range segments {
		err := x.rest(ctx, g)
		if x.store.again(&err) {
			return errDroppedMeanwhile(x.written + 1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *exporting) rest(ctx context.Context, g *segment) error {
	h, err := g.header()
	if err != nil {
		return err
	}
	begin := &exportedDropped{Next: uint64(g.after()), Time: timeText(Timestamp(h.EndTime))}
	if last := uuid.UUID(h.LastEvent); last != uuid.Nil {
		begin.Last = &last
	}
	if err := x.write(&exportedLine{Dropped: begin}); err != nil {
		return err
	}
	pending := x.store.erasing.pending()
	return x.batches(ctx, g, func(h *wal.BatchHeader, batch []byte) error {
		return wal.Records(h, batch, func(rec []byte, offset int) error {
			line, err := x.restLine(pending.left(rec))
			if err != nil {
				return g.corrupt(int64(h.Offset)+int64(offset), "not what stays of an event: "+err.Error())
			}
			if line == nil {
				return nil
			}
			return x.write(line)
		})
	})
}

// restLine says in words what is in a record, nil where it is of something else.
func (x *exporting) restLine(rec []byte) (line *exportedLine, err error) {
	var made []byte
	switch wal.Type(rec) {
	case wal.TypeState:
		var s wal.State
		if s, err = wal.ParseState(rec); err == nil {
			line = &exportedLine{State: exportState(&s)}
			made, err = line.State.record()
		}
		x.end.States++
	case wal.TypeReceipt:
		var r wal.Receipt
		if r, err = wal.ParseReceipt(rec); err == nil {
			line = &exportedLine{Receipt: exportReceipt(&r)}
			made, err = line.Receipt.record()
		}
		x.end.Receipts++
	default:
		return nil, nil //nolint:nilnil // as it says
	}
	if err == nil && !bytes.Equal(made[10:], rec[10:]) {
		err = errors.New("its record is not one that is written")
	}
	return line, err
}

func exportState(s *wal.State) *exportedState {
	return &exportedState{
		Entity: string(s.Entity), Position: s.Position, Version: s.Version, Time: timeText(Timestamp(s.Time)), Hash: s.Hash[:],
	}
}

func exportReceipt(r *wal.Receipt) *exportedReceipt {
	x := &exportedReceipt{exportedKey: *exportKey(&r.Key), First: r.Key.FirstPosition, Time: timeText(Timestamp(r.Time))}
	for _, e := range r.Events {
		x.Recorded = append(x.Recorded, exportedRecorded{e.ID, e.Version})
	}
	return x
}

// record makes the record. The error names the field that is wrong.
func (x *exportedState) record() (rec []byte, err error) {
	s := wal.State{Entity: []byte(x.Entity), Position: x.Position, Version: x.Version}
	if s.Time, err = parseTime(x.Time); err == nil {
		err = fill("hash", s.Hash[:], x.Hash)
	}
	return wal.AppendState(nil, &s), err
}

// record likewise.
func (x *exportedReceipt) record() (rec []byte, err error) {
	r := wal.Receipt{}
	if r.Time, err = parseTime(x.Time); err == nil {
		r.Key, err = x.key(x.First)
	}
	for _, e := range x.Recorded {
		r.Events = append(r.Events, wal.Recorded{ID: e.ID, Version: e.Version})
	}
	r.Key.Key = []byte(x.Key)
	if err == nil && int(x.Events) != len(r.Events) {
		err = &InvalidError{Field: "recorded", Rule: fmt.Sprintf("must be %d events", x.Events), Value: len(r.Events)}
	}
	return wal.AppendReceipt(nil, &r), err
}
