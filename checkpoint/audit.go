package checkpoint

import (
	"strings"
	"time"

	"github.com/penstock-io/penstock/store"
)

// What was done to a worker or to an event of it, as the action of an [Audit].
const (
	AuditParked    = "parked"     // an event failed for good and was set aside
	AuditSkipped   = "skipped"    // an event failed for good and was given up
	AuditReplay    = "replay"     // parked events are to be handled again
	AuditReplayed  = "replayed"   // a parked event was handled after all
	AuditDiscarded = "discarded"  // a parked event was given up
	AuditPaused    = "paused"     // the worker is to rest
	AuditResumed   = "resumed"    // the worker is to go on
	AuditRewound   = "rewound"    // the worker went back
	AuditReset     = "reset"      // the worker begins anew
	AuditSkippedTo = "skipped-to" // the worker left events out
	AuditWidened   = "widened"    // the worker reads a wider region or more kinds, their past included
	AuditRebound   = "rebound"    // the worker reads another region or other kinds from now on
	AuditDeleted   = "deleted"    // the checkpoint was removed
)

// auditPrefix begins the kinds of audit events.
const auditPrefix = "penstock."

// Audit is an event in the reserved scope that says what was done, at the entity "worker:" and the name of the worker. It is
// committed in the same batch as what it tells of.
type Audit struct {
	Action   string         `json:"-"`
	Worker   ID             `json:"worker"`
	Position store.Position `json:"position,omitempty"` // of the event, or where the worker was
	To       store.Position `json:"to,omitempty"`       // where it was sent
	Key      string         `json:"key,omitempty"`
	Events   int            `json:"events,omitempty"` // how many it concerns
	Reason   string         `json:"reason,omitempty"`
	Error    string         `json:"error,omitempty"`
	Attempts int            `json:"attempts,omitempty"`
	Until    *time.Time     `json:"until,omitempty"`
	Emit     bool           `json:"emit,omitempty"`
	Region   string         `json:"region,omitempty"` // readable
}

// Kind is "penstock." and the action.
func (a Audit) Kind() string { return auditPrefix + a.Action }

// Proposal makes the event.
func (a Audit) Proposal() store.Proposal {
	a.Error, a.Reason = clip(a.Error), clip(a.Reason)
	return store.Audit(string(a.Worker), a)
}

// AuditRegion selects the audit events of a worker, of the actions given or of all.
func AuditRegion(id ID, actions ...string) store.Region {
	r := store.Region{Entity: "worker:" + string(id), Scope: store.ReservedScope}
	for _, action := range actions {
		r.Kinds = append(r.Kinds, auditPrefix+action)
	}
	return r
}

// DecodeAudit reads an audit event.
func DecodeAudit(e store.Event) (Audit, error) {
	a := Audit{Action: strings.TrimPrefix(e.Kind, auditPrefix)}
	err := e.Decode(&a)
	return a, err
}
