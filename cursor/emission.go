package cursor

import (
	"runtime/debug"
	"sync"

	"github.com/penstock-io/penstock/store"
)

// WithBuild returns the worker as one of a program of that build, which its reactions name: see
// [store.Event.Emitter]. "" means what the program says of itself: the revision of its sources,
// with "+dirty" where they were modified, "" where it was built without one.
//
// The runners made of the returned value, one after the other, count the runs of the handler at an
// event together: the attempt in a reaction includes those before a restart. Not counted is what a
// runner had handled and could not write before another took its place. A value must not be shared
// by runners that run at the same time.
func (w Worker) WithBuild(build string) Worker {
	if build == "" {
		build = programBuild()
	}
	w.emission = &emission{build: build}
	return w
}

// BuildOf returns the build that [Worker.WithBuild] has set, "" where it did not.
func BuildOf(w *Worker) string {
	if w.emission == nil {
		return ""
	}
	return w.emission.build
}

//nolint:gochecknoglobals // computed once, of what never changes while the program runs.
var programBuild = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return buildOf(info.Settings)
})

func buildOf(settings []debug.BuildSetting) string {
	var revision, suffix string
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			suffix = "+dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + suffix
}

// emitter is that of reactions to what is handled for the first time, in the epoch of an owner.
func (w Worker) emitter(epoch uint64) *store.Emitter {
	return &store.Emitter{Worker: w.Name, Build: w.emission.build, Epoch: epoch, Attempt: 1}
}

func (w Worker) checkBuild() error {
	if w.emission != nil && len(w.emission.build) > MaxBuildBytes {
		return &store.InvalidError{Field: "Build", Limit: MaxBuildBytes, Value: int64(len(w.emission.build))}
	}
	return nil
}

// emission says who emits: the build of the worker, and the number of the run of its handler. It
// outlives a runner. It belongs to the goroutine of the present one: a former runner has finished
// its last task before the next one is made, and does not touch it any more.
type emission struct {
	build string
	probe Probe // set by WithProbe, nil for none; here, where it does not make each worker larger
	// runs counts, of events that are not done, the runs of the handler whose reactions were not
	// committed. An event that succeeds at once is never in it, so that normal running pays
	// nothing.
	runs map[store.Position]uint32
	// given are the events that are given up and not done. It is nil in nearly all workers.
	given map[store.Position]*givenUp
}

// finished counts what a handler came to and is not done with.
func (e *emission) finished(t *Task) {
	if reached := t.reached(); reached > t.good {
		e.lost(t.batch.events[t.good:reached])
	}
}

// committed counts what the store refused of a task, and forgets what it took.
func (e *emission) committed(t *Task) {
	e.lost(t.batch.events[t.committed:t.good])
	e.done(t.batch.events[:t.committed])
}

// lost notes that a run of the handler at these events came to nothing: they are handled again.
func (e *emission) lost(events []store.Event) {
	for i := range events {
		e.count(events[i].Position, e.runs[events[i].Position]+1)
	}
}

func (e *emission) count(event store.Position, runs uint32) {
	if e.runs == nil || len(e.runs) >= maxRuns {
		e.runs = make(map[store.Position]uint32)
	}
	e.runs[event] = runs
}

// done notes that the reactions to these events are committed.
func (e *emission) done(events []store.Event) {
	if len(e.runs) == 0 && len(e.given) == 0 {
		return
	}
	for i := range events {
		delete(e.runs, events[i].Position)
		delete(e.given, events[i].Position)
	}
}
