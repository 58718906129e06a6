package actors_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// unwrittenLines starts workers, and returns what is logged of what was never written.
func unwrittenLines(t *testing.T, st *store.Store, level zapcore.Level, workers ...cursor.Worker) []string {
	t.Helper()
	core, logged := observer.New(zapcore.InfoLevel)
	var lines []string
	for _, w := range workers {
		sys := startWith(t, st, actors.Options{Logger: zap.New(core)}, w)
		require.NoError(t, sys.Stop(t.Context()))
	}
	for _, line := range logged.FilterLevelExact(level).FilterMessageSnippet("never written").All() {
		lines = append(lines, line.ContextMap()["unwritten"].(string))
	}
	return lines
}

func TestAWorkerThatReadsWhatWasNeverWrittenIsToldOfOnceWithTheNameThatMayBeMeant(t *testing.T) {
	order := store.Proposal{At: store.At("acme:order:1", "shop"), Payload: store.Raw{Type: "order.placed", Data: []byte("1")}}
	parcel := store.Proposal{At: store.At("parcel:1", "depot"), Payload: store.Raw{Type: "parcel.sent", Data: []byte("1")}}
	reads := func(r store.Region, kinds ...string) cursor.Worker {
		w := reacting("w")
		w.Region, w.Kinds, w.Volatile = r, kinds, true
		return w
	}
	for want, w := range map[string]cursor.Worker{
		`no event has entity "acme:orders" (there is "acme:order")`:                       reads(store.Region{Entity: "acme:orders"}),
		`no event has entity "stock"`:                                                     reads(store.Region{Entity: "stock"}),
		`no event has scope "shopp" (there is "shop")`:                                    reads(store.Region{Scope: "shopp"}),
		`no event has category "ordre" (there is "order")`:                                reads(store.Region{Category: "ordre"}),
		`no event has kind "order.charged", kind "order.plced" (there is "order.placed")`: reads(store.Region{}, "order.charged", "order.plced", "parcel.sent"),
		`no event has kind "stock.reserved", kind "stock.sold"`:                           reads(store.Region{}, "stock.reserved", "stock.sold"),
		`no event has region "entity=parcel scope=shop"`:                                  reads(store.Region{Entity: "parcel", Scope: "shop"}),
	} {
		st := memory(t, store.Options{})
		appendAll(t, st, order, parcel)
		require.Equal(t, []string{want}, unwrittenLines(t, st, zapcore.WarnLevel, w))
		require.Equal(t, want, statusOf(t, start(t, st, w), "w").Unwritten)
	}
	st := memory(t, store.Options{})
	rare := reads(store.Region{Scope: "shop"}, "order.placed", "order.refunded")
	require.Empty(t, unwrittenLines(t, st, zapcore.WarnLevel, rare), "the log is empty")
	appendAll(t, st, order, parcel)
	require.Empty(t, unwrittenLines(t, st, zapcore.WarnLevel, rare, reads(store.Region{}), reads(store.Region{Entity: "acme", Scope: "shop"})))
	require.Equal(t, []string{`no event has kind "order.refunded"`}, unwrittenLines(t, st, zapcore.InfoLevel, rare), "that may still come")
}

func TestWhatAProgramWritesItselfIsNotMisspelled(t *testing.T) {
	st := memory(t, store.Options{})
	appendInputs(t, st, 1)
	w, own := reacting("w"), reacting("own")
	w.Kinds, w.OwnKinds = []string{"in.mended", "in.answered"}, []string{"in.answered"}
	own.Region, own.Kinds, own.OwnKinds = store.Region{Scope: "answers"}, w.OwnKinds, w.OwnKinds
	sys := start(t, st, w, own)
	require.Equal(t, `no event has kind "in.mended"`, statusOf(t, sys, "w").Unwritten)
	require.Empty(t, statusOf(t, sys, "own").Unwritten)
}

func TestWhatWasNeverWrittenIsToldInStatusUntilItIs(t *testing.T) {
	st := memory(t, store.Options{})
	w := reacting("w")
	w.Kinds = []string{"in.made", "in.mended"}
	sys := start(t, st, w)
	require.Empty(t, statusOf(t, sys, "w").Unwritten, "nothing can be said of an empty log")
	appendInputs(t, st, 1)
	require.Equal(t, `no event has kind "in.mended"`, statusOf(t, sys, "w").Unwritten)
	appendInputs(t, st, 1)
	require.Equal(t, `no event has kind "in.mended"`, statusOf(t, sys, "w").Unwritten)
	appendAll(t, st, store.Proposal{At: store.At("in:1", "test"), Payload: store.Raw{Type: "in.mended", Data: []byte("1")}})
	require.Empty(t, statusOf(t, sys, "w").Unwritten)
}
