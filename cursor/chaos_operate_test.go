package cursor_test

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// control moves the runner. Its audit event tells the ledger whether it came about.
func (m *chaos) control(do func() error) {
	if !m.calm() {
		return
	}
	runner := m.runner
	if m.through(do()) && m.runner == runner {
		m.failed = nil
	}
	m.through(m.ledger.fold(m.st))
}

// operate gives an order to the runner, or to its worker while that is not run: then what the
// runner has not written is lost, as by the end of its process.
func (m *chaos) operate(do func(cursor.Operator) error) {
	unlessParked := func(of cursor.Operator) error {
		if err := do(of); !errors.Is(err, cursor.ErrNotParked) {
			return err
		}
		return nil
	}
	if m.random.IntN(2) == 0 {
		m.control(func() error { return unlessParked(m.runner) })
		return
	}
	if m.through(unlessParked(cursor.OperatorOf(m.st, m.id()))) {
		m.open()
	}
}

func (m *chaos) someParked() (list []store.Position) {
	for p := range m.ledger.parked {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}

func (m *chaos) oneParked() store.Position {
	list := m.someParked()
	if len(list) == 0 {
		return 0
	}
	return list[m.random.IntN(len(list))]
}

// probe, takeBack and doubt are what happens in an outage.
func (m *chaos) probe() {
	m.run(cursor.DependenciesOf(m.runner).ProbeAt(m.t.Context(), m.oneParked()))
}

func (m *chaos) takeBack() {
	cursor.DependenciesOf(m.runner).TakeBack([]store.Position{m.oneParked()})
}

func (m *chaos) doubt() { cursor.DependenciesOf(m.runner).Doubt(m.oneParked(), m.random.IntN(2) == 0) }

func (m *chaos) rewind() {
	m.control(func() error {
		end := m.furthest()
		to, emit := store.Position(m.random.IntN(int(end)+1)), m.random.IntN(2) == 0
		if m.random.IntN(3) > 0 {
			return apply(m.t.Context(), m.runner, checkpoint.Rewind{To: to, Emit: emit})
		}
		if err := applyCold(m.t.Context(), m.st, m.id(), checkpoint.Rewind{To: min(to, m.stored()), Emit: emit}); err != nil {
			return err
		}
		m.open()
		return nil
	})
}

// furthest is how far a rewind of the runner may go: to the end of what was handled ever.
func (m *chaos) furthest() store.Position {
	return rewindable(m, func(c checkpoint.Change, q checkpoint.Request) error {
		_, err := m.runner.Apply(m.t.Context(), c, q)
		return err
	})
}

// stored is furthest for a reader that knows only the checkpoint.
func (m *chaos) stored() store.Position {
	return rewindable(m, func(c checkpoint.Change, q checkpoint.Request) error {
		_, err := checkpoint.Apply(m.t.Context(), m.st, m.id(), c, q)
		return err
	})
}

func rewindable(m *chaos, apply func(checkpoint.Change, checkpoint.Request) error) store.Position {
	head := m.st.Head()
	var refused *checkpoint.PositionError
	if errors.As(apply(checkpoint.Rewind{To: head}, checkpoint.Request{DryRun: true}), &refused) {
		require.ErrorIs(m.t, refused, checkpoint.ErrNotBackwards)
		return refused.Bound
	}
	return head
}

func (m *chaos) reset() {
	m.control(func() error { return apply(m.t.Context(), m.runner, checkpoint.Reset{}) })
}

func (m *chaos) skipTo() {
	m.control(func() error {
		from := m.runner.Progress().Read
		return apply(m.t.Context(), m.runner, checkpoint.SkipTo{To: from + store.Position(m.random.IntN(int(m.st.Head()-from)+1))})
	})
}

func (m *chaos) widen() {
	m.control(func() error {
		if len(m.worker.Kinds) == 0 {
			return nil
		}
		err := apply(m.t.Context(), m.runner, checkpoint.Widen{Region: m.worker.Region})
		if err == nil || !errors.Is(err, store.ErrDiskFull) { // if it came about the next runner must know, if not it may
			m.worker.Kinds, m.worker.NewKinds = nil, checkpoint.NewKindsBackfill
		}
		return err
	})
}

func (m *chaos) replay() {
	which := cursor.ParkedFilter{All: true}
	switch m.random.IntN(4) {
	case 0:
		which = cursor.ParkedFilter{Kind: "a.x"}
	case 1:
		which = cursor.ParkedFilter{Key: fmt.Sprintf("in:%d", m.random.IntN(3))}
	}
	which.Max = m.random.IntN(3)
	m.operate(func(o cursor.Operator) error {
		_, err := o.Replay(m.t.Context(), which, checkpoint.Request{})
		return err
	})
}

func (m *chaos) discard() {
	which := cursor.ParkedFilter{All: true, Max: 1 + m.random.IntN(3)}
	if m.random.IntN(3) > 0 {
		which = cursor.ParkedFilter{Position: max(m.oneParked(), 1)}
	}
	m.operate(func(o cursor.Operator) error {
		_, err := o.Discard(m.t.Context(), which, checkpoint.Request{})
		return err
	})
}

func (m *chaos) pause() {
	m.operate(func(o cursor.Operator) error { return o.Pause(m.t.Context(), time.Time{}, checkpoint.Request{}) })
}

func (m *chaos) resume() {
	m.operate(func(o cursor.Operator) error { return o.Resume(m.t.Context(), checkpoint.Request{}) })
}
