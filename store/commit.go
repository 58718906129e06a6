package store

import (
	"context"
	"fmt"
)

// Append commits one event. It is [Store.Commit] for the common case, and has its errors.
func (s *Store) Append(ctx context.Context, at Coordinate, expect Expect, payload Payload) (Receipt, error) {
	if err := s.commits(ctx); err != nil {
		return Receipt{}, err
	}
	p := Proposal{At: at, Expect: expect, Payload: payload}
	if len(s.gates) > 0 {
		return s.Commit(ctx, Batch{Events: []Proposal{p}})
	}
	req := s.requests.get()
	return s.commit(ctx, req, req.encodeOne(&p))
}

// Commit makes b part of the log, all of it or nothing, and returns when the promise of the sync
// mode holds.
//
// Errors: [InvalidError] for a field that breaks a rule; [ConflictError] and
// [IdempotencyKeyReusedError] for what the batch required and did not find; [ErrNewerFormat] for an
// idempotency key that a newer version has stored; [DeniedError] by a gate; [ReservedError] for
// what an open [Fence] has; [ErrReadOnly], [ErrClosed], [ErrDiskFull], [ErrBusy]: in all these
// cases nothing was written. When ctx ends while the commit is queued nothing is written either,
// and the error wraps the context's; when it is being written the error wraps [ErrOutcomeUnknown],
// too, and the commit itself continues. A commit that waits looks at ctx from its eighth
// millisecond on. When writing or syncing fails the error wraps [ErrPoisoned] and
// [ErrOutcomeUnknown]; a later call finds [ErrPoisoned] alone.
//
// Many goroutines may call it; those that wait at the same time share one write and one sync. The
// goroutine that happens to do the writing for all is one of the callers, and waits for that write
// even if its ctx ends.
func (s *Store) Commit(ctx context.Context, b Batch) (Receipt, error) {
	if err := s.commits(ctx); err != nil {
		return Receipt{}, err
	}
	req := s.requests.get()
	return s.commit(ctx, req, s.prepare(ctx, req, &b))
}

// commits returns why the store or the context does not let a caller commit.
func (s *Store) commits(ctx context.Context) error {
	if s.options.ReadOnly {
		return ErrReadOnly
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	return nil
}

// commit submits a request, unless err says that there is none.
func (s *Store) commit(ctx context.Context, req *request, err error) (Receipt, error) {
	if err != nil {
		s.requests.put(req)
		return Receipt{}, err
	}
	if err := s.committer.submit(ctx, req); err != nil {
		return Receipt{}, err // the committer may still hold req, so it never returns to the pool
	}
	receipt, err := req.receipt, req.err
	s.requests.put(req)
	return receipt, err
}

// prepare makes req of b, on the caller's goroutine: all that is not the committer's to decide.
func (s *Store) prepare(ctx context.Context, req *request, b *Batch) error {
	if err := req.encode(b, &s.emitters); err != nil || len(s.gates) == 0 {
		return err
	}
	return s.pass(ctx, req, b)
}
