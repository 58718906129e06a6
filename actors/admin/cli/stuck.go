package cli

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// Stuck is what does not proceed, and what helps.
type Stuck struct {
	View     admin.View `json:"view"`
	Troubles []Trouble  `json:"troubles"`
}

// Trouble is one thing that does not proceed.
type Trouble struct {
	Worker string     `json:"worker,omitempty"` // "" for the whole system
	What   string     `json:"what"`             // one of the words of troubles
	Means  string     `json:"means"`
	Since  *time.Time `json:"since,omitempty"`
	Code   string     `json:"code,omitempty"` // of the reason, where a process said it
	Why    string     `json:"why,omitempty"`
	// The event that it is about, where it is about one.
	Event   store.Position `json:"event,omitempty"`
	Key     string         `json:"key,omitempty"`
	Attempt int            `json:"attempt,omitempty"`
	Due     *time.Time     `json:"due,omitempty"`  // when it is tried again
	More    int            `json:"more,omitempty"` // events, or instances, that it is about, too
	// Stack is where the handler is that does not return.
	Stack string `json:"stack,omitempty"`
	// Helps are the commands to type next.
	Helps []string `json:"helps,omitempty"`
}

// The words of troubles.
const (
	systemStopped = "stopped"
	unreadable    = "unreadable"
	stalled       = "stalled"
	failing       = "failing"
	hasParked     = "parked"
	resting       = "paused"
	slow          = "slow"
	undecided     = "undecided"
)

// meanings say what a trouble means for the events of the worker.
func meanings() map[string]string {
	return map[string]string{
		systemStopped:              "no worker runs; the program has to be started again once the cause is gone",
		unreadable:                 "what the log keeps of this worker cannot be read",
		stalled:                    "its handler does not return; what follows waits",
		failing:                    "the event failed and is tried again by itself; its key waits",
		hasParked:                  "the events are kept apart until they are replayed or discarded; the others are handled",
		slow:                       "its handler has been at one call for long; what follows it waits",
		undecided:                  "an instance of the saga is stuck until a person decides about it; the others continue",
		resting:                    "it rests until the time, or until it is resumed",
		actors.Halted.String():     "its policy has ended it; it stays so until it is resumed, or the program starts again",
		actors.Full.String():       "so much is parked that it reads no new events",
		actors.Outage.String():     "what its handler calls cannot be reached; it continues by itself once that answers",
		actors.Restarting.String(): "it has crashed and is about to be started again",
	}
}

// Schema implements [render.Answer].
func (s *Stuck) Schema() string { return "stuck" }

func (s *Stuck) exit() int {
	if slices.ContainsFunc(s.Troubles, func(t Trouble) bool { return t.What != resting && t.What != slow }) {
		return exitFinding
	}
	return exitFine
}

// Items implements [render.List].
func (s *Stuck) Items() iter.Seq[render.Answer] {
	return each(s.Troubles, func(one Trouble) render.Answer { return &one })
}

// Text implements [render.Answer].
func (s *Stuck) Text(p *render.Page) {
	header(p, s.View)
	if len(s.Troubles) == 0 {
		p.Line(render.Good.In("nothing is stuck"))
	}
	for i := range s.Troubles {
		p.Line()
		s.Troubles[i].Text(p)
	}
}

// Schema implements [render.Answer].
func (t *Trouble) Schema() string { return "trouble" }

// Text implements [render.Answer].
func (t *Trouble) Text(p *render.Page) {
	tone := render.Bad
	if t.What == resting || t.What == failing || t.What == slow {
		tone = render.Warning
	}
	p.Line(render.Strong.In(t.Worker), tone.In(t.What), render.Of(t.Code), render.Of(ago(p, t.Since)))
	p.Line(render.Of("  " + t.Means))
	if t.Why != "" {
		p.Block("  why: ", render.Clip(t.Why, 2_000), render.Usual)
	}
	if t.What == undecided {
		p.Line(render.Of("  instance " + t.Key))
	}
	if t.Event != 0 {
		at := fmt.Sprintf("  event %d", t.Event)
		if t.Key != "" {
			at += " of key " + t.Key
		}
		if t.Attempt > 0 {
			at += fmt.Sprintf(", attempt %d", t.Attempt)
		}
		if t.Due != nil {
			at += ", tried again " + p.In(*t.Due)
		}
		p.Line(render.Of(at))
	}
	if t.More > 0 {
		of := "more event"
		if t.What == undecided {
			of = "more instance"
		}
		p.Line(render.Of("  and " + render.Count(t.More, of)))
	}
	if t.Stack != "" {
		p.Line(render.Of("  its handler is at"))
		p.Block("    ", handlerFrames(t.Stack), render.Faint)
	}
	for _, command := range t.Helps {
		p.Line(render.Faint.In("  try:"), render.Of(command))
	}
}

func ago(p *render.Page, since *time.Time) string {
	if since == nil {
		return ""
	}
	return "for " + p.Since(*since)
}

// stands reports whether something needs a person before it proceeds.
func stands(s *admin.Status) bool {
	return s.Error != "" || slices.ContainsFunc(s.Workers, func(w admin.Worker) bool {
		r := w.Running
		return w.Error != "" || r != nil && (r.Stalled || r.State == actors.Halted.String() || r.State == actors.Full.String())
	})
}

func stuckCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "stuck", short: "Say what does not proceed, why, and which command helps",
		long: "It ends with exit code 5 where there is something, but for workers that were paused, and handlers that are slow.",
		run: func(c *call) (render.Answer, error) {
			s, err := c.surface()
			if err != nil {
				return nil, err
			}
			at, err := s.Status(c.ctx)
			if err != nil {
				return nil, err
			}
			out := &Stuck{View: c.seen(at.View), Troubles: []Trouble{}}
			if at.Error != "" {
				out.Troubles = append(out.Troubles, Trouble{What: systemStopped, Why: at.Error, Helps: []string{c.next("store", "verify")}})
			}
			for i := range at.Workers {
				found, err := c.troubles(c.ctx, s, &at.Workers[i])
				if err != nil {
					return nil, err
				}
				out.Troubles = append(out.Troubles, found...)
			}
			found, err := c.undecided(s)
			if err != nil {
				return nil, err
			}
			out.Troubles = append(out.Troubles, found...)
			for i := range out.Troubles {
				out.Troubles[i].Means = meanings()[out.Troubles[i].What]
			}
			return out, nil
		},
	})
}

// troubles are those of one worker.
func (c *call) troubles(ctx context.Context, s *admin.Surface, w *admin.Worker) (out []Trouble, err error) {
	if w.Error != "" {
		out = append(out, Trouble{Worker: w.Name, What: unreadable, Why: w.Error, Helps: []string{c.next("worker", "show", w.Name)}})
	}
	if w.Running != nil {
		running := c.running(w)
		for i := range running {
			if running[i].What == stalled || running[i].What == slow {
				if running[i].Stack, err = s.Stack(ctx, w.Name); err != nil {
					return nil, err
				}
			}
		}
		out = append(out, running...)
	}
	if w.Pause != nil {
		out = append(out, Trouble{
			Worker: w.Name, What: resting, Since: &w.Pause.Since, Why: w.Pause.Reason, Due: w.Pause.Until,
			Helps: []string{c.next("worker", "resume", w.Name, "--reason", "…")},
		})
	}
	if w.Parked == 0 {
		return out, nil
	}
	for p, err := range s.Parked(ctx, admin.ParkedQuery{Selection: admin.Selection{Max: 1}, Worker: w.Name}) {
		if err != nil {
			return out, err
		}
		out = append(out, Trouble{
			Worker: w.Name, What: hasParked, Since: &p.Since, Why: p.Error, Event: p.Position, Key: p.Key, Attempt: p.Attempts,
			More: w.Parked - 1, Helps: []string{
				c.next("parked", "show", w.Name, fmt.Sprint(p.Position)), c.next("why", fmt.Sprint(p.Position)),
				c.next("parked", "ls", w.Name), c.next("parked", "replay", w.Name, fmt.Sprint(p.Position), "--dry-run"),
			},
		})
	}
	return out, nil
}

// undecided are the sagas that have instances which are stuck.
func (c *call) undecided(s *admin.Surface) (out []Trouble, err error) {
	sagas, err := s.Sagas(c.ctx)
	for _, one := range sagas {
		n := one.Instances[saga.Stuck]
		if n == 0 {
			continue
		}
		stuck := admin.InstanceQuery{Saga: one.Name, Life: []string{saga.Stuck.String()}, Limit: 1}
		for o, err := range s.Instances(c.ctx, stuck) {
			if err != nil {
				return out, err
			}
			out = append(out, Trouble{
				Worker: one.Name, What: undecided, Since: &o.Since, Why: cmp.Or(o.Err, o.Damage), Key: o.Key, More: n - 1,
				Helps: []string{c.next("explain", one.Name, o.Key), c.next("saga", "instances", one.Name, "--life", saga.Stuck.String())},
			})
		}
	}
	return out, err
}

// slowAfter is how long a handler may be at one call before stuck names it.
const slowAfter = 10 * time.Second

// oldest is the call that has not returned for longest, nil for none.
func oldest(list []actors.Handling) (one *actors.Handling) {
	for i := range list {
		if one == nil || list[i].Since.Before(one.Since) {
			one = &list[i]
		}
	}
	return one
}

// running are the troubles that only the process knows.
func (c *call) running(w *admin.Worker) (out []Trouble) {
	r := w.Running
	show := c.next("worker", "show", w.Name)
	one := Trouble{Worker: w.Name, What: r.State, Since: &r.Since, Why: r.Why(), Attempt: r.Attempt, Helps: []string{show}}
	if r.Reason != nil {
		one.Code, one.Event, one.Key = string(r.Reason.Code), r.Reason.Event, r.Reason.Key
	}
	longest := oldest(r.InFlight)
	switch {
	case r.Stalled, longest != nil && c.now().Sub(longest.Since) >= slowAfter:
		one.What = slow
		if r.Stalled {
			one.What, one.Event, one.Key = stalled, w.Lag.Oldest, w.Lag.OldestKey
		}
		if longest != nil {
			one.Event, one.Key, one.Attempt, one.Since = cmp.Or(longest.Event, longest.First), longest.Key, longest.Attempt, &longest.Since
			one.Helps = []string{c.next("worker", "interrupt", w.Name, "--reason", "…"), c.next("worker", "stack", w.Name), show}
		}
		out = append(out, one)
	case r.State == actors.Halted.String():
		one.Helps = []string{c.next("worker", "resume", w.Name, "--reason", "…"), show}
		out = append(out, one)
	case r.State == actors.Full.String() || r.State == actors.Outage.String() || r.State == actors.Restarting.String():
		out = append(out, one)
	}
	const most = 5
	for i, f := range r.Failing {
		if i == most {
			break
		}
		out = append(out, Trouble{
			Worker: w.Name, What: failing, Code: string(f.Reason.Code), Why: f.Reason.Text, Event: f.Event, Key: f.Key, Attempt: f.Attempt, Due: f.Due,
			Helps: []string{c.next("get", fmt.Sprint(f.Event)), c.next("why", fmt.Sprint(f.Event))},
		})
	}
	if more := len(r.Failing) + r.MoreFailing - most; more > 0 {
		out[len(out)-1].More = more
	}
	return out
}
