package admin

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// metricsPage is the operation that Prometheus asks for: v1/metrics, in its text format. It needs
// no library, and costs what a Status costs. Labels are names of workers and of states, which the
// program has written; never entities, keys or events, of which there are any number.
type metricsPage struct{}

func (metricsPage) path() string  { return "metrics" }
func (metricsPage) needs() Access { return Read }

func (metricsPage) serve(w http.ResponseWriter, r *http.Request, s *Surface) {
	if s.here == nil {
		refuse(w, http.StatusNotImplemented, fail(Refused, "ask that process", "the metrics of another process are not passed on"))
		return
	}
	status, err := s.here.status(r.Context())
	if err != nil {
		refuse(w, httpStatus(CodeOf(err)), said(err))
		return
	}
	sagas, err := s.here.sagas()
	if err != nil {
		refuse(w, httpStatus(CodeOf(err)), said(err))
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_ = writeMetrics(w, status, s.here.st.Stats(), sagas)
}

// exposition writes metrics. The first error of the writer stays.
type exposition struct {
	to *bufio.Writer
}

func writeMetrics(w io.Writer, status Status, t store.Stats, sagas []SagaStatus) error {
	x := exposition{bufio.NewWriter(w)}
	x.store(status, t)
	x.workers(status.Workers)
	x.sagas(sagas)
	return x.to.Flush()
}

// metric begins one.
func (x exposition) metric(name, kind, help string) {
	_, _ = fmt.Fprintf(x.to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// value writes a sample; labels are pairs of a name and a value.
func (x exposition) value(name string, v float64, labels ...string) {
	_, _ = x.to.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		separator := ","
		if i == 0 {
			separator = "{"
		}
		_, _ = fmt.Fprintf(x.to, `%s%s="%s"`, separator, labels[i], escape(labels[i+1]))
	}
	if len(labels) > 0 {
		_ = x.to.WriteByte('}')
	}
	_, _ = fmt.Fprintf(x.to, " %s\n", strconv.FormatFloat(v, 'g', -1, 64))
}

func (x exposition) single(name, kind, help string, v float64) {
	x.metric(name, kind, help)
	x.value(name, v)
}

// bucketStep is how many buckets of a store.Histogram are one of the page's: so each is twice the
// one before it.
const bucketStep = 4

// histogram writes one, in seconds.
func (x exposition) histogram(name, help string, h store.Histogram) {
	x.metric(name, "histogram", help)
	var below uint64
	i := 0
	for bound, n := range h.Buckets() {
		below += n
		if i++; i%bucketStep == 0 && bound != 1<<63-1 {
			x.value(name+"_bucket", float64(below), "le", strconv.FormatFloat(bound.Seconds(), 'g', -1, 64))
		}
	}
	x.value(name+"_bucket", float64(below), "le", "+Inf")
	x.value(name+"_sum", h.Sum().Seconds())
	x.value(name+"_count", float64(below))
}

func (x exposition) store(status Status, t store.Stats) {
	x.metric("penstock_info", "gauge", "1, with how the log is seen: live, beside another process, or cold.")
	x.value("penstock_info", 1, "mode", string(status.View.Mode))
	x.single("penstock_store_head", "gauge", "Position of the last event.", float64(t.Head))
	x.single("penstock_store_first", "gauge", "Position of the first event that the log has.", float64(t.First))
	x.single("penstock_store_segments", "gauge", "Files that the log is in.", float64(t.Segments))
	x.single("penstock_store_log_bytes", "gauge", "Events and side values on the disk.", float64(t.LogBytes))
	x.single("penstock_store_index_bytes", "gauge", "Indexes on the disk.", float64(t.IndexBytes))
	x.single("penstock_store_superseded_bytes", "gauge", "Side values that were overwritten or deleted.", float64(t.SupersededBytes))
	x.single("penstock_store_side_values", "gauge", "Side values that exist.", float64(t.SideValues))
	if t.FreeBytes >= 0 {
		x.single("penstock_store_free_bytes", "gauge", "What the file system has left.", float64(t.FreeBytes))
	}
	x.single("penstock_store_fences", "gauge", "Fences that are open: the head waits for them.", float64(len(t.Fences)))
	x.single("penstock_store_clock_ahead_seconds", "gauge", "How far the time of events is ahead of the clock.", t.ClockAhead.Seconds())
	x.single("penstock_store_poisoned", "gauge", "1 where a write has failed and no commit is taken.", truth(t.Poisoned))
	if status.View.Mode != Live {
		return
	}
	x.single("penstock_store_commits_total", "counter", "Commits since the store was opened.", float64(t.Commits))
	x.single("penstock_store_events_total", "counter", "Events in them.", float64(t.Events))
	x.single("penstock_store_groups_total", "counter", "Commits that were written and synced together.", float64(t.Groups))
	x.single("penstock_store_refused_total", "counter", "Commits that were answered with an error.", float64(t.Refused))
	x.histogram("penstock_store_sync_seconds", "How long each sync of the log took.", t.Syncs)
	x.histogram("penstock_store_write_seconds", "How long each group took until its callers were answered.", t.Writes)
}

// sample is a metric of each worker.
type sample struct {
	name, kind, help string
	live             bool // it is known of a worker that runs, alone
	of               func(*Worker) float64
}

func samples() []sample {
	return []sample{
		{"position", "gauge", "Position up to which all is handled, or parked.", false, func(w *Worker) float64 { return float64(w.Position) }},
		{"lag_events", "gauge", "Events that wait, counted up to 10,000.", false, func(w *Worker) float64 { return float64(w.Lag.Events) }},
		{"lag_seconds", "gauge", "How long the oldest of them has waited.", false, func(w *Worker) float64 { return time.Duration(w.Lag.Time).Seconds() }},
		{"lag_bytes", "gauge", "How much of the log there is from it on.", false, func(w *Worker) float64 { return float64(w.Lag.Bytes) }},
		{"parked", "gauge", "Events that are parked.", false, func(w *Worker) float64 { return float64(w.Parked) }},
		{"held", "gauge", "Of these, those that wait for another one of their key.", false, func(w *Worker) float64 { return float64(w.Held) }},
		{"paused", "gauge", "1 where an operator lets it rest.", false, func(w *Worker) float64 { return truth(w.Pause != nil) }},
		{"healthy", "gauge", "1 where it needs no operator.", false, func(w *Worker) float64 { return truth(w.Healthy()) }},
		{"stalled", "gauge", "1 where it is behind and does not move.", true, func(w *Worker) float64 { return truth(w.Running.Stalled) }},
		{"failing", "gauge", "Events that failed and are tried again.", true, func(w *Worker) float64 { return float64(len(w.Running.Failing)) }},
		{"handled_total", "counter", "Events handled since the start.", true, func(w *Worker) float64 { return float64(w.Running.Handled) }},
		{"restarts_total", "counter", "Restarts since the start.", true, func(w *Worker) float64 { return float64(w.Running.Restarts) }},
	}
}

func (x exposition) workers(list []Worker) {
	for _, m := range samples() {
		name := "penstock_worker_" + m.name
		x.metric(name, m.kind, m.help)
		for i := range list {
			if w := &list[i]; w.Running != nil || !m.live {
				x.value(name, m.of(w), w.labels()...)
			}
		}
	}
	x.metric("penstock_worker_state", "gauge", "1 for the state that it is in, 0 for the others.")
	for i := range list {
		w := &list[i]
		if w.Running == nil {
			continue
		}
		for state := actors.Starting; state <= drive.Stopped; state++ {
			x.value("penstock_worker_state", truth(w.Running.State == state.String()), append(w.labels(), "state", state.String())...)
		}
	}
}

// sagas writes the number of instances of each life: those of none, too, so that a rule that
// watches for one has something to watch.
func (x exposition) sagas(list []SagaStatus) {
	if len(list) == 0 {
		return
	}
	x.metric("penstock_saga_instances", "gauge", "Instances of a saga, by how far they have come.")
	for _, s := range list {
		for life := saga.Running; life <= saga.Failed && s.Error == ""; life++ {
			x.value("penstock_saga_instances", float64(s.Instances[life]), "saga", s.Name, "life", life.String())
		}
	}
}

// labels are those of a worker: its name, and the groups above it.
func (w *Worker) labels() []string {
	labels := []string{"worker", w.Name}
	if w.Running != nil {
		group, _, _ := strings.Cut(w.Running.Path, "/"+w.Name)
		labels = append(labels, "group", group)
	}
	return labels
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// escape writes a label's value as the format wants it.
func escape(value string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value)
}
