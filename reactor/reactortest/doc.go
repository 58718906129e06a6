// Package reactortest tests reactors without a disk, without waiting, and with repeatable results.
//
// [React] runs the handlers of one reactor over payloads and returns what they emit: no store, no
// supervision, no time.
//
//	got := reactortest.React(t, reactor.New("r", reactor.On(stock.placed)), Placed{"42", "lamp"})
//	at := store.At("stock:lamp", "shop")
//	require.Equal(t, []reactor.Reaction{{At: at, Payload: Reserved{"42"}}}, got)
//
// [Start] runs a tree of reactors over a store in memory, with everything that a running system
// does about failures, but one step at a time and on the goroutine of the test. Time moves only
// with [Run.Advance].
//
//	shop := supervision.Group{Name: "shop", Children: []supervision.Child{stock, billing}}
//	run := reactortest.Start(t, shop)
//	order := reactortest.At(store.At("order:42", "shop"), Placed{SKU: "lamp"})
//	run.Given(order)                                       // appended, not handled yet
//	run.Settle()                                           // or Step("stock"), one batch
//	run.Then(Reserved{Order: "42"}, Billed{Order: "42"})   // emitted since, in order
//	warehouse.down = true
//	run.Given(order)
//	run.Settle()                                           // run.Status("stock") is Retrying
//	warehouse.down = false
//	run.Advance(time.Minute)                               // what is due is tried again
//
// [Run.Crash] and [Run.CrashAt] cut the power, and [Run.Disk] fails or fills up. Two tests repeat a
// whole scenario: [EveryCrash] cuts the power at each operation, and requires the same result each
// time; [EveryOrder] lets the workers take their steps in the midst of each other's, and requires
// that what the scenario checks holds in any order. Handlers that use the store themselves come
// from a [Program].
//
// [Golden] keeps samples of payloads, which find a change of an encoding that logs do not survive.
//
// What is the same as in package actors: the runner that reads, handles and commits, the judge that
// answers failures, retries, restarts, groups and their strategies, parking, lanes, what an
// operator does. A test plays the same scripts with both.
//
// What differs:
//   - There is no jitter in the delays.
//   - Nothing happens at the same time. The lanes of a worker take turns, in an order that
//     [Run.Shuffle] draws, and workers do, in an order that [EveryOrder] chooses. A verdict takes
//     effect at once, where an actor may handle events of other keys before it receives it.
//   - A crash of the process is a power cut, and so is an error of the disk other than that it is
//     full.
//   - A handler cannot be interrupted. A Timeout of a reactor still runs on the clock of package
//     time: in a bubble of testing/synctest a handler that waits for its context is tested without
//     waiting.
//
// Payloads are encoded and decoded again on their way, as JSON or in the codec of their type, so a
// field that this does not carry is missed here as it would be in the log. [React] makes the same
// events in every run: positions 1, 2, 3 and so on, ids made from the position, one millisecond
// between one event and the next, each the first of its chain.
//
// Reactions name the build "reactortest" in their emitter, whatever the program.
//
// The package must not know actors. It starts no goroutine of its own.
package reactortest
