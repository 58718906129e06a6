package cursor_test

import (
	"errors"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

func (m *chaos) id() checkpoint.ID { return checkpoint.ID(m.worker.Name) }

// anotherName lets the next runner have any of three names, and have had the others.
func (m *chaos) anotherName() {
	names := []string{"w", "v", "u"}
	m.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	m.worker.Name, m.worker.Formerly = names[0], names[1:]
}

// rename moves the checkpoint to another name without its runner, which is fenced by that.
func (m *chaos) rename() {
	m.control(func() error {
		former := m.worker
		m.anotherName()
		to := m.id()
		if m.worker.Name == former.Name {
			return nil
		}
		m.worker.Name, m.worker.Formerly = former.Name, former.Formerly // until it is done
		before, err := m.kept()
		if err != nil {
			return err
		}
		dry, err := checkpoint.Apply(m.t.Context(), m.st, m.id(), checkpoint.Rename{To: to}, checkpoint.Request{DryRun: true})
		if err != nil {
			return err
		}
		out, err := checkpoint.Apply(m.t.Context(), m.st, m.id(), checkpoint.Rename{To: to}, checkpoint.Request{})
		if err != nil {
			return err
		}
		require.Equal(m.t, dry, out)
		m.moved(to, before)
		return nil
	})
}

// moved checks that everything has the new name now and nothing the former one, and starts there.
func (m *chaos) moved(to checkpoint.ID, before []any) {
	former := m.worker.Name
	m.worker.Name, m.worker.Formerly = string(to), []string{"w", "v", "u"}
	m.worker.Formerly = withoutName(m.worker.Formerly, m.worker.Name)
	if after, err := m.kept(); err == nil { // or the disk fails
		require.Equal(m.t, before, after)
	}
	for _, key := range []string{"checkpoint/", "pass/", "pause/"} {
		_, found, err := m.st.Side(key + former)
		require.NoError(m.t, err)
		require.False(m.t, found, key+former)
	}
	for side, err := range m.st.Sides("parked/" + former + "/") {
		require.NoError(m.t, err)
		require.Fail(m.t, "still parked under the former name", side.Key)
	}
	if err := m.runner.Pause(m.t.Context(), time.Time{}, checkpoint.Request{}); !errors.Is(err, checkpoint.ErrFenced) {
		require.Error(m.t, err)
	}
	m.open()
}

func withoutName(names []string, name string) (rest []string) {
	for _, other := range names {
		if other != name {
			rest = append(rest, other)
		}
	}
	return rest
}

// kept is all that is kept of the worker, but for its names, the epoch, and the audit events of
// renames.
func (m *chaos) kept() ([]any, error) {
	info, err := checkpoint.Inspect(m.st, m.id())
	if err != nil {
		return nil, err
	}
	r := info.Record
	r.Epoch, r.Formerly = 0, nil
	all := []any{r, info.Record.FirstName(m.id()), info.Pass, info.Pause}
	for p, err := range checkpoint.ParkedEvents(m.st, m.id()) {
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	for e, err := range checkpoint.Audits(m.t.Context(), m.st, m.id(), 0) {
		if err != nil {
			return nil, err
		}
		if e.Kind != checkpoint.AuditRenamed {
			all = append(all, e.Position)
		}
	}
	return all, nil
}

// outlived lets a runner that was fenced try to write.
func (m *chaos) outlived() {
	if m.former == nil || m.former == m.runner {
		return
	}
	_, err := m.former.Apply(m.t.Context(), checkpoint.Reset{}, checkpoint.Request{})
	refused := errors.Is(err, checkpoint.ErrFenced) || errors.Is(err, cursor.ErrInFlight) || errors.Is(err, store.ErrClosed)
	if !refused {
		require.Error(m.t, err, "it was fenced")
	}
}
