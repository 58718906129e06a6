package admin

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Log describes the store itself.
type Log struct {
	View        View           `json:"view"`
	Store       uuid.UUID      `json:"store"`
	Incarnation uint32         `json:"incarnation"`
	First       store.Position `json:"first"`
	Head        store.Position `json:"head"`
	Segments    int            `json:"segments"`
	SideValues  int            `json:"sideValues"`
	// Bytes on the disk: of events and side values, of indexes, of what is made ahead of use; of these
	// what side values take, what is superseded, and what stays of dropped events.
	LogBytes        int64 `json:"logBytes"`
	IndexBytes      int64 `json:"indexBytes"`
	ReservedBytes   int64 `json:"reservedBytes"`
	SideBytes       int64 `json:"sideBytes"`
	SupersededBytes int64 `json:"supersededBytes"`
	CarriedBytes    int64 `json:"carriedBytes"`
	FreeBytes       int64 `json:"freeBytes"` // of the file system, -1 where that cannot be told
	// ClockAhead is how far the time of events is ahead of the machine's.
	ClockAhead Duration `json:"clockAhead,omitempty"`
	Rewriting  string   `json:"rewriting,omitempty"` // why a segment could not be rewritten
	Erasing    string   `json:"erasing,omitempty"`   // why an erasure is not finished
	Poisoned   bool     `json:"poisoned,omitempty"`  // no commit is taken any more
	Fences     []Fence  `json:"fences,omitempty"`    // that are open
	Holds      []Hold   `json:"holds,omitempty"`     // what keeps events from being dropped
	// Commits and the rest are what the writer has done since it was opened; absent where it is not
	// seen.
	Written *Written `json:"written,omitempty"`
}

// Fence is one that is open: the head waits for it.
type Fence struct {
	Reason   string         `json:"reason"`
	First    store.Position `json:"first,omitempty"`
	Events   uint64         `json:"events"`
	Since    time.Time      `json:"since"`
	Deadline time.Time      `json:"deadline"`
}

// Hold is what needs the events from a position on.
type Hold struct {
	Who  string         `json:"who"`
	From store.Position `json:"from"`
	Kind string         `json:"kind"`
	Note string         `json:"note,omitempty"`
}

func holds(list []store.Hold) (out []Hold) {
	for _, one := range list {
		out = append(out, Hold(one))
	}
	return out
}

// Written is what a writer has done.
type Written struct {
	Commits uint64  `json:"commits"`
	Events  uint64  `json:"events"`
	Groups  uint64  `json:"groups"`
	Refused uint64  `json:"refused"`
	Syncs   Latency `json:"syncs"`
	Writes  Latency `json:"writes"`
}

// Latency is how long something took.
type Latency struct {
	Count uint64   `json:"count"`
	P50   Duration `json:"p50"`
	P90   Duration `json:"p90"`
	P99   Duration `json:"p99"`
}

func latency(h store.Histogram) Latency {
	return Latency{Count: h.Count(), P50: Duration(h.Quantile(0.5)), P90: Duration(h.Quantile(0.9)), P99: Duration(h.Quantile(0.99))}
}

// Log describes the store itself.
func (s *Surface) Log(ctx context.Context) (Log, error) { return logInfo().ask(ctx, s, nothing{}) }

func logInfo() question[nothing, Log] {
	return question[nothing, Log]{"log", Read, func(_ context.Context, h *here, _ nothing) (Log, error) { return h.log() }}
}

func (h *here) log() (Log, error) {
	t := h.st.Stats()
	origin := h.st.Origin()
	out := Log{
		View: h.view(), Store: origin.Store, Incarnation: origin.Incarnation, First: t.First, Head: t.Head, Segments: t.Segments,
		SideValues: t.SideValues, LogBytes: t.LogBytes, IndexBytes: t.IndexBytes, ReservedBytes: t.ReservedBytes, SideBytes: t.SideBytes,
		SupersededBytes: t.SupersededBytes, CarriedBytes: t.CarriedBytes, FreeBytes: t.FreeBytes, ClockAhead: Duration(t.ClockAhead),
		Rewriting: text(t.Rewriting), Erasing: text(t.Erasing), Poisoned: t.Poisoned,
	}
	for _, f := range t.Fences {
		out.Fences = append(out.Fences, Fence(f))
	}
	if h.mode == Live {
		out.Written = &Written{
			Commits: t.Commits, Events: t.Events, Groups: t.Groups, Refused: t.Refused, Syncs: latency(t.Syncs), Writes: latency(t.Writes),
		}
	}
	for hold, err := range store.Holds(h.st) {
		if err != nil {
			return out, err
		}
		out.Holds = append(out.Holds, Hold(hold))
	}
	readers, err := checkpoint.Holds(h.st, nil)
	out.Holds = append(out.Holds, holds(readers)...)
	return out, err
}
