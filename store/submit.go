package store

import (
	"context"
	"errors"
)

// errGateExit is the answer where a gate, or a payload that is encoded, panics or ends the
// goroutine of Submit.
var errGateExit = errors.New("store: a gate or a payload has ended the goroutine that commits")

// Submit is [Store.Commit] for callers that do not wait for the answer: of these there may be very
// many, without a goroutine for each. It returns once b is queued, or refused; b may be changed
// then. answer is called once, with what Commit would have returned, and maybe before Submit
// returns. What is queued is not taken back: it is written, or refused. If the process dies before
// the answer, b is in the log or not.
//
// answer runs on the goroutine that commits, and holds up all that commit: it must return within
// microseconds, wait for nothing, and call neither Commit nor Submit nor [Store.Close].
//
// As in Commit, the calling goroutine may happen to do the writing for all that commit at the time:
// then it returns after that. The store has one goroutine while others that submitted wait and no
// caller is there to write; it ends with the last answer.
func Submit(s *Store, b Batch, answer func(Receipt, error)) {
	if s.options.ReadOnly {
		answer(Receipt{}, ErrReadOnly)
		return
	}
	req, prepared := s.requests.get(), false
	defer func() {
		if !prepared {
			answer(Receipt{}, errGateExit)
		}
	}()
	err := s.prepare(context.Background(), req, &b)
	prepared = true
	leads := false
	if req.answer = answer; err == nil {
		leads, _, err = s.committer.enqueue(req)
	}
	switch {
	case err != nil:
		req.receipt, req.err = Receipt{}, err
		s.committer.tell(req)
	case leads:
		s.committer.lead(req)
		s.committer.tell(req)
	}
}
