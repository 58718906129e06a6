package sagatest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// plan is what one run of [EveryFault] does.
type plan struct {
	faults map[string]Fault // by the names of their actions
	order  uint64           // seed of that of actions at the same time, 0 for that of the log
	outage bool             // a fault that lasts may be taken for an outage
}

// with is a plan with one fault more.
func (p plan) with(action string, f Fault) plan {
	more := maps.Clone(p.faults)
	if more == nil {
		more = make(map[string]Fault)
	}
	more[action] = f
	p.faults = more
	return p
}

// String is what PENSTOCK_FAULT repeats: charge=lie*1,undo reserve=refuse,order=7,outage.
func (p plan) String() string {
	var parts []string
	for _, action := range slices.Sorted(maps.Keys(p.faults)) {
		parts = append(parts, action+"="+p.faults[action].String())
	}
	if p.order != 0 {
		parts = append(parts, "order="+strconv.FormatUint(p.order, 10))
	}
	if p.outage {
		parts = append(parts, "outage")
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ",")
}

// parsePlan reads what String returns. An action named order has a fault, not a number.
func parsePlan(text string) (p plan, err error) {
	if text == "none" {
		return p, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		if part == "outage" {
			p.outage = true
			continue
		}
		action, value, ok := strings.Cut(part, "=")
		seed, isSeed := strconv.ParseUint(value, 10, 64)
		if ok && action == "order" && isSeed == nil {
			p.order = seed
			continue
		}
		f, err := parseFault(value)
		if !ok || err != nil {
			return p, fmt.Errorf("%q is no ACTION=FAULT, order=NUMBER or outage", part)
		}
		p = p.with(action, f)
	}
	return p, nil
}
