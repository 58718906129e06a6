// Package reactortest tests reactors without a disk, without waiting, and without luck.
//
// [React] runs the handlers of one reactor over payloads and gives what they emit: no store, no supervision, no time.
//
//	got := reactortest.React(t, reactor.New("r", reactor.On(stock.placed)), Placed{"42", "lamp"})
//	require.Equal(t, []reactor.Reaction{{At: store.At("stock:lamp", "shop"), Payload: Reserved{"42"}}}, got)
//
// [Start] runs a tree of reactors over a store in memory, with everything that a running system does about failures, but one
// step at a time and on the goroutine of the test. Time moves when the test says so.
//
//	run := reactortest.Start(t, supervision.Group{Name: "shop", Children: []supervision.Child{stock, billing}})
//	run.Given(reactortest.At(store.At("order:42", "shop"), Placed{SKU: "lamp"}))   // appended, handled by nobody yet
//	run.Settle()                                                                   // or Step("stock"), one batch
//	run.Then(Reserved{Order: "42"}, Billed{Order: "42"})                           // emitted since, in order
//	warehouse.down = true
//	run.Given(...); run.Settle()                                                   // run.Status("stock") is Retrying
//	warehouse.down = false
//	run.Advance(time.Minute)                                                       // what falls due is tried again
//
// [Run.Crash] and [Run.CrashAt] cut the power, and [Run.Disk] fails or fills up. [EveryCrash] is the strongest test: it cuts the
// power at each operation of a whole scenario, and wants the same result each time.
//
// What is the same as in package actors: the runner that reads, handles and commits, the judge that answers failures, retries,
// restarts, groups and their strategies, parking, lanes, what an operator does. A test plays the same scripts with both.
//
// What differs:
//   - There is no jitter in the delays.
//   - Nothing happens at the same time. The lanes of a worker take turns, in an order that [Run.Shuffle] draws. What the judge
//     says is done at once, where an actor may handle events of other keys before it hears of it.
//   - The end of a process is the end of the power, and so is an error of the disk other than that it is full.
//   - A handler cannot be interrupted. A Timeout of a reactor still runs on the clock of package time, as do the times of events
//     and of what is parked: in a bubble of testing/synctest a handler that waits for its context is tested without waiting.
//
// Payloads are encoded and decoded again on their way, so a field that JSON does not carry is missed here as it would be in the
// log. To [React] the events are the same at every run: positions 1, 2, 3 and so on, ids made from the position, one
// millisecond between one event and the next, each the first of its chain.
//
// Reactions name the build "reactortest" in their emitter, whatever program tests.
//
// The package must not know actors. It starts no goroutine of its own.
package reactortest
