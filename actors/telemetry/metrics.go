package telemetry

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
)

// Metrics lets a meter observe a log and the workers of a system: the metrics of package admin's
// page for Prometheus, by the same names, but for those of sagas and for histograms, of which OTel
// can observe none: of these there are count and sum. Each collection costs what
// [store.Store.Stats] and [actors.System.Status] do; in between nothing is done. Attributes are
// names of workers, groups and states, which the program has written; never entities, keys or
// events, of which there are any number. It ends with Unregister.
func Metrics(meter metric.Meter, sys *actors.System, st *store.Store) (metric.Registration, error) {
	m := meters{meter: meter}
	ofStore, ofWorker := m.all(storeMetrics()), m.all(workerMetrics())
	state := m.one("penstock_worker_state", "1 for the state that it is in, 0 for the others.", false)
	if m.err != nil {
		return nil, m.err
	}
	observe := func(_ context.Context, o metric.Observer) error {
		seen := observed{stats: st.Stats()}
		for i, s := range storeMetrics() {
			o.ObserveFloat64(ofStore[i], s.of(&seen))
		}
		workers := sys.Status().Workers
		for k := range workers {
			seen.worker = &workers[k]
			by := labels(seen.worker)
			for i, s := range workerMetrics() {
				o.ObserveFloat64(ofWorker[i], s.of(&seen), metric.WithAttributes(by...))
			}
			for s := actors.Starting; s <= drive.Stopped; s++ {
				is := metric.WithAttributes(append(slices.Clip(by), attribute.String("state", s.String()))...)
				o.ObserveFloat64(state, truth(seen.worker.State == s), is)
			}
		}
		return nil
	}
	return meter.RegisterCallback(observe, m.made...)
}

// meters makes instruments. The first error stays.
type meters struct {
	meter metric.Meter
	made  []metric.Observable
	err   error
}

func (m *meters) all(list []sample) (made []metric.Float64Observable) {
	for _, s := range list {
		made = append(made, m.one(s.name, s.help, s.counts))
	}
	return made
}

func (m *meters) one(name, help string, counts bool) (o metric.Float64Observable) {
	var err error
	if counts {
		o, err = m.meter.Float64ObservableCounter(name, metric.WithDescription(help))
	} else {
		o, err = m.meter.Float64ObservableGauge(name, metric.WithDescription(help))
	}
	if m.made = append(m.made, o); m.err == nil {
		m.err = err
	}
	return o
}

// observed is what there is to observe: the log, and one worker after the other.
type observed struct {
	stats  store.Stats
	worker *actors.WorkerStatus
}

// sample is a metric, and where it is found.
type sample struct {
	name, help string
	counts     bool // else it is a gauge
	of         func(*observed) float64
}

func storeMetrics() []sample {
	const prefix = "penstock_store_"
	return []sample{
		{prefix + "head", "Position of the last event.", false, func(o *observed) float64 { return float64(o.stats.Head) }},
		{prefix + "first", "Position of the first event that the log has.", false, func(o *observed) float64 { return float64(o.stats.First) }},
		{prefix + "segments", "Files that the log is in.", false, func(o *observed) float64 { return float64(o.stats.Segments) }},
		{prefix + "log_bytes", "Events and side values on the disk.", false, func(o *observed) float64 { return float64(o.stats.LogBytes) }},
		{prefix + "index_bytes", "Indexes on the disk.", false, func(o *observed) float64 { return float64(o.stats.IndexBytes) }},
		{prefix + "superseded_bytes", "Side values that were overwritten or deleted.", false, func(o *observed) float64 { return float64(o.stats.SupersededBytes) }},
		{prefix + "side_values", "Side values that exist.", false, func(o *observed) float64 { return float64(o.stats.SideValues) }},
		{prefix + "free_bytes", "What the file system has left, -1 where that cannot be told.", false, func(o *observed) float64 { return float64(o.stats.FreeBytes) }},
		{prefix + "fences", "Fences that are open: the head waits for them.", false, func(o *observed) float64 { return float64(len(o.stats.Fences)) }},
		{prefix + "clock_ahead_seconds", "How far the time of events is ahead of the clock.", false, func(o *observed) float64 { return o.stats.ClockAhead.Seconds() }},
		{prefix + "poisoned", "1 where a write has failed and no commit is taken.", false, func(o *observed) float64 { return truth(o.stats.Poisoned) }},
		{prefix + "commits_total", "Commits since the store was opened.", true, func(o *observed) float64 { return float64(o.stats.Commits) }},
		{prefix + "events_total", "Events in them.", true, func(o *observed) float64 { return float64(o.stats.Events) }},
		{prefix + "groups_total", "Commits that were written and synced together.", true, func(o *observed) float64 { return float64(o.stats.Groups) }},
		{prefix + "refused_total", "Commits that were answered with an error.", true, func(o *observed) float64 { return float64(o.stats.Refused) }},
		{prefix + "sync_seconds_count", "Syncs of the log.", true, func(o *observed) float64 { return float64(o.stats.Syncs.Count()) }},
		{prefix + "sync_seconds_sum", "How long they took together.", true, func(o *observed) float64 { return o.stats.Syncs.Sum().Seconds() }},
		{prefix + "write_seconds_count", "Groups that were written.", true, func(o *observed) float64 { return float64(o.stats.Writes.Count()) }},
		{prefix + "write_seconds_sum", "How long they took together until their callers were answered.", true, func(o *observed) float64 { return o.stats.Writes.Sum().Seconds() }},
	}
}

func workerMetrics() []sample {
	const prefix = "penstock_worker_"
	return []sample{
		{prefix + "position", "Position up to which all is handled, or parked.", false, func(o *observed) float64 { return float64(o.worker.Position) }},
		{prefix + "lag_events", "Events that wait, counted up to 10,000.", false, func(o *observed) float64 { return float64(o.worker.Lag) }},
		{prefix + "lag_seconds", "How long the oldest of them has waited.", false, func(o *observed) float64 { return o.worker.LagTime.Seconds() }},
		{prefix + "lag_bytes", "How much of the log there is from it on.", false, func(o *observed) float64 { return float64(o.worker.LagBytes) }},
		{prefix + "parked", "Events that are parked.", false, func(o *observed) float64 { return float64(o.worker.Parked) }},
		{prefix + "held", "Of these, those that wait for another one of their key.", false, func(o *observed) float64 { return float64(o.worker.Held) }},
		{prefix + "paused", "1 where an operator lets it rest.", false, func(o *observed) float64 { return truth(o.worker.State == actors.Paused) }},
		{prefix + "stalled", "1 where it is behind and does not move.", false, func(o *observed) float64 { return truth(o.worker.Stalled) }},
		{prefix + "failing", "Events that failed and are tried again, counted up to 100.", false, func(o *observed) float64 { return float64(len(o.worker.Failing)) }},
		{prefix + "handled_total", "Events handled since the start.", true, func(o *observed) float64 { return float64(o.worker.Handled) }},
		{prefix + "restarts_total", "Restarts since the start.", true, func(o *observed) float64 { return float64(o.worker.Restarts) }},
	}
}

// labels are those of a worker: its name, and the groups above it.
func labels(w *actors.WorkerStatus) []attribute.KeyValue {
	group, _, _ := strings.Cut(w.Path, "/"+w.Name)
	return []attribute.KeyValue{attribute.String("worker", w.Name), attribute.String("group", group)}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
