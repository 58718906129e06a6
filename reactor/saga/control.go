package saga

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// The calls of operators are inputs of an instance, in the order of the others: they are appended
// as events, who asked and why included, and take effect when the saga runs. One that does not fit
// the instance as it is now is an [ErrUnfit]; one that does not fit any more by then is recorded,
// and has no effect. Each returns the receipt of the event; a dry run appends nothing.

// Cancel has an instance compensate that goes forward, and is not behind its pivot.
func (h *Instances[S]) Cancel(ctx context.Context, key string, r checkpoint.Request) (store.Receipt, error) {
	return h.ask(ctx, key, r, ask{Do: opCancel})
}

// Retry repeats what an instance is stuck at: under the same effect key where the outcome is
// unknown, and under another one where it was refused, as a service may have kept that. What is in
// flight, an action or an undo, is tried now, whatever delay or outage it waits for.
func (h *Instances[S]) Retry(ctx context.Context, key string, r checkpoint.Request) (store.Receipt, error) {
	return h.ask(ctx, key, r, ask{Do: opRetry})
}

// SkipUndo passes over the undo that an instance is stuck at, or that is in flight. It continues to
// undo, and ends as Failed. What an attempt answers that is under way is not looked at.
func (h *Instances[S]) SkipUndo(ctx context.Context, key string, r checkpoint.Request) (store.Receipt, error) {
	return h.ask(ctx, key, r, ask{Do: opSkip})
}

// SettleDone says that an action has happened, with its result: of the type that the action
// returns, nil for the zero value. It is the action that the instance is stuck at, or one behind
// the pivot that is in flight. Of an undo, "undo NAME", which the instance is stuck at or which is
// in flight, it says that it was done otherwise, as by telephone; it has no result. The instance
// continues. What an attempt answers that is under way is not looked at.
func (h *Instances[S]) SettleDone(ctx context.Context, key, action string, result any, r checkpoint.Request) (store.Receipt, error) {
	a := settle(action, done)
	if result != nil {
		data, err := json.Marshal(result)
		if err != nil {
			return store.Receipt{}, fmt.Errorf("saga %s: result of %q: %w", h.saga.name, action, err)
		}
		a.Result = data
	}
	return h.ask(ctx, key, r, a)
}

// SettleRefused says that the action which an instance is stuck at, as its outcome is unknown, has
// not happened, and will not.
func (h *Instances[S]) SettleRefused(ctx context.Context, key, step string, r checkpoint.Request) (store.Receipt, error) {
	return h.ask(ctx, key, r, settle(step, refused))
}

// settle is what is said of an action by its name, or of "undo NAME".
func settle(action string, s status) ask {
	step, undo := strings.CutPrefix(action, undoPrefix)
	return ask{Do: opSettle, Step: step, Undo: undo, Status: s}
}

// Abandon ends an instance as Failed, whatever was not undone.
func (h *Instances[S]) Abandon(ctx context.Context, key string, r checkpoint.Request) (store.Receipt, error) {
	return h.ask(ctx, key, r, ask{Do: opAbandon})
}

// Suspend stops an instance until it is resumed: its inputs are held, and no action of it begins.
func (h *Instances[S]) Suspend(ctx context.Context, key string, r checkpoint.Request) (store.Receipt, error) {
	return h.ask(ctx, key, r, ask{Do: opSuspend})
}

// Resume lets a suspended instance continue: what is in flight and not answered yet is tried now,
// as by [Instances.Retry], and what was held comes before all that comes later.
func (h *Instances[S]) Resume(ctx context.Context, key string, r checkpoint.Request) (store.Receipt, error) {
	return h.ask(ctx, key, r, ask{Do: opResume})
}

// Fire has a timer of an instance fire now.
func (h *Instances[S]) Fire(ctx context.Context, key, timer string, r checkpoint.Request) (store.Receipt, error) {
	return h.ask(ctx, key, r, ask{Do: opFire, Timer: timer})
}

// Purge forgets an instance that has ended, before Saga.Retain is over: its record and its aliases.
// Its key may start again.
func (h *Instances[S]) Purge(ctx context.Context, key string, r checkpoint.Request) (store.Receipt, error) {
	return h.ask(ctx, key, r, ask{Do: opPurge})
}

// fitting returns the record of an instance that a call fits as it is now.
func (h *Instances[S]) fitting(p *program[S], key string, r checkpoint.Request, a *ask) (*record, error) {
	rec, err := h.record(key)
	if err == nil {
		err = r.Validate()
	}
	if err == nil {
		err = rec.fits(a)
	}
	if err != nil && rec != nil && a.Do == opSettle {
		err = fmt.Errorf("%w; %s", err, rec.settleHint())
	}
	if err == nil {
		now := *rec
		d, _, _ := p.take(&now)
		err = d.readable(&now, a)
	}
	if err != nil {
		err = fmt.Errorf("saga %s, key %q: %s: %w", h.saga.name, key, a.Do, err)
	}
	return rec, err
}

// ask appends what an operator asks of the present run of an instance.
func (h *Instances[S]) ask(ctx context.Context, key string, r checkpoint.Request, a ask) (store.Receipt, error) {
	p, err := h.saga.program()
	if err == nil && p.untyped {
		err = fmt.Errorf("saga %s, key %q: %s: %w", p.name, key, a.Do, ErrUndefined)
	}
	if err != nil {
		return store.Receipt{}, err
	}
	rec, err := h.fitting(p, key, r, &a)
	if err != nil || r.DryRun {
		return store.Receipt{}, err
	}
	a.Run, a.By, a.Reason = rec.Run, r.By, r.Reason
	if a.Do == opRetry || a.Do == opSkip || a.Do == opSettle {
		a.About = about(rec)
	}
	raw, err := encode(p.name, whatAsked, a)
	if err != nil {
		return store.Receipt{}, err
	}
	return h.st.Append(ctx, store.At(entity(p.name, key), p.scope), store.Any, raw)
}
