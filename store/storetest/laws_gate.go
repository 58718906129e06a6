package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func gateLaws() []law {
	const about = "gate"
	judged := []store.Gate{
		{Name: "first", Region: store.Region{Entity: "account"}, Judge: func(_ context.Context, c *store.Case) error { return judge(c) }},
		{Name: "second", Judge: func(context.Context, *store.Case) error { return nil }},
	}
	return []law{
		{about: about, says: "verdicts are in the receipt", needs: needsGates, gates: judged, test: verdictsInReceipt},
		{about: about, says: "a denial says why, and nothing is written", needs: needsGates, gates: judged, test: denials},
		{about: about, says: "a bypass keeps its reason with the event", needs: needsGates, gates: judged, test: bypasses},
		{about: about, says: "a repeated key is answered whatever the gates say", needs: needsGates, gates: judged, test: keysPassGates},
		{about: about, says: "what a gate requires makes its verdict certain", needs: needsGates, gates: []store.Gate{balance()}, test: gatesAreCertain},
		{about: about, says: "a gate knows what is committed beside an open fence, and what is staged before", needs: needsGates | needsFences, gates: []store.Gate{balance()}, test: gatesBesideFences},
	}
}

var errOverdraft = errors.New("storetest: overdraft")

// judge denies by the payload, or panics.
func judge(c *store.Case) error {
	raw, _ := c.Proposal.Payload.(store.Raw)
	switch string(raw.Data) {
	case "overdraft":
		return fmt.Errorf("account %s: %w", c.Proposal.At.Entity, errOverdraft)
	case "panic":
		panic("a gate that cannot judge")
	}
	return nil
}

func money(entity, data string) store.Proposal {
	return store.Proposal{At: store.At(entity, "bank"), Payload: store.Raw{Type: "money.moved", Data: []byte(data)}}
}

func verdictsInReceipt(x *scene) {
	r := x.commit(store.Batch{Events: []store.Proposal{money("account:1", ""), money("branch", "overdraft")}})
	require.Equal(x, []store.Verdict{
		{Gate: "first", Outcome: store.Allowed},
		{Gate: "second", Outcome: store.Allowed},
		{Gate: "second", Event: 1, Outcome: store.Allowed},
	}, r.Verdicts)
	r, err := x.Writer.Append(x.ctx, store.At("branch", "bank"), store.Any, store.Raw{Type: "money.moved"})
	require.NoError(x, err)
	require.Equal(x, []store.Verdict{{Gate: "second", Outcome: store.Allowed}}, r.Verdicts)
}

func denials(x *scene) {
	x.append("a")
	for _, data := range []string{"overdraft", "panic"} {
		x.unchanged(func() {
			_, err := x.Writer.Commit(x.ctx, store.Batch{
				Events: []store.Proposal{money("branch", ""), money("account:1", data)}, Sides: []store.SideWrite{{Key: "s"}},
			})
			require.ErrorIs(x, err, store.ErrDenied)
			require.Equal(x, data == "overdraft", errors.Is(err, errOverdraft), "the evidence is in the error")
			var denied *store.DeniedError
			require.ErrorAs(x, err, &denied)
			require.Equal(x, "account:1", denied.Entity)
			require.Equal(x, 1, denied.Event)
			require.Len(x, denied.Verdicts, 3)
			require.Equal(x, store.Denied, denied.Verdicts[1].Outcome)
			require.NotEmpty(x, denied.Verdicts[1].Evidence)
			_, err = x.Writer.Append(x.ctx, store.At("account:1", "bank"), store.Any, store.Raw{Type: "money.moved", Data: []byte(data)})
			require.ErrorIs(x, err, store.ErrDenied)
		}, data)
	}
	require.Equal(x, store.Position(2), x.append("account:1").Position())
}

func bypasses(x *scene) {
	p := money("account:1", "overdraft")
	p.Bypass = "agreed"
	r := x.commit(store.Batch{Events: []store.Proposal{p, money("account:1", "")}})
	require.Equal(x, store.Verdict{Gate: "first", Outcome: store.Bypassed, Evidence: "account account:1: storetest: overdraft"}, r.Verdicts[0])
	events := x.seen(store.Region{})
	require.Equal(x, []string{"agreed", ""}, []string{events[0].Bypass(), events[1].Bypass()})
}

func keysPassGates(x *scene) {
	p := money("account:1", "overdraft")
	p.Bypass = "agreed"
	first := x.commit(store.Batch{IdempotencyKey: "key", Events: []store.Proposal{p}})
	p.Bypass = ""
	repeated(x, first, x.commit(store.Batch{IdempotencyKey: "key", Events: []store.Proposal{p}}))
	_, err := x.Writer.Commit(x.ctx, store.Batch{IdempotencyKey: "other", Events: []store.Proposal{p}})
	require.ErrorIs(x, err, store.ErrDenied)
}

// balance denies what takes more than is there: each event is a plus or a minus.
func balance() store.Gate {
	return store.Gate{Name: "balance", Judge: func(_ context.Context, c *store.Case) error {
		account := store.Region{Entity: c.Proposal.At.Entity}
		c.Require(account)
		total := 0
		for e, err := range c.Read(account) {
			if err != nil {
				return err
			}
			total += worth(string(e.Payload))
		}
		if raw, _ := c.Proposal.Payload.(store.Raw); total+worth(string(raw.Data)) < 0 {
			return errOverdraft
		}
		return nil
	}}
}

func worth(data string) int { return strings.Count(data, "+") - strings.Count(data, "-") }

func gatesAreCertain(x *scene) {
	const callers, rounds = 4, 12
	require.NoError(x, inParallel(callers, func(i int) error {
		for round := range rounds {
			data := "-"
			if (i+round)%3 == 0 {
				data = "+"
			}
			_, err := x.Writer.Append(x.ctx, store.At("account:1", "bank"), store.Any, store.Raw{Type: "money.moved", Data: []byte(data)})
			if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrDenied) {
				return err
			}
		}
		return nil
	}))
	total := 0
	for _, e := range x.seen(store.Region{}) {
		total += worth(string(e.Payload))
		require.GreaterOrEqual(x, total, 0, "two verdicts rested on the same money")
	}
}

func gatesBesideFences(x *scene) {
	f, data := x.fence(), func(data string) store.Batch {
		return store.Batch{Events: []store.Proposal{money("account:1", data)}}
	}
	x.stage(f, "account:2")
	for _, c := range []struct {
		data string
		want error
	}{{"+", nil}, {"-", nil}, {"-", store.ErrDenied}} {
		_, err := x.Writer.Commit(x.ctx, data(c.data))
		require.ErrorIs(x, err, c.want, "what others have committed counts before it is visible")
	}
	_, err := f.Stage(x.ctx, data("++"))
	require.NoError(x, err)
	_, err = f.Stage(x.ctx, data("-"))
	require.NoError(x, err, "stages see each other")
	_, err = x.Writer.Commit(x.ctx, data("+"))
	require.ErrorIs(x, err, store.ErrReserved, "whether it is published is not known")
	require.NoError(x, f.Publish(x.ctx))
	for _, want := range []error{nil, store.ErrDenied} {
		_, err = x.Writer.Commit(x.ctx, data("-"))
		require.ErrorIs(x, err, want)
	}
}
