// Package supervision decides what happens after a failure, and nothing else: it holds the shape of
// a supervision tree and the arithmetic of restarts, as plain values. The same failures at the same
// times always lead to the same verdicts.
//
// Most programs need only [Group], [Policy] and the directives [RetryAfter], [Wait], [Park], [Skip]
// and [Halt]: the tree that package actors runs, how its workers are retried, and what a handler
// may say about its error. The rest is for programs that run trees themselves.
//
//	Group "shop"  OneForOne                    started top to bottom, stopped bottom to top
//	  |-- "reserve-stock"  Policy{...}
//	  |-- Group "search"
//	        |-- "index"
//
//	    a failure of one child               its Judge                verdict
//
//	error at an event  ---------->  ladder of that event  ----->  Retry after Delay
//	                                  | attempts used up  ----->  Park, Skip or Halt (Exhausted)
//	panic at an event  ---------->  ladder of that event  ----->  Restart after Delay
//	  | at more than three events     | attempts used up  ----->  Park, Skip or Halt (Exhausted)
//	  v
//	failure without an event  --->  Intensity within Period  -->  Restart after Delay
//	                                  | over budget  ---------->  Halt or Escalate (OverBudget)
//	no attempt (full disk, ...)  >  backoff without end  ------>  Retry after Delay
//	Wait(err)  ------------------>  the same
//	RetryAfter(d, err)  --------->  any of the above, but Delay = d
//	Park(err), Skip(err) at an event  ------------------------->  Park, Skip
//	Halt(err)  ------------------------------------------------>  Halt
//
// Errors at events of several keys with nothing handled in between are those of what they depend
// on, an outage, rather than of the events: [OutagePolicy] says when. The program that runs the
// tree finds out, and reports to the Judge only what is left when it is over.
//
// A tree is described with [Group] and [Child] and checked with [Group.Validate]. Each running
// child has one [Judge], over all its restarts: the program that runs the tree reports failures and
// successes to it and does what the [Verdict] says.
//
// What it must not know: actors, the store, what an event contains, how a child is started or
// stopped, and what time it is. Every time is a passed [time.Time], every random number comes from
// a passed function.
//
// It starts no goroutine, takes no lock and owns no timer. Values ([Group], [Spec], [Policy],
// [Backoff]) may be shared freely once built; a [Judge] belongs to one goroutine. Nothing is kept
// on disk: after a crash of the process every child begins with a new Judge.
package supervision
