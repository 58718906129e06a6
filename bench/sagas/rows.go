package sagas

import (
	"fmt"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/store"
)

// Sizes of the rows.
type Sizes struct {
	Sagas    int // that Penstock, the limit and Watermill run in a turn
	Others   int // that the others run
	InFlight int // at the same time
}

// Full is what the rows are meant for.
func Full() Sizes { return Sizes{Sagas: 4096, Others: 256, InFlight: 256} }

// Quick is what shows that they work.
func Quick() Sizes { return Sizes{Sagas: 32, Others: 8, InFlight: 8} }

// Names of contestants.
const (
	limit          = "limit"
	penstock       = "Penstock"
	penstockCrash  = "Penstock, process-crash safe"
	dbosFull       = "DBOS, SQLite FULL"
	dbosDefault    = "DBOS, SQLite default"
	goWorkflows    = "go-workflows, SQLite, polls 1 ms"
	goWorkflowsDef = "go-workflows, SQLite, default"
	watermillChain = "Watermill, SQLite, chain"
)

// Promises that several rows make.
const (
	promiseLimit     = "synced: one write and fdatasync for all that wait"
	promisePenstock  = "each step's request, outcome and record synced, exactly once; undo of what was done"
	promiseCrash     = "the same, handed to the operating system at once and synced every 100 ms"
	promiseDBOS      = "each step's result synced (`synchronous=FULL`, a handle of our own); no undo"
	promiseDBOSCrash = "each step's result handed to the operating system (`synchronous=NORMAL`); no undo"
	promiseWorkflows = "each step's event synced; no undo"
	promiseChain     = "each handler's message and offset in a synced transaction, a batch of 256 at a time; no state, no undo"
)

// Rows are all rows.
func Rows(s Sizes) []delivery.Row { return []delivery.Row{stepsRow(s), idleRow(), diskRow(s)} }

func stepsRow(s Sizes) delivery.Row {
	run := func(sagas int, open opener) delivery.Run { return throughput(sagas, s.InFlight, open) }
	return delivery.Row{
		Name: "saga-steps", Unit: unitSagas,
		Title: fmt.Sprintf("Sagas of 3 steps, %d in flight", s.InFlight),
		Does:  "sagas of three steps that do nothing, from the first start to the last end; limit does as many writes one after the other for each",
		Contestants: []delivery.Contestant{
			{Name: limit, Durable: true, Promise: promiseLimit, Run: limitSteps(s.Sagas, s.InFlight)},
			{Name: penstock, Durable: true, Promise: promisePenstock, Run: run(s.Sagas, openPenstock(store.SyncAlways))},
			{Name: penstockCrash, Promise: promiseCrash, Run: run(s.Sagas, openPenstock(store.SyncInterval))},
			{Name: dbosFull, Durable: true, Promise: promiseDBOS, Run: run(s.Others, openDBOS("FULL"))},
			{Name: dbosDefault, Promise: promiseDBOSCrash, Run: run(s.Others, openDBOS(""))},
			{Name: goWorkflows, Durable: true, Promise: promiseWorkflows, Run: run(s.Others, openWorkflows(quickPolls))},
			{Name: watermillChain, Durable: true, Promise: promiseChain, Run: run(s.Sagas, openChain)},
		},
	}
}

func idleRow() delivery.Row {
	return delivery.Row{
		Name: "saga-idle", Unit: delivery.UnitP50, Less: true, Title: "Saga of 3 steps, start to end, idle",
		Does: "a saga is started in an idle process; the time until its end is acknowledged; syncs is that in bare writes with an fdatasync each, taken in turns with it",
		Contestants: []delivery.Contestant{
			{Name: limit, Durable: true, Promise: fmt.Sprintf("%d bare writes with an fdatasync each", writesPerSaga), Run: limitIdle},
			{Name: penstock, Durable: true, Promise: promisePenstock, Run: idle(openPenstock(store.SyncAlways))},
			{Name: penstockCrash, Promise: promiseCrash, Run: idle(openPenstock(store.SyncInterval))},
			{Name: dbosFull, Durable: true, Promise: promiseDBOS, Run: idle(openDBOS("FULL"))},
			{Name: dbosDefault, Promise: promiseDBOSCrash, Run: idle(openDBOS(""))},
			{Name: goWorkflows, Durable: true, Promise: promiseWorkflows, Run: idle(openWorkflows(quickPolls))},
			{Name: goWorkflowsDef, Durable: true, Promise: promiseWorkflows + "; polls every 200 ms", Run: idleFew(openWorkflows(defaultPolls))},
			{Name: watermillChain, Durable: true, Promise: promiseChain, Run: idle(openChain)},
		},
	}
}

func diskRow(s Sizes) delivery.Row {
	run := func(sagas int, open opener) delivery.Run { return disk(sagas, s.InFlight, open) }
	return delivery.Row{
		Name: "saga-disk", Unit: unitDisk, Less: true, Title: "Saga of 3 steps, on the disk",
		Does: "what the files hold after a clean close, for each saga that has ended",
		Contestants: []delivery.Contestant{
			{Name: penstock, Durable: true, Promise: "all events of it and its record, for 30 days", Run: run(s.Sagas, openPenstock(store.SyncNever))},
			{Name: dbosDefault, Promise: "status, input, result and results of steps", Run: run(s.Others, openDBOS("OFF"))},
			{Name: goWorkflows, Durable: true, Promise: "instance and history", Run: run(s.Others, openWorkflows(quickPolls))},
			{Name: watermillChain, Durable: true, Promise: "the message of each handler", Run: run(s.Sagas, openChain)},
		},
	}
}
