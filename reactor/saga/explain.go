package saga

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Explain says in a few lines of text what the instance of a key is doing, what it waits for, what
// would be undone and what an operator can call now, as for a person who was asked about it. How
// often an action in flight was attempted is not in the log: the status of the worker NAME.do tells
// that, in the system that runs it. Errors are those of Get.
func (h *Instances[S]) Explain(key string) (string, error) {
	rec, err := h.record(key)
	if err != nil {
		return "", fmt.Errorf("saga %s, key %q: %w", h.saga.name, key, err)
	}
	o, err := h.Get(key)
	if err != nil {
		return "", err
	}
	now := h.st.Now()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s (run %d, version %d): %s\n", h.saga.name, o.Key, o.Run, o.Version, o.come(now))
	b.WriteString(o.program(h.saga.untyped))
	if o.Err != nil {
		fmt.Fprintf(&b, "  because: %v\n", o.Err)
	}
	if o.Blocked != nil {
		fmt.Fprintf(&b, "  %v\n  once that is mended: System.Replay or System.Discard of the event\n", o.Blocked)
	}
	h.explainWaits(&b, &o, now)
	if len(o.ToUndo) > 0 && !o.Life.Ended() {
		fmt.Fprintf(&b, "  to undo, in this order: %s\n", strings.Join(o.ToUndo, ", "))
	}
	if back := o.undone(); len(back) > 0 {
		fmt.Fprintf(&b, "  undone: %s\n", strings.Join(back, ", "))
	}
	if len(o.Skipped) > 0 {
		fmt.Fprintf(&b, "  not undone: %s\n", strings.Join(o.Skipped, ", "))
	}
	if calls := calls(rec); len(calls) > 0 && !o.Life.Ended() {
		fmt.Fprintf(&b, "  an operator can call: %s\n", strings.Join(calls, ", "))
	}
	return b.String(), nil
}

// program says whether a program can continue it, as far as that is known.
func (o *Instance[S]) program(untyped bool) string {
	switch {
	case untyped && o.Unrunnable != "":
		return fmt.Sprintf("  its program could not continue it when the last input came: it lacked %s\n", o.Unrunnable)
	case untyped && !o.Life.Ended():
		return "  it is seen without its program: whether that can continue it is not known\n"
	case o.Unrunnable != "":
		return fmt.Sprintf("  this program cannot continue it: it lacks %s\n", o.Unrunnable)
	}
	return ""
}

// come says how far it has come.
func (o *Instance[S]) come(now time.Time) string {
	in := ""
	if o.Phase != "" {
		in = fmt.Sprintf(" in %q for %s,", o.Phase, spent(now.Sub(o.Entered)))
	}
	switch {
	case o.Life.Ended():
		return fmt.Sprintf("%s at %s, after %s", o.Life, o.Ended.Format(time.RFC3339), spent(o.Ended.Sub(o.Began)))
	case o.Life != Running && o.Phase != "":
		in = fmt.Sprintf(" after %q,", o.Phase)
	}
	return fmt.Sprintf("%s%s since its start for %s", o.Life, in, spent(now.Sub(o.Began)))
}

// undone are the steps that were undone, in the order of that.
func (o *Instance[S]) undone() (steps []string) {
	for _, s := range slices.Backward(o.Steps) {
		if s.Status == string(undone) {
			steps = append(steps, s.Name)
		}
	}
	return steps
}

// explainWaits says what an instance waits for.
func (h *Instances[S]) explainWaits(b *strings.Builder, o *Instance[S], now time.Time) {
	for _, a := range o.InFlight {
		fmt.Fprintf(b, "  in flight: %s (key %s)\n", a, a.Key)
	}
	if len(o.InFlight) > 0 {
		fmt.Fprintf(b, "  attempts, their last error and the next one: see the status of %s%s\n", h.saga.name, effectsSuffix)
	}
	if o.Waiting {
		b.WriteString("  nothing is in flight: it waits for an event")
		if len(o.Timers) > 0 {
			b.WriteString(" or a timer")
		}
		b.WriteString("\n")
	}
	for _, t := range o.Timers {
		if left := t.Due.Sub(now); left >= 0 {
			fmt.Fprintf(b, "  timer %q is due in %s\n", t.Name, spent(left))
		} else {
			fmt.Fprintf(b, "  timer %q is overdue for %s\n", t.Name, spent(-left))
		}
	}
	for _, a := range o.Aliases {
		fmt.Fprintf(b, "  is found by %s = %s\n", a[0], a[1])
	}
	switch o.Held {
	case 0:
	case 1:
		b.WriteString("  1 input is held\n")
	default:
		fmt.Fprintf(b, "  %d inputs are held\n", o.Held)
	}
}

// calls are those of operators that fit the instance as it is, by the names of the methods of
// [Instances], with the action or the timer that they need.
func calls(r *record) (list []string) {
	add := func(a *ask, call string) {
		if r.fits(a) == nil {
			list = append(list, call)
		}
	}
	add(&ask{Do: opRetry}, "Retry")
	add(&ask{Do: opSkip}, "SkipUndo")
	list = append(list, settlements(r)...)
	add(&ask{Do: opCancel}, "Cancel")
	for _, t := range r.timers() {
		add(&ask{Do: opFire, Timer: t.Name}, fmt.Sprintf("Fire(%q)", t.Name))
	}
	add(&ask{Do: opSuspend}, "Suspend")
	add(&ask{Do: opResume}, "Resume")
	add(&ask{Do: opAbandon}, "Abandon")
	return list
}

// settlements are the calls that say what has happened and fit the instance as it is.
func settlements(r *record) (list []string) {
	add := func(call, step string, undo bool, s status) {
		if r.fits(&ask{Do: opSettle, Step: step, Undo: undo, Status: s}) == nil {
			list = append(list, fmt.Sprintf("%s(%q)", call, Attempt{Step: step, Undo: undo}.String()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Steps)) {
		add("SettleDone", name, false, done)
		add("SettleRefused", name, false, refused)
	}
	if u := r.atUndo(); u != nil {
		add("SettleDone", u.Step, true, done)
	}
	return list
}

// settleHint says which calls would fit in place of one that says what has happened and does not.
func (r *record) settleHint() string {
	if fit := settlements(r); len(fit) > 0 {
		return "what fits is " + strings.Join(fit, " or ")
	}
	return "there is nothing to settle: no undo is in flight or stuck, and no outcome is asked for"
}

// spent is a duration as people say it.
func spent(d time.Duration) string {
	if d > time.Minute || d < -time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}
