package saga_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/lineage"
)

// shelved is a run with an instance that is stuck at the undo of a step, and one that has
// completed.
func shelved(t *testing.T) (*saga.Saga[order], *reactortest.Run) {
	t.Helper()
	w := newWorld()
	w.fails["undo reserve"] = []error{saga.Refuse(errDown)}
	w.fails["charge"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	run := begun(t, s)
	delete(w.fails, "charge")
	run.Given(reactortest.At(at("43"), placed("43")))
	run.Settle()
	return s, run
}

func TestASagaIsSeenByItsNameAlone(t *testing.T) {
	s, run := shelved(t)
	names, err := saga.Names(run.Store())
	require.NoError(t, err)
	require.Equal(t, []string{"checkout"}, names)
	typed, untyped := s.In(run.Store()), saga.Untyped(run.Store(), "checkout")
	counts, err := untyped.Counts()
	require.NoError(t, err)
	require.Equal(t, map[saga.Life]int{saga.Stuck: 1, saga.Completed: 1}, counts)
	for _, key := range []string{"42", "43"} {
		want, err := typed.Get(key)
		require.NoError(t, err)
		got, err := untyped.Get(key)
		require.NoError(t, err)
		wantJSON, err := json.Marshal(want) // the state is the same as it is written
		require.NoError(t, err)
		gotJSON, err := json.Marshal(got)
		require.NoError(t, err)
		require.JSONEq(t, string(wantJSON), string(gotJSON))
		require.Equal(t, want.Err, got.Err)

		story, err := typed.Story(t.Context(), key)
		require.NoError(t, err)
		require.Contains(t, story, "order.placed")
		told, err := untyped.Story(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, story, told)
	}
	var listed []string
	for o, err := range untyped.List(saga.Filter{Lives: []saga.Life{saga.Stuck}}) {
		require.NoError(t, err)
		listed = append(listed, o.Key)
	}
	require.Equal(t, []string{"42"}, listed)
	require.Equal(t, troubles(t, typed, 0, 1), troubles(t, untyped, 0, 1))
	var one, other bytes.Buffer
	_, err = typed.Export(&one)
	require.NoError(t, err)
	_, err = untyped.Export(&other)
	require.NoError(t, err)
	require.Equal(t, one.String(), other.String())
}

func TestWhatADefinitionAloneSaysIsLeftOut(t *testing.T) {
	s, run := shelved(t)
	untyped := saga.Untyped(run.Store(), "checkout")
	known, err := s.In(run.Store()).Explain("42")
	require.NoError(t, err)
	text, err := untyped.Explain("42")
	require.NoError(t, err)
	first, rest, _ := strings.Cut(known, "\n")
	require.Equal(t, first+"\n  it is seen without its program: whether that can continue it is not known\n"+rest, text)
	ended, err := untyped.Explain("43")
	require.NoError(t, err)
	require.NotContains(t, ended, "without its program")

	for key, want := range map[string]string{
		"42": "as far as it has come|reserve: done, |charge: refused",
		"43": "as far as it has come|reserve: done|charge: done|label: done|invoice: done|ship: done|completed",
	} {
		p, err := untyped.Picture(key)
		require.NoError(t, err)
		require.Equal(t, want, boxes(p), "no step that it has not come to")
	}
	for e, err := range run.Store().Read(t.Context(), store.Region{}, store.Beginning()) {
		require.NoError(t, err)
		key, err := untyped.KeyOf(e)
		require.NoError(t, err)
		require.Equal(t, strings.HasPrefix(e.Kind, "saga."), key != "", e.Kind)
	}
}

// boxes are those of a picture in a line.
func boxes(p lineage.Picture) string {
	var list []string
	for _, b := range p.Boxes {
		text := strings.Join(b.Lines, ", ")
		if b.Style != lineage.Dashed && text != "" {
			text = b.Title + ": " + text
		} else if text == "" {
			text = b.Title
		}
		text, _, _ = strings.Cut(text, "stuck: ")
		list = append(list, text)
	}
	return strings.Join(list, "|")
}

func TestWithoutADefinitionNothingIsAsked(t *testing.T) {
	_, run := shelved(t)
	head := run.Store().Head()
	untyped := saga.Untyped(run.Store(), "checkout")
	for _, r := range []checkpoint.Request{ana, {By: "ana", DryRun: true}} {
		_, err := untyped.Retry(t.Context(), "42", r)
		require.ErrorIs(t, err, saga.ErrUndefined)
		_, err = untyped.SettleDone(t.Context(), "42", "charge", nil, r)
		require.ErrorIs(t, err, saga.ErrUndefined)
	}
	require.Equal(t, head, run.Store().Head())
}

// What the last program could not continue is known without it.
func TestAnUnrunnableInstanceIsSeenWithoutItsProgram(t *testing.T) {
	w := newWorld()
	v1, v2 := two(w)
	v2.AllowUnrunnable = true
	d := waiting(t, w, v1)
	d.deploy(v2)
	d.run.Given(reactortest.At(at("42"), placed("42")))
	d.run.Settle()
	require.Equal(t, "version 1", d.get().Unrunnable)
	names, err := saga.Names(d.run.Store())
	require.NoError(t, err)
	require.Equal(t, []string{"checkout"}, names, "whatever can be continued")
	untyped := saga.Untyped(d.run.Store(), "checkout")
	o, err := untyped.Get("42")
	require.NoError(t, err)
	require.Equal(t, "version 1", o.Unrunnable)
	text, err := untyped.Explain("42")
	require.NoError(t, err)
	require.Contains(t, text, "it lacked version 1\n")
	for o, err := range untyped.List(saga.Filter{Unrunnable: true}) {
		require.NoError(t, err)
		require.Equal(t, "42", o.Key)
	}
}

func TestALogWithoutTheSagaHasNoneOfIt(t *testing.T) {
	run := reactortest.Start(t, newWorld().checkout())
	_, err := saga.Untyped(run.Store(), "check").Get("42")
	require.ErrorIs(t, err, saga.ErrNotFound)
	counts, err := saga.Untyped(run.Store(), "checkout.do").Counts()
	require.NoError(t, err)
	require.Empty(t, counts)
}
