package saga

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Explain says in a few lines of text what the instance of a key is doing, what it waits for and
// what would be undone, as for a person who was asked about it. Errors are those of Get.
func (h *Instances[S]) Explain(key string) (string, error) {
	o, err := h.Get(key)
	if err != nil {
		return "", err
	}
	now := h.st.Now()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s (run %d, version %d): %s", h.saga.name, o.Key, o.Run, o.Version, o.Life)
	switch {
	case o.Life.Ended():
		fmt.Fprintf(&b, " at %s, after %s", o.Ended.Format(time.RFC3339), spent(o.Ended.Sub(o.Began)))
	case o.Phase != "":
		fmt.Fprintf(&b, " in %q for %s, since its start for %s", o.Phase, spent(now.Sub(o.Entered)), spent(now.Sub(o.Began)))
	}
	b.WriteString("\n")
	if o.Unrunnable != "" {
		fmt.Fprintf(&b, "  this program cannot continue it: it lacks %s\n", o.Unrunnable)
	}
	if o.Err != nil {
		fmt.Fprintf(&b, "  because: %v\n", o.Err)
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
	return b.String(), nil
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
	for _, s := range o.Steps {
		if s.Status == string(requested) {
			fmt.Fprintf(b, "  in flight: step %q (visit %d, key %s)\n", s.Name, s.Visit, s.Key)
		}
	}
	if o.Waiting {
		b.WriteString("  nothing is in flight: it waits for an event")
		if len(o.Timers) > 0 {
			b.WriteString(" or a timer")
		}
		b.WriteString("\n")
	}
	for _, t := range o.Timers {
		fmt.Fprintf(b, "  timer %q is due in %s\n", t.Name, spent(t.Due.Sub(now)))
	}
	for _, a := range o.Aliases {
		fmt.Fprintf(b, "  is found by %s = %s\n", a[0], a[1])
	}
	if o.Held > 0 {
		fmt.Fprintf(b, "  %d inputs are held\n", o.Held)
	}
	switch o.Life {
	case Stuck:
		b.WriteString("  an operator decides: Retry, SkipUndo, SettleDone, SettleRefused or Abandon\n")
	case Suspended:
		b.WriteString("  an operator has suspended it: Resume\n")
	default:
	}
}

// spent is a duration as people say it.
func spent(d time.Duration) string {
	if d > time.Minute || d < -time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}
