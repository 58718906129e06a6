package cursor

import (
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

func (w Worker) validate() error {
	check := func(field string, err error) error {
		if err == nil {
			return nil
		}
		return &workerError{worker: w.Name, field: field, err: err}
	}
	return errors.Join(
		check("Spec", w.Spec().Validate()),
		check("Formerly", w.checkFormerly()),
		check("Region", w.Region.Validate()),
		check("Kinds", w.checkKinds()),
		check("Handle", w.checkHandle()),
		check("BatchSize", w.checkBatchSize()),
		check("Lanes", checkRange("Lanes", w.Lanes, maxLanes)),
		check("Gaps", checkRange("Gaps", w.Gaps, maxGaps)),
		check("MaxParkedKeys", checkRange("MaxParkedKeys", w.MaxParkedKeys, mostParked)),
		check("MaxParked", checkRange("MaxParked", w.MaxParked, mostParked)),
		check("Timeout", w.checkTimeout()),
		check("Rate", w.checkRate()),
		check("Build", w.checkBuild()),
		check("ExternalPosition", w.checkExternal()),
		check("Stateful", w.excludesOthers("Stateful", w.Stateful)),
		check("GiveUp", w.excludesOthers("GiveUp", w.GiveUp != nil)),
		check("Open", w.checkOpen()),
		check("Resolve", w.checkResolve()),
	)
}

func (w Worker) checkFormerly() error {
	if w.Volatile && len(w.Formerly) > 0 {
		return &store.InvalidError{Field: "Formerly", Rule: "excludes Volatile"}
	}
	if n := len(w.Formerly); n > checkpoint.MaxFormerNames {
		return &store.InvalidError{Field: "Formerly", Limit: checkpoint.MaxFormerNames, Value: int64(n)}
	}
	for _, id := range w.formerIDs() {
		if err := id.Validate(); err != nil {
			return err
		}
	}
	return nil
}

func (w Worker) checkHandle() error {
	if w.Handle == nil {
		return &store.InvalidError{Field: "Handle", Rule: "must not be nil"}
	}
	return nil
}

func (w Worker) checkBatchSize() error { return checkRange("BatchSize", w.BatchSize, MaxBatchSize) }

func (w Worker) checkTimeout() error {
	if w.Timeout < 0 {
		return &store.InvalidError{Field: "Timeout", Rule: "must not be negative", Value: w.Timeout}
	}
	return nil
}

// checkExternal requires one place only where the position is kept, and a single order of events to
// keep it by.
func (w Worker) checkExternal() error {
	switch {
	case w.ExternalPosition == nil:
		return nil
	case w.Volatile:
		return &store.InvalidError{Field: "ExternalPosition", Rule: "excludes Volatile"}
	case w.Lanes > 1:
		return &store.InvalidError{Field: "ExternalPosition", Rule: "excludes Lanes"}
	case w.NewKinds == checkpoint.NewKindsBackfill:
		return &store.InvalidError{Field: "ExternalPosition", Rule: "excludes NewKindsBackfill"}
	}
	return nil
}

// checkKinds requires every handled kind to lie inside the region, since none of the others would
// ever come.
func (w Worker) checkKinds() error {
	handled := w.Region
	for _, kind := range w.Kinds {
		handled.Kinds, handled.Category = []string{kind}, ""
		if !w.Region.Contains(handled) {
			return &store.InvalidError{Field: "Kinds", Rule: "lies outside the region of the worker", Value: kind}
		}
	}
	return errors.Join(store.Region{Kinds: w.Kinds}.Validate(), w.checkHandled())
}

// checkHandled requires that Handle has code for every kind that is read: a change of the region
// may name others, or none, which means all.
func (w Worker) checkHandled() error {
	if len(w.handled) == 0 {
		return nil
	}
	reads := w.narrowed()
	if (store.Region{Kinds: w.handled}).Contains(store.Region{Kinds: reads.Kinds, Category: reads.Category}) {
		return nil
	}
	return &store.InvalidError{Field: "Kinds", Rule: "must be among those that have handlers", Value: fmt.Sprint(reads.Kinds)}
}
