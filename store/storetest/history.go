package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

const (
	historyCount = 10 // unless the environment says otherwise
	historySteps = 60
	maxFences    = 2 // that are open at a time
)

func historyLaws() []law {
	const about = "history"
	return []law{
		{about: about, says: "any history agrees with a plain log", test: anyHistory},
		{about: about, says: "concurrent calls are as if one came after the other", test: linearizable},
		{about: about, says: "a crash in the midst of commits keeps whole ones, and all that were acknowledged", needs: needsCrash, test: crashInMidst},
	}
}

func anyHistory(x *scene) {
	for seed := range seeds(x, historyCount) {
		x.take(x.open())
		h := &history{scene: x, fences: make(map[int]Fence)}
		h.random = rand.New(rand.NewPCG(seed, 0))
		h.sizes = []int{0, 1, 40, 40, 3000, 20_000}
		h.became(emptyLog(x.Writer.Origin()))
		h.knows()
		rarely := []int{1, 2, 6}[h.random.IntN(3)]
		for i := range historySteps {
			about, err := h.deed()
			h.trace = append(h.trace, fmt.Sprintf("%3d %s", i+1, about))
			if i == historySteps-1 || h.oneIn(rarely) { // else the reader has more to catch up with
				err = errors.Join(err, h.log.compare(x.ctx, x.Reader))
			}
			if err != nil {
				x.Fatalf("storetest: %v\n%s\n%s", err, strings.Join(h.trace, "\n"), seedText(seed))
			}
		}
		for _, f := range h.fences {
			_ = f.Cancel(x.ctx)
		}
		require.NoError(x, x.Writer.Close())
	}
}

// history is a random one under way.
type history struct {
	*scene
	generator

	log    *plainLog
	past   []*plainLog // from the last one on that a crash cannot take back
	fences map[int]Fence
	last   int // number of a fence
	trace  []string
}

// knows lets the generator know all.
func (h *history) knows() {
	h.version = func(entity string) uint64 { return h.log.assigned(entity) }
	h.revision = func(side string) uint64 { return h.log.sides[side].Revision }
	h.head = func() store.Position { return store.Position(len(h.log.events)) }
	h.cause = func() store.Causation {
		if len(h.log.events) == 0 {
			return store.Causation{}
		}
		e := h.log.events[h.random.IntN(len(h.log.events))]
		if e.ID == uuid.Nil { // an audit
			return store.Causation{}
		}
		return store.Event{ID: e.ID, Correlation: e.ID, Depth: e.Causation.Depth}.Causation()
	}
}

// deed does something, and returns what, and in what it differs.
func (h *history) deed() (about string, err error) {
	switch n := h.random.IntN(100); {
	case n < 40:
		b := h.batch(!h.oneIn(6), h.oneIn(2))
		if len(b.Events)+len(b.Sides) == 0 {
			b.Events = append(b.Events, h.proposal())
		}
		return h.play(&call{do: doCommit, batch: b})
	case n < 45:
		return h.again()
	case n < 48:
		return h.erase()
	case n < 50:
		return h.retain()
	case n < 60:
		return h.inFence()
	case n < 75:
		return h.read()
	case n < 85:
		return h.lookUp()
	case n < 90:
		return h.list()
	case n < 95 && h.Reopen != nil:
		return "reopen", h.restart(h.Reopen(h), true)
	case n >= 95 && h.Crash != nil:
		return "crash", h.restart(h.Crash(h), false)
	}
	return h.read()
}

// play makes a call, and takes its answer to the plain log.
func (h *history) play(c *call) (about string, err error) {
	a := h.make(c, h.fences[c.fence])
	next, err := h.log.step(c, a)
	if err == nil && next != h.log {
		h.became(next)
	}
	return fmt.Sprint(c, " -> ", a), err
}

func (h *history) became(next *plainLog) {
	if next.durable {
		h.past = nil
	}
	h.log, h.past = next, append(h.past, next)
}

// make makes a call.
func (x *scene) make(c *call, f Fence) *answer {
	a := new(answer)
	switch c.do {
	case doCommit:
		if f == nil {
			a.receipt, a.err = x.Writer.Commit(x.ctx, c.batch)
		} else {
			a.receipt, a.err = f.Stage(x.ctx, c.batch)
		}
	case doPublish:
		a.err = f.Publish(x.ctx)
	case doCancel:
		a.err = f.Cancel(x.ctx)
	case askHead:
		a.number = uint64(x.Reader.Head())
	case askVersion:
		a.number, a.err = x.Reader.Version(x.ctx, c.name)
	case askSide:
		a.side, _, a.err = x.Reader.Side(c.name)
	}
	return a
}

// again repeats a commit with a key, as a caller does who never got the answer.
func (h *history) again() (string, error) {
	keys := slices.Sorted(maps.Keys(h.log.keys))
	if len(keys) == 0 {
		return "no key to repeat", nil
	}
	c := &call{do: doCommit, batch: store.Batch{IdempotencyKey: keys[h.random.IntN(len(keys))]}}
	use := h.log.keys[c.batch.IdempotencyKey]
	for _, recorded := range use.receipt.Events {
		p := h.log.events[recorded.Position-1].Proposal
		p.Expect, p.Meta = store.Absent, nil
		c.batch.Events = append(c.batch.Events, p)
	}
	return h.play(c)
}

// inFence opens, fills, or ends a fence.
func (h *history) inFence() (string, error) {
	if h.OpenFence == nil {
		return h.read()
	}
	if len(h.fences) == 0 || len(h.fences) < maxFences && h.oneIn(3) {
		h.last++
		h.fences[h.last] = h.fence()
		return fmt.Sprint("open fence ", h.last), nil
	}
	open := slices.Sorted(maps.Keys(h.fences))
	c := &call{fence: open[h.random.IntN(len(open))]}
	switch h.random.IntN(6) {
	case 0:
		c.do = doPublish
	case 1:
		c.do = doCancel
	default:
		c.batch = h.batch(true, false)
	}
	about, err := h.play(c)
	if c.do != doCommit {
		delete(h.fences, c.fence)
	}
	return about, err
}

// restart continues with the subject that was opened in place of the one before.
func (h *history) restart(s Subject, clean bool) error {
	h.take(s)
	h.fences = make(map[int]Fence)
	before, candidates := h.log, slices.Clone(h.past)
	if clean {
		candidates = candidates[len(candidates)-1:]
	}
	var differences error
	for _, l := range slices.Backward(candidates) {
		l = l.ended(fenceCancelled, l.openFences()...)
		l.origin, l.sequence, l.durable = h.Writer.Origin(), before.sequence, true
		err := l.compare(h.ctx, h.Reader)
		if l.origin.Store != before.origin.Store {
			err = fmt.Errorf("it is another store: %s, not %s", l.origin, before.origin)
		}
		if err == nil {
			h.became(l)
			return nil
		}
		differences = errors.Join(differences, err)
	}
	return fmt.Errorf("it is none of the %d logs that it might be: %w", len(candidates), differences)
}
