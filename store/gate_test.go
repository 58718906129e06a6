package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// moved is money that comes to an account, or leaves it.
type moved struct{ Cents int }

func (moved) Kind() string { return "money.moved" }

// overdraftError is the evidence of a gate.
type overdraftError struct{ Balance int }

func (e *overdraftError) Error() string { return fmt.Sprintf("the balance would be %d", e.Balance) }

// overdraft denies what would leave less than nothing in an account.
func overdraft() store.Gate {
	return store.Gate{Name: "overdraft", Region: store.Region{Entity: "account", Kinds: []string{"money.moved"}}, Judge: judgeBalance}
}

func judgeBalance(_ context.Context, c *store.Case) error {
	account := store.Region{Entity: c.Proposal.At.Entity}
	c.Require(account)
	var m moved
	if err := c.Proposal.Decode(&m); err != nil {
		return err
	}
	balance := m.Cents
	for _, earlier := range c.Earlier {
		if err := earlier.Decode(&m); err != nil {
			return err
		}
		if earlier.At == c.Proposal.At {
			balance += m.Cents
		}
	}
	for e, err := range c.Read(account) {
		if err != nil {
			return err
		}
		var m moved
		if err := e.Decode(&m); err != nil {
			return err
		}
		balance += m.Cents
	}
	if balance < 0 {
		return &overdraftError{Balance: balance}
	}
	return nil
}

func openGated(t *testing.T, gates ...store.Gate) *store.Store {
	t.Helper()
	st, err := storetest.Open(store.Options{Gates: gates})
	require.NoError(t, err)
	t.Cleanup(func() { _ = st.Close() })
	return st
}

var account = store.At("account:1", "bank")

func TestAGateDeniesWithItsEvidenceAndNothingIsWritten(t *testing.T) {
	ctx := t.Context()
	st := openGated(t, overdraft(), store.Gate{Name: "round", Judge: func(_ context.Context, c *store.Case) error {
		if c.Proposal.Payload.(moved).Cents%5 != 0 {
			return errors.New("not round")
		}
		return nil
	}})
	r, err := st.Append(ctx, account, store.Absent, moved{Cents: 10})
	require.NoError(t, err)
	require.Equal(t, []store.Verdict{
		{Gate: "overdraft", Outcome: store.Allowed}, {Gate: "round", Outcome: store.Allowed},
	}, r.Verdicts)

	_, err = st.Commit(ctx, store.Batch{
		Events: []store.Proposal{
			{At: account, Payload: moved{Cents: -10}},
			{At: account, Payload: moved{Cents: -3}},
			{At: account, Payload: moved{Cents: 1}},
		},
		Sides: []store.SideWrite{{Key: "seen", Value: []byte("yes")}},
	})
	require.ErrorIs(t, err, store.ErrDenied)
	var denied *store.DeniedError
	require.ErrorAs(t, err, &denied)
	require.Equal(t, 1, denied.Event)
	require.Equal(t, "account:1", denied.Entity)
	require.Equal(t, []store.Verdict{
		{Gate: "overdraft", Event: 0, Outcome: store.Allowed},
		{Gate: "round", Event: 0, Outcome: store.Allowed},
		{Gate: "overdraft", Event: 1, Outcome: store.Denied, Evidence: "the balance would be -3"},
		{Gate: "round", Event: 1, Outcome: store.Denied, Evidence: "not round"},
	}, denied.Verdicts, "all that is wrong with the first event that is denied")
	var evidence *overdraftError
	require.ErrorAs(t, err, &evidence)
	require.Equal(t, -3, evidence.Balance)
	require.EqualError(t, err, `store: event at "account:1" is denied by gate "overdraft": the balance would be -3, by gate "round": not round`)
	require.EqualValues(t, 1, st.Head())
	_, found, err := st.Side("seen")
	require.NoError(t, err)
	require.False(t, found)
}

func TestAGateJudgesOnlyItsRegionAndNoAuditEvent(t *testing.T) {
	ctx := t.Context()
	judged := 0
	never := func(context.Context, *store.Case) error { judged++; return errors.New("no") }
	st := openGated(t, store.Gate{Name: "category", Region: store.Region{Category: "money"}, Judge: never},
		store.Gate{Name: "scope", Region: store.Region{Scope: "bank"}, Judge: never})

	_, err := st.Append(ctx, store.At("account:1", "shop"), store.Any, store.Raw{Type: "order.placed"})
	require.NoError(t, err)
	audit := store.Audit("worker:w", store.Raw{Type: "penstock.worker.paused"})
	_, err = st.Commit(ctx, store.Batch{Events: []store.Proposal{audit}})
	require.NoError(t, err)
	_, err = st.Commit(ctx, store.Batch{Sides: []store.SideWrite{{Key: "k"}}})
	require.NoError(t, err)
	require.Zero(t, judged)

	for _, p := range []store.Proposal{
		{At: store.At("account:1", "shop"), Payload: moved{}},
		{At: store.At("order:1", "bank"), Payload: store.Raw{Type: "order.placed"}},
	} {
		_, err = st.Commit(ctx, store.Batch{Events: []store.Proposal{p}})
		require.ErrorIs(t, err, store.ErrDenied)
	}
	require.Equal(t, 2, judged)
}

func TestABypassPassesAndItsReasonIsKeptWithTheEvent(t *testing.T) {
	ctx := t.Context()
	st := openGated(t, overdraft())
	r, err := st.Commit(ctx, store.Batch{Events: []store.Proposal{{
		At: account, Payload: moved{Cents: -7}, Bypass: "agreed with the branch", Meta: map[string]string{"trace": "1"},
	}}})
	require.NoError(t, err)
	require.Equal(t, []store.Verdict{{Gate: "overdraft", Outcome: store.Bypassed, Evidence: "the balance would be -7"}}, r.Verdicts)

	e, err := st.GetAt(ctx, r.Position())
	require.NoError(t, err)
	require.Equal(t, "agreed with the branch", e.Bypass())
	require.Equal(t, "1", e.Meta()["trace"])
	r, err = st.Append(ctx, account, store.Any, moved{Cents: 8})
	require.NoError(t, err)
	e, err = st.GetAt(ctx, r.Position())
	require.NoError(t, err)
	require.Empty(t, e.Bypass())
}

func TestMetaOfAnEventThatPassedByABypassCanBeHandedOn(t *testing.T) {
	ctx := t.Context()
	st := openGated(t, overdraft())
	for _, meta := range []map[string]string{{"trace": "1"}, nil} {
		cause := store.Proposal{At: account, Payload: moved{Cents: -7}, Bypass: "agreed", Meta: meta}
		r, err := st.Commit(ctx, store.Batch{Events: []store.Proposal{cause}})
		require.NoError(t, err)
		e, err := st.GetAt(ctx, r.Position())
		require.NoError(t, err)
		require.Equal(t, meta, e.Meta())
		require.Equal(t, "agreed", e.Bypass())

		effect := store.Proposal{At: store.At("letter:1", "bank"), Payload: store.Raw{Type: "letter"}, Meta: e.Meta(), Causation: e.Causation()}
		r, err = st.Commit(ctx, store.Batch{Events: []store.Proposal{effect}})
		require.NoError(t, err)
		e, err = st.GetAt(ctx, r.Position())
		require.NoError(t, err)
		require.Equal(t, meta, e.Meta())
		require.Empty(t, e.Bypass(), "what passed was the cause")
	}
}

func TestTheReasonForABypassIsAPlainTextAndItsNameIsReserved(t *testing.T) {
	st := openGated(t)
	for _, p := range []store.Proposal{
		{At: account, Payload: moved{}, Bypass: "two\nlines"},
		{At: account, Payload: moved{}, Bypass: strings.Repeat("x", 1025)},
		{At: account, Payload: moved{}, Meta: map[string]string{"penstock.bypass": "forged"}},
	} {
		_, err := st.Commit(t.Context(), store.Batch{Events: []store.Proposal{p}})
		require.ErrorIs(t, err, store.ErrInvalid)
	}
	require.Zero(t, st.Head())
}

func TestAGateThatPanicsDenies(t *testing.T) {
	st := openGated(t, store.Gate{Name: "broken", Judge: func(context.Context, *store.Case) error { panic("no table") }})
	_, err := st.Append(t.Context(), account, store.Any, moved{})
	require.ErrorIs(t, err, store.ErrDenied)
	require.ErrorContains(t, err, "the gate panicked: no table")
	require.Zero(t, st.Head())
}

func TestEvidenceWithoutATextDenies(t *testing.T) {
	st := openGated(t, store.Gate{Name: "broken", Judge: func(context.Context, *store.Case) error { return (*overdraftError)(nil) }})
	_, err := st.Append(t.Context(), account, store.Any, moved{})
	require.ErrorIs(t, err, store.ErrDenied)
	require.ErrorContains(t, err, "the gate panicked")
	require.Zero(t, st.Head())
	r, err := st.Commit(t.Context(), store.Batch{Events: []store.Proposal{{At: account, Payload: moved{}, Bypass: "known"}}})
	require.NoError(t, err)
	require.Equal(t, store.Bypassed, r.Verdicts[0].Outcome)
}

func TestAGateThatRequiresWhatIsNoRegionGivesNoVerdict(t *testing.T) {
	st := openGated(t, store.Gate{Name: "unsure", Judge: func(_ context.Context, c *store.Case) error {
		c.Require(store.Region{MinVersion: 2, MaxVersion: 1})
		return nil
	}})
	_, err := st.Append(t.Context(), account, store.Any, moved{})
	require.ErrorIs(t, err, store.ErrInvalid)
	require.ErrorContains(t, err, `gate "unsure"`)
	require.Zero(t, st.Head())
}

func TestAGateWhoseContextEndsOrWhoseReadingFailsGivesNoVerdict(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	st := openGated(t, store.Gate{Name: "slow", Judge: func(context.Context, *store.Case) error {
		cancel()
		return errors.New("no")
	}})
	_, err := st.Append(ctx, account, store.Any, moved{})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, store.ErrDenied)
	require.NotErrorIs(t, err, store.ErrOutcomeUnknown, "nothing was queued")

	st = openGated(t, store.Gate{Name: "reader", Judge: func(_ context.Context, c *store.Case) error {
		for _, err := range c.Read(store.Region{Entity: "a\nb"}) {
			_ = err // a gate may forget it
		}
		return nil
	}})
	_, err = st.Append(t.Context(), account, store.Any, moved{})
	require.ErrorIs(t, err, store.ErrInvalid)
	require.ErrorContains(t, err, `gate "reader"`)
	require.Zero(t, st.Head())
}

func TestARepeatedCommitGetsItsReceiptThoughItWouldBeDeniedNow(t *testing.T) {
	ctx := t.Context()
	st := openGated(t, overdraft())
	_, err := st.Append(ctx, account, store.Any, moved{Cents: 10})
	require.NoError(t, err)
	payment := store.Batch{IdempotencyKey: "payment-1", Events: []store.Proposal{{At: account, Payload: moved{Cents: -10}}}}
	first, err := st.Commit(ctx, payment)
	require.NoError(t, err)
	again, err := st.Commit(ctx, payment)
	require.NoError(t, err)
	require.True(t, again.Duplicate)
	require.Equal(t, first.Events, again.Events)
	require.Nil(t, again.Verdicts)

	payment.IdempotencyKey = "payment-2"
	_, err = st.Commit(ctx, payment)
	require.ErrorIs(t, err, store.ErrDenied)
	_, err = st.Append(ctx, account, store.Any, moved{Cents: 10})
	require.NoError(t, err)
	r, err := st.Commit(ctx, payment)
	require.NoError(t, err, "a key of what was denied is not used up")
	require.False(t, r.Duplicate)
}

func TestWhatAGateRequiresStaysAsItWasRequired(t *testing.T) {
	var st *store.Store
	st = openGated(t, store.Gate{Name: "alone", Region: store.Region{Entity: "account"}, Judge: func(ctx context.Context, c *store.Case) error {
		kinds := []string{"order.placed"}
		c.Require(store.Region{Kinds: kinds})
		kinds[0] = "order.paid"                                                                           // it is the gate's
		_, err := st.Append(ctx, store.At("order:1", "shop"), store.Any, store.Raw{Type: "order.placed"}) // as another caller
		return err
	}})
	_, err := st.Append(t.Context(), account, store.Any, moved{})
	require.ErrorIs(t, err, store.ErrConflict)
	require.EqualValues(t, 1, st.Head())
}

func TestOfTwoPaymentsThatAreJudgedAtOnceOnePasses(t *testing.T) {
	ctx := t.Context()
	var judged sync.WaitGroup // both judge before either is committed
	gate := overdraft()
	gate.Judge = func(ctx context.Context, c *store.Case) error {
		err := judgeBalance(ctx, c)
		if c.Head > 0 {
			judged.Done()
			judged.Wait()
		}
		return err
	}
	st := openGated(t, gate)
	_, err := st.Append(ctx, account, store.Any, moved{Cents: 10})
	require.NoError(t, err)
	judged.Add(2)
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := st.Append(ctx, account, store.Any, moved{Cents: -10})
			errs <- err
		}()
	}
	one, other := <-errs, <-errs
	require.ErrorIs(t, errors.Join(one, other), store.ErrConflict)
	require.True(t, one == nil || other == nil)
	require.EqualValues(t, 2, st.Head())
}

func TestWhatIsSubmittedIsJudged(t *testing.T) {
	st := openGated(t, overdraft())
	answers := make(chan error, 2)
	var verdicts []store.Verdict
	for _, cents := range []int{5, -6} {
		store.Submit(st, store.Batch{Events: []store.Proposal{{At: account, Payload: moved{Cents: cents}}}}, func(r store.Receipt, err error) {
			verdicts = append(verdicts, r.Verdicts...)
			answers <- err
		})
	}
	require.NoError(t, <-answers)
	require.ErrorIs(t, <-answers, store.ErrDenied)
	require.Len(t, verdicts, 1)
}

func TestGatesThatCannotJudgeAreRefusedByOpen(t *testing.T) {
	judge := func(context.Context, *store.Case) error { return nil }
	for _, gates := range [][]store.Gate{
		{{Judge: judge}},
		{{Name: "a\x00", Judge: judge}},
		{{Name: "a"}},
		{{Name: "a", Judge: judge}, {Name: "a", Judge: judge}},
		{{Name: "a", Judge: judge, Region: store.Region{Kinds: []string{""}}}},
		{{Name: "a", Judge: judge, Region: store.Region{Scope: store.ReservedScope}}},
		{{Name: "a", Judge: judge, Region: store.Region{MaxVersion: 1}}},
	} {
		_, err := storetest.Open(store.Options{Gates: gates})
		require.ErrorIs(t, err, store.ErrInvalid)
		require.NotErrorIs(t, err, fs.ErrNotExist)
	}
}

func TestAGateJudgesByWhatIsCommittedAndByWhatIsStagedBeforeInTheSameFence(t *testing.T) {
	ctx := t.Context()
	st := openGated(t, overdraft())
	f, err := store.OpenFence(ctx, st, store.FenceOptions{Deadline: store.MaxFenceDeadline})
	require.NoError(t, err)
	stage := func(cents int) error {
		_, err := f.Stage(ctx, store.Batch{Events: []store.Proposal{{At: account, Payload: moved{Cents: cents}}}})
		return err
	}
	require.NoError(t, stage(10))
	require.NoError(t, stage(-10))
	require.ErrorIs(t, stage(-1), store.ErrDenied)
	other := store.At("account:2", "bank")
	for _, cents := range []int{10, -10, 5} {
		_, err = st.Append(ctx, other, store.Any, moved{Cents: cents})
		require.NoError(t, err, "behind the fence, and not visible yet")
	}
	_, err = st.Append(ctx, other, store.Any, moved{Cents: -6})
	require.ErrorIs(t, err, store.ErrDenied)
	require.Zero(t, st.Head())
	require.NoError(t, f.Publish(ctx))
	require.EqualValues(t, 5, st.Head())
}

// Of a sum over all accounts nothing is certain while an account is in a fence.
func TestWhatAGateRequiresIsReservedWhereAnotherFenceHasIt(t *testing.T) {
	for _, publish := range []bool{true, false} {
		ctx, meanwhile := t.Context(), func() {}
		sum := store.Gate{Name: "at most 10", Judge: func(_ context.Context, c *store.Case) error {
			accounts := store.Region{Entity: "account"}
			c.Require(accounts)
			total := 0
			for e, err := range c.Read(accounts) {
				if err != nil {
					return err
				}
				var m moved
				if err := e.Decode(&m); err != nil {
					return err
				}
				total += m.Cents
			}
			var m moved
			if err := c.Proposal.Decode(&m); err != nil {
				return err
			}
			if meanwhile(); total+m.Cents > 10 {
				return errors.New("too much")
			}
			return nil
		}}
		st := openGated(t, sum)
		f, err := store.OpenFence(ctx, st, store.FenceOptions{Deadline: store.MaxFenceDeadline})
		require.NoError(t, err)
		_, err = f.Stage(ctx, store.Batch{Events: []store.Proposal{{At: account, Payload: moved{Cents: 8}}}})
		require.NoError(t, err)
		other := store.At("account:2", "bank")
		_, err = st.Append(ctx, other, store.Any, moved{Cents: 8})
		require.ErrorIs(t, err, store.ErrReserved)
		require.NotErrorIs(t, err, store.ErrConflict)
		end, want := f.Cancel, error(nil)
		if publish {
			end, want = f.Publish, store.ErrDenied
		}
		require.NoError(t, end(ctx))
		_, err = st.Append(ctx, other, store.Any, moved{Cents: 8})
		require.ErrorIs(t, err, want)

		// The fence ends after the verdict and before the commit.
		f, err = store.OpenFence(ctx, st, store.FenceOptions{Deadline: store.MaxFenceDeadline})
		require.NoError(t, err)
		_, err = f.Stage(ctx, store.Batch{Events: []store.Proposal{{At: store.At("account:3", "bank"), Payload: moved{Cents: 1}}}})
		require.NoError(t, err)
		end, want = f.Cancel, nil
		if publish {
			end, want = f.Publish, store.ErrConflict
		}
		meanwhile = func() {
			meanwhile = func() {}
			require.NoError(t, end(ctx))
		}
		_, err = st.Append(ctx, store.At("account:4", "bank"), store.Any, moved{Cents: 1})
		require.ErrorIs(t, err, want)
	}
}

func TestACaseReadsTheLogUpToItsHeadWhateverIsCommittedMeanwhile(t *testing.T) {
	ctx := t.Context()
	var st *store.Store
	var read []store.Position
	st = openGated(t, store.Gate{Name: "reader", Region: store.Region{Entity: "account"}, Judge: func(_ context.Context, c *store.Case) error {
		for range 2 { // by another caller
			if _, err := st.Append(ctx, store.At("note:1", "bank"), store.Any, moved{}); err != nil {
				return err
			}
		}
		for e, err := range c.Read(store.Region{}) {
			if err != nil {
				return err
			}
			read = append(read, e.Position)
		}
		return nil
	}})
	for range 2 {
		_, err := st.Append(ctx, store.At("note:1", "bank"), store.Any, moved{})
		require.NoError(t, err)
	}
	_, err := st.Append(ctx, account, store.Any, moved{})
	require.NoError(t, err)
	require.Equal(t, []store.Position{1, 2}, read)
	require.EqualValues(t, 5, st.Head())
}
