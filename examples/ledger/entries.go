package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/store"
)

// What the ledger says. Customers are entities of their own: what is personal about them stands
// there and nowhere else, so that it can be erased, and the accounts keep their books.

type registered struct{ Name, Email string }

func (registered) Kind() string { return "customer.registered" }

type opened struct{ Customer string }

func (opened) Kind() string { return "account.opened" }

// credited and debited are the two entries of a transfer.
type credited struct{ Cents int64 }

func (credited) Kind() string { return "account.credited" }

type debited struct{ Cents int64 }

func (debited) Kind() string { return "account.debited" }

// closing and balanced close a month for one account, and monthClosed for the ledger.
type closing struct{ Month string }

func (closing) Kind() string { return "account.closing" }

type balanced struct {
	Month string
	Cents int64
}

func (balanced) Kind() string { return "account.balanced" }

type monthClosed struct {
	Accounts int
	Cents    int64 // sum of all balances, which is 0
}

func (monthClosed) Kind() string { return "month.closed" }

const scope = "ledger"

// bank is where money comes from and goes to. It is the only account that may be overdrawn.
const bank = "bank"

func account(name string) store.Coordinate  { return store.At("account:"+name, scope) }
func customer(name string) store.Coordinate { return store.At("customer:"+name, scope) }
func monthAt(month string) store.Coordinate { return store.At("month:"+month, scope) }

// entriesOf are the entries of an account, and of all of them for "account".
func entriesOf(entity string) store.Region {
	return store.Region{Entity: entity, Kinds: []string{credited{}.Kind(), debited{}.Kind()}}
}

// overdraft is the evidence of the gate.
type overdraft struct{ Balance, Cents int64 }

func (o overdraft) Error() string {
	return fmt.Sprintf("a balance of %s does not cover %s", amount(o.Balance), amount(o.Cents))
}

// noOverdrafts denies a debit that the balance does not cover. That the balance is still the same
// when the debit is committed is a condition of the commit: of two debits that race for the same
// money one wins, and the other is a conflict.
func noOverdrafts() store.Gate {
	return store.Gate{
		Name:   "no overdrafts",
		Region: store.Region{Kinds: []string{debited{}.Kind()}},
		Judge: func(_ context.Context, c *store.Case) error {
			var entry debited
			if err := c.Proposal.Decode(&entry); err != nil {
				return err
			}
			at := c.Proposal.At
			if at == account(bank) {
				return nil
			}
			b, err := balanceBefore(c)
			if err != nil {
				return err
			}
			if b.cents < entry.Cents {
				return overdraft{b.cents, entry.Cents}
			}
			c.Require(entriesOf(at.Entity))
			return nil
		},
	}
}

// balanceBefore is what the account of a case has after the log and what precedes it in its batch.
// Entries are never dropped nor erased, so they can be added up.
func balanceBefore(c *store.Case) (b balance, err error) {
	entity := c.Proposal.At.Entity
	for e, err := range c.Read(entriesOf(entity)) {
		if err == nil {
			err = b.add(&e)
		}
		if err != nil {
			return b, err
		}
	}
	for _, p := range c.Earlier {
		if p.At.Entity == entity {
			err = errors.Join(err, b.count(p.Payload.Kind(), p.Decode))
		}
	}
	return b, err
}

// balance is what an account has after the events that were added.
type balance struct {
	cents   int64
	version uint64
}

func (b *balance) add(e *store.Event) error {
	b.version = e.Version
	return b.count(e.Kind, e.Decode)
}

// count adds an event whose content decode reads.
func (b *balance) count(kind string, decode func(any) error) error {
	var entry credited // a debit looks the same
	switch kind {
	case credited{}.Kind():
		err := decode(&entry)
		b.cents += entry.Cents
		return err
	case debited{}.Kind():
		err := decode(&entry)
		b.cents -= entry.Cents
		return err
	}
	return nil
}

// balances reads all accounts.
func balances(ctx context.Context, st *store.Store) (map[string]balance, error) {
	all := make(map[string]balance)
	for e, err := range st.Scan(ctx, store.Region{Entity: "account"}, store.Beginning()) {
		if err != nil {
			return nil, err
		}
		b := all[e.Coordinate.Entity]
		if err := b.add(e); err != nil {
			return nil, err
		}
		all[e.Coordinate.Entity] = b
	}
	return all, nil
}

func amount(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s%d.%02d", sign, cents/100, cents%100)
}

// openAccount registers a customer and opens an account for them, both or none, once.
func openAccount(ctx context.Context, st *store.Store, name, holder string) error {
	_, err := st.Commit(ctx, store.Batch{Events: []store.Proposal{
		{At: account(name), Expect: store.Absent, Payload: opened{Customer: customer(holder).Entity}},
		{At: customer(holder), Payload: registered{Name: holder, Email: holder + "@example.org"}},
	}})
	return err
}

// transfer moves money. With a key it may be tried again: it happens once.
func transfer(ctx context.Context, st *store.Store, from, to string, cents int64, key string) error {
	if cents <= 0 || from == to {
		return fmt.Errorf("transfer %s from %q to %q: there is nothing to move", amount(cents), from, to)
	}
	number := map[string]string{"transfer": key}
	return again(ctx, func() error {
		_, err := st.Commit(ctx, store.Batch{IdempotencyKey: key, Events: []store.Proposal{
			{At: account(from), Payload: debited{Cents: cents}, Headers: number},
			{At: account(to), Payload: credited{Cents: cents}, Headers: number},
		}})
		return err
	})
}

// again repeats what failed because another commit was faster, or because a month is being closed:
// then readers do not see yet what was committed last.
func again(ctx context.Context, commit func() error) error {
	for {
		err := commit()
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrReserved) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}
