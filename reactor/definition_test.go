package reactor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

type pointed struct{}

func (*pointed) Kind() string { return "pointed" }

type embedding struct{ store.Payload }

type namedBy string

func (n namedBy) Kind() string { return "named" }

type badKind struct{}

func (badKind) Kind() string { return "line\nbreak" }

// fault gives the error of a definition, and checks that both ways to use it report the same.
func fault(t *testing.T, r *reactor.Reactor) error {
	t.Helper()
	_, err := r.CursorWorker()
	require.Error(t, err)
	_, reactErr := react(t, r)
	require.EqualError(t, reactErr, err.Error())
	return err
}

func definitionFault(t *testing.T, r *reactor.Reactor) error {
	t.Helper()
	err := fault(t, r)
	require.ErrorIs(t, err, reactor.ErrDefinition)
	return err
}

func TestAReactorWithoutRoutesIsRefused(t *testing.T) {
	require.EqualError(t, definitionFault(t, reactor.New("r")), `reactor "r": reactor: invalid definition: no routes`)
}

func TestAKindHandledTwiceIsRefused(t *testing.T) {
	err := definitionFault(t, reactor.New("r", reactor.On(reserve), reactor.On(ignore[placed])))
	require.EqualError(t, err, `reactor "r": reactor: invalid definition: "order.placed" has more than one route`)
}

func TestANilHandlerIsRefused(t *testing.T) {
	var none func(context.Context, reactor.Event[placed], *reactor.Reactions) error
	err := definitionFault(t, reactor.New("r", reactor.On(none)))
	require.EqualError(t, err, `reactor "r": reactor: invalid definition: "order.placed" has a nil handler`)
}

func TestAPayloadTypeThatIsNoValueIsRefused(t *testing.T) {
	for _, c := range []struct {
		route      reactor.Route
		name, rule string
	}{
		{reactor.On(ignore[*pointed]), "*reactor_test.pointed", "must be a value type"},
		{reactor.On(ignore[*placed]), "*reactor_test.placed", "must be a value type"},
		{reactor.On(ignore[store.Payload]), "store.Payload", "must be a value type"},
		{reactor.On(ignore[embedding]), "reactor_test.embedding", "has a zero value with a method that panics: "}, // its Kind calls a nil interface
	} {
		err := definitionFault(t, reactor.New("r", c.route))
		require.ErrorContains(t, err, fmt.Sprintf("reactor: invalid definition: %q %s", c.name, c.rule))
	}
}

func TestAValueTypeNeedNotBeAStruct(t *testing.T) {
	_, err := reactor.New("r", reactor.On(ignore[namedBy])).CursorWorker()
	require.NoError(t, err)
}

func TestAKindThatTheStoreWouldRefuseIsRefused(t *testing.T) {
	for _, route := range []reactor.Route{
		reactor.On(ignore[badKind]),
		reactor.On(ignore[store.Raw]), // its kind is in its content
	} {
		require.ErrorIs(t, fault(t, reactor.New("r", route)), store.ErrInvalid)
	}
}

func TestAHandledKindOutsideTheRegionIsRefused(t *testing.T) {
	for _, region := range []store.Region{
		{Kinds: []string{"order.cancelled"}},
		{Category: "stock"},
	} {
		r := reactor.New("r", reactor.On(reserve))
		r.Region = region
		err := fault(t, r)
		require.Equal(t, "Kinds", requireAs[*store.InvalidError](t, err).Field)
		require.Equal(t, "order.placed", requireAs[*store.InvalidError](t, err).Value)
	}
}

func TestARegionMayHoldMoreThanTheHandledKinds(t *testing.T) {
	for _, region := range []store.Region{
		{Kinds: []string{"order.cancelled", "order.placed"}},
		{Category: "order"},
		{Entity: "order", Scope: "shop"},
	} {
		r := reactor.New("r", reactor.On(reserve))
		r.Region = region
		w, err := r.CursorWorker()
		require.NoError(t, err)
		require.Equal(t, region, w.Region, "the declared region is the reactor's identity")
		require.Equal(t, []string{"order.placed"}, w.Kinds)
		_, err = react(t, r)
		require.NoError(t, err)

		other := event(1, `{}`)
		other.Kind = "order.cancelled"
		_, err = r.React(t.Context(), other)
		require.ErrorIs(t, err, reactor.ErrUnseen)
		reads := region
		reads.Category, reads.Kinds = "", []string{"order.placed"}
		require.ErrorContains(t, err, "is not among ("+reads.String()+")")
	}
}

func TestARegionThatTheStoreWouldRefuseIsRefused(t *testing.T) {
	r := reactor.New("r", reactor.On(reserve))
	r.Region = store.Region{MinVersion: 2, MaxVersion: 1}
	require.ErrorIs(t, fault(t, r), store.ErrInvalid)
}

func TestLimitsOutOfRangeAreRefused(t *testing.T) {
	for field, set := range map[string]func(*reactor.Reactor){
		"MaxDepth":     func(r *reactor.Reactor) { r.MaxDepth = -1 },
		"MaxReactions": func(r *reactor.Reactor) { r.MaxReactions = cursor.MaxReactions + 1 },
	} {
		r := reactor.New("r", reactor.On(reserve))
		set(r)
		require.Equal(t, field, requireAs[*supervision.SettingError](t, fault(t, r)).Field)
	}
}

func TestABadNameIsRefused(t *testing.T) {
	for _, name := range []string{"", "a/b", "a=b", "line\nbreak", strings.Repeat("x", 256)} {
		err := fault(t, reactor.New(name, reactor.On(reserve)))
		require.Equal(t, "Name", requireAs[*supervision.SettingError](t, err).Field, "%q", name)
	}
}

func TestANegativeBatchSizeIsRefused(t *testing.T) {
	r := reactor.New("r", reactor.On(reserve))
	r.BatchSize = -1
	require.Equal(t, "BatchSize", requireAs[*store.InvalidError](t, fault(t, r)).Field)
}

func TestLaterChangesDoNotReachAReactorOrItsWorker(t *testing.T) {
	routes := []reactor.Route{reactor.On(reserve)}
	r := reactor.New("r", routes...)
	routes[0] = reactor.Route{}
	w, err := r.CursorWorker()
	require.NoError(t, err)

	r.MaxReactions = -1
	b := cursor.NewBatch([]store.Event{event(1, `{"Order":"42","SKU":"lamp"}`)}, cursor.Ownership{})
	_, err = w.Handle(t.Context(), b)
	require.NoError(t, err)
	require.Len(t, b.Staged(), 1)
}

func TestAllFaultsAreReportedAtOnce(t *testing.T) {
	r := reactor.New("r", reactor.On(reserve), reactor.On(reserve), reactor.On(ignore[*pointed]))
	r.MaxDepth = -1
	r.BatchSize = -1
	err := fault(t, r)
	require.ErrorIs(t, err, reactor.ErrDefinition)
	require.ErrorContains(t, err, "more than one route")
	require.ErrorContains(t, err, "a value type")
	require.ErrorAs(t, err, new(*supervision.SettingError))
	require.ErrorIs(t, err, cursor.ErrWorker)
	require.ErrorContains(t, err, `"r"`)
}

func TestTheWorkerGetsTheSettings(t *testing.T) {
	r := reactor.New("r", reactor.On(ignore[cancelled]), reactor.On(reserve))
	r.BatchSize = 7
	r.Start = store.Now()
	r.Policy = supervision.Policy{Attempts: 3}
	r.SyncCheckpoints = true
	w, err := r.CursorWorker()
	require.NoError(t, err)
	require.Equal(t, "r", w.Name)
	require.Equal(t, []string{"order.cancelled", "order.placed"}, w.Kinds)
	require.Equal(t, 7, w.BatchSize)
	require.Equal(t, store.Now(), w.Start)
	require.True(t, w.SyncCheckpoints)
	require.Equal(t, supervision.Spec{Name: "r", Policy: r.Policy}, r.Spec())
	require.Equal(t, r.Spec(), w.Spec())
}

func TestARouteOfErasedEventsNeedsOneForTheOthers(t *testing.T) {
	var none func(context.Context, reactor.Event[placed], *reactor.Reactions) error
	for want, routes := range map[string][]reactor.Route{
		"has a route for what is given up alone": {reactor.OnGivenUp(func(context.Context, reactor.Event[placed], reactor.Failure, *reactor.Reactions) error { return nil })},
		"has a nil handler of what is given up":  {reactor.OnGivenUp[placed](nil)},
		"has a route for erased events alone":    {reactor.OnErased(ignore[placed])},
		"has a nil handler of erased events":     {reactor.On(ignore[placed]), reactor.OnErased(none)},
		"has more than one route":                {reactor.OnErased(ignore[placed]), reactor.On(reserve), reactor.OnErased(ignore[placed])},
	} {
		err := definitionFault(t, reactor.New("r", routes...))
		require.EqualError(t, err, `reactor "r": reactor: invalid definition: "order.placed" `+want)
	}
	for want, r := range map[bool]*reactor.Reactor{
		false: reactor.New("r", reactor.On(reserve)), true: reactor.New("r", reactor.OnErased(ignore[placed]), reactor.On(reserve)),
	} {
		w, err := r.CursorWorker()
		require.NoError(t, err)
		require.Equal(t, want, w.Erased)
	}
}
