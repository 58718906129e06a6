// Package sagatest tests sagas: what their actions do when they fail in all ways there are, what an
// instance makes of an input, and what a crash leaves.
//
// [EveryFault] is the test that each saga should have. It runs a scenario with each fault of each
// action and undo, also pairs of them, and asks each time whether the world outside is as it must
// be:
//
//	var bank *Bank
//	def := func() *saga.Saga[Order] { bank = NewBank(); return Checkout(bank) }
//	sagatest.EveryFault(t, def, func(run *sagatest.Run[Order]) {
//		run.Given(Placed{Order: "42"})
//		run.Settle()
//	}, func(run *sagatest.Run[Order]) {
//		require.Equal(t, run.Get("42").Life == saga.Completed, bank.Paid("42"), run.Story("42"))
//	})
//
// A [Fault] is seen from the caller: the action was refused, or has failed, or was carried out
// though the caller gets an error, has waited too long, panics or dies. That finds what goes wrong
// in production: an undo that counts on its action having happened, an effect that happens twice.
//
// [Start] runs a saga over a store in memory, as reactortest does, step by step, with faults where
// a test says so ([Run.Fault]); [Run.Story] is what has happened to an instance, as text.
// [Run.Beside] has reactors run beside it that answer it, [Deploy] puts another version of the saga
// in its place while instances are under way, and [Run.Clock] sets the clock. [EveryCrash] cuts the
// power at each operation of the disk. [Given] hands inputs to a saga without a store.
//
// [Compatible] tells whether a saga can continue instances that were exported in production: the
// test that belongs to each change of a definition.
//
// The package starts no goroutine. What differs from a running system is what differs in package
// reactortest; beside that a Hang does not wait: the time of the attempt is over at once.
package sagatest
