package drive

import (
	"github.com/penstock-io/penstock/cursor"
)

type commitState uint8

const (
	commitSettled commitState = iota // nothing waits for it
	commitDue                        // Next is about to order it
	commitOrdered
	commitRefused // nothing can be written now: it is tried again when a delay is over
)

// unsettled is what was handled, failed or decided and is not written, or reported, yet.
type unsettled struct {
	commit   commitState
	refusal  error                  // of the last commit, while it is commitRefused
	rare     *rare                  // nil in most workers
	failures []*cursor.HandlerError // of tasks whose commit is not settled
	decided  []Decision             // to park or skip, that the next commit writes
}

// rare is what few workers ever have: it keeps the others small.
type rare struct {
	crash  *cursor.HandlerError // to be reported, in workerCrashed
	nudged []string             // keys, by handlers whose commit is not settled
}

func (u *unsettled) rarely() *rare {
	if u.rare == nil {
		u.rare = new(rare)
	}
	return u.rare
}

// nudge keeps what a handler wants of other keys until its commit is settled.
func (u *unsettled) nudge(keys []string) {
	if len(keys) > 0 {
		u.rarely().nudged = append(u.rarely().nudged, keys...)
	}
}

func (u *unsettled) takeNudged() (keys []string) {
	if u.rare != nil {
		keys, u.rare.nudged = u.rare.nudged, nil
	}
	return keys
}

// due has a commit ordered, unless one is, or was refused.
func (u *unsettled) due() {
	if u.commit == commitSettled {
		u.commit = commitDue
	}
}

// retry has one more try made at a commit that was refused.
func (u *unsettled) retry() {
	if u.commit == commitRefused {
		u.commit = commitDue
	}
}

func (u *unsettled) settle() { u.commit, u.refusal = commitSettled, nil }

func (u *unsettled) refuse(err error) { u.commit, u.refusal = commitRefused, err }

// unwritten reports whether something waits for a commit, which is due then. What was refused is
// not tried again here.
func (u *unsettled) unwritten(e Engine) bool {
	if u.commit != commitSettled || len(u.failures) == 0 && !e.Dirty() {
		return false
	}
	u.due()
	return true
}

// failAsError keeps a panic that is charged like an error.
func (u *unsettled) failAsError(panicked *cursor.HandlerError) {
	failure := *panicked
	failure.Panic = false
	u.failures = append(u.failures, &failure)
}

// dropCrash charges a crash that is not reported any more, because the worker ends anyway.
func (u *unsettled) dropCrash() {
	if crash := u.takeCrash(); crash != nil {
		u.failAsError(crash)
	}
}

func (u *unsettled) takeCrash() *cursor.HandlerError {
	if u.rare == nil {
		return nil
	}
	crash := u.rare.crash
	u.rare.crash = nil
	return crash
}

func (u *unsettled) takeFailures() []*cursor.HandlerError {
	failures := u.failures
	u.failures = nil
	return failures
}

// reportDecided reports what is parked or skipped now that it is written.
func (u *unsettled) reportDecided(to *updates) {
	for _, d := range u.decided {
		to.add(Update{Kind: UpdateDecided, First: d.First, Decision: d})
		if d.Restart {
			to.add(Update{Kind: UpdateRestart})
		}
	}
	u.decided = nil
}

// updates are those that are not handed out yet, oldest first.
type updates []*Update

func (us *updates) add(u Update) { *us = append(*us, &u) }

// take returns the oldest update, nil where there is none.
func (us *updates) take() *Update {
	list := *us
	if len(list) == 0 {
		return nil
	}
	if *us = list[1:]; len(*us) == 0 {
		*us = nil
	}
	return list[0]
}
