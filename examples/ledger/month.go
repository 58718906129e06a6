package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/store"
)

// closeMonth states the balance of each account at one moment, the same for all, while others go on
// moving money. The fence makes that one step: its first commit reserves all accounts, so that none
// moves until the end, and is where readers wait; so what they see from then on are the balances.
// The others state them. Killed anywhere before Publish returns, the month was closed as a whole or
// not at all.
func closeMonth(ctx context.Context, st *store.Store, month string) error {
	return again(ctx, func() error {
		version, err := st.Version(ctx, monthAt(month).Entity)
		if err == nil && version > 0 {
			return fmt.Errorf("%s is closed already", month)
		}
		if err == nil {
			err = tryClosing(ctx, st, month)
		}
		return err
	})
}

func tryClosing(ctx context.Context, st *store.Store, month string) (err error) {
	fence, err := store.OpenFence(ctx, st, store.FenceOptions{Reason: "close " + month, Deadline: 10 * time.Second})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fence.Cancel(context.WithoutCancel(ctx))) }() // nothing, once published
	reserved, err := reserve(ctx, st, fence, month)
	if err != nil {
		return err
	}
	all, err := balances(ctx, st)
	if err != nil {
		return err
	}
	sum := int64(0)
	for entity, b := range all {
		// An account that was opened in between may have moved since: then this is a conflict.
		expect := store.Exactly(b.version + reserved[entity])
		_, err := fence.Stage(ctx, store.Batch{Events: []store.Proposal{
			{At: store.At(entity, scope), Expect: expect, Payload: balanced{Month: month, Cents: b.cents}},
		}})
		if err != nil {
			return err
		}
		sum += b.cents
	}
	_, err = fence.Stage(ctx, store.Batch{Events: []store.Proposal{
		{At: monthAt(month), Expect: store.Absent, Payload: monthClosed{Accounts: len(all), Cents: sum}},
	}})
	if err != nil {
		return err
	}
	return fence.Publish(ctx)
}

// reserve stages an event of each account in one commit, and returns how many each has.
func reserve(ctx context.Context, st *store.Store, fence *store.Fence, month string) (map[string]uint64, error) {
	known, err := balances(ctx, st)
	if err != nil {
		return nil, err
	}
	var b store.Batch
	reserved := make(map[string]uint64)
	for entity := range known {
		b.Events = append(b.Events, store.Proposal{At: store.At(entity, scope), Payload: closing{Month: month}})
		reserved[entity] = 1
	}
	if len(b.Events) == 0 {
		return nil, errors.New("there are no accounts")
	}
	_, err = fence.Stage(ctx, b)
	return reserved, err
}
