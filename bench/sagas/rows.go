package sagas

import (
	"fmt"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/store"
)

// Sizes of the rows.
type Sizes struct {
	Sagas    int // that Penstock, the limit and Watermill run in a turn
	Others   int // that the others run
	InFlight int // at the same time

	Waiting      int // instances of Penstock that wait beside few others
	WaitingInAll int // of each of the others
	Few          int

	Timers int // that are due within a second, and that are overdue
	Inputs int // of one instance

	Killed, KilledOthers int // in flight
}

// Full is what the rows are meant for.
func Full() Sizes {
	return Sizes{
		Sagas: 4096, Others: 256, InFlight: 256, Waiting: 100_000, WaitingInAll: 20_000, Few: 1000,
		Timers: 10_000, Inputs: 100_000, Killed: 10_000, KilledOthers: 1000,
	}
}

// Quick is what shows that they work.
func Quick() Sizes {
	return Sizes{
		Sagas: 32, Others: 8, InFlight: 8, Waiting: 500, WaitingInAll: 30, Few: 20,
		Timers: 100, Inputs: 1000, Killed: 50, KilledOthers: 10,
	}
}

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
func Rows(s Sizes) []delivery.Row {
	return []delivery.Row{
		stepsRow(s), idleRow(), diskRow(s), signalRow(s), waitingRow(s), timerRow(s), overdueRow(s), inputRow(s), killedRow(s),
	}
}

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
			{Name: limit, Durable: true, Promise: fmt.Sprintf("%d bare writes with an fdatasync each", writesPerSaga), Run: limitWrites(writesPerSaga)},
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

func signalRow(s Sizes) delivery.Row {
	return delivery.Row{
		Name: "saga-signal", Unit: delivery.UnitP50, Less: true,
		Title: fmt.Sprintf("Signal to one of %s that wait, idle", figures.Short(float64(s.Few))),
		Does: fmt.Sprintf("a signal is sent in an idle process; the time until it was handled and that is kept; syncs is that in bare writes with an fdatasync; x-few is the same beside %s, or beside %s instances of go-workflows",
			figures.Short(float64(s.Waiting)), figures.Short(float64(s.Few))),
		Contestants: []delivery.Contestant{
			{Name: limit, Durable: true, Promise: "two bare writes with an fdatasync each", Run: limitWrites(2)},
			{
				Name: penstock, Durable: true, Promise: "signal synced; record and an event synced, and seen by a reader",
				Prepare: inPenstock.prepare(s.Few, s.Waiting), Run: inPenstock.signals(delivery.Idly, s.Few, s.Waiting),
			},
			{
				Name: dbosFull, Durable: true, Promise: "message synced; its receipt as a step synced; looks for messages every second",
				Prepare: inDBOS.prepare(s.Few), Run: inDBOS.signals(fewSamples, s.Few),
			},
			{
				Name: goWorkflows, Durable: true, Promise: "signal synced; the history that has it synced",
				Prepare: inGoWorkflows.prepare(1, s.Few), Run: inGoWorkflows.signals(delivery.Idly, 1, s.Few),
			},
		},
	}
}

func waitingRow(s Sizes) delivery.Row {
	return delivery.Row{
		Name: "saga-waiting", Unit: unitMemory, Less: true, Title: "An instance that waits",
		Does: fmt.Sprintf("the log of instances that wait is opened, %s of Penstock, each with a timer and an alias, and %s of DBOS: heap that is reachable and stacks, per instance; goroutines of all; stuck-us to list those that are stuck; open-ms until a signal was handled, in DBOS once all wait again",
			figures.Short(float64(s.Waiting)), figures.Short(float64(s.WaitingInAll))),
		Contestants: []delivery.Contestant{
			{
				Name: penstock, Durable: true, Promise: "record, timer and alias are side values",
				Prepare: inPenstock.prepare(s.Waiting), Run: inPenstock.memory(s.Waiting),
			},
			{
				Name: dbosFull, Durable: true, Promise: "each is a goroutine, started again from its first step",
				Prepare: inDBOS.prepare(s.WaitingInAll), Run: inDBOS.memory(s.WaitingInAll),
			},
		},
	}
}

func timerRow(s Sizes) delivery.Row {
	return delivery.Row{
		Name: "saga-timers", Unit: delivery.UnitP50, Less: true,
		Title: fmt.Sprintf("%s timers due within a second", figures.Short(float64(s.Timers))),
		Does:  "timers of as many instances that are due evenly over a second: how late the handler of each is called",
		Contestants: []delivery.Contestant{
			{Name: limit, Promise: "none: timers of Go that call a function", Run: limitTimers(s.Timers, time.Second)},
			{Name: penstock, Durable: true, Promise: "that it has fired is synced before its handler is called", Run: timers(s.Timers, time.Second)},
		},
	}
}

func overdueRow(s Sizes) delivery.Row {
	return delivery.Row{
		Name: "saga-overdue", Unit: unitTimer, Less: true,
		Title: fmt.Sprintf("%s timers overdue when the log is opened", figures.Short(float64(s.Timers))),
		Does:  "from opening the log until the handlers of all were called, for each; p99-us of signals to other instances meanwhile, x-idle is that to the same after it",
		Contestants: []delivery.Contestant{
			{Name: penstock, Durable: true, Promise: "that it has fired is synced before its handler is called", Run: overdue(s.Timers)},
		},
	}
}

func inputRow(s Sizes) delivery.Row {
	return delivery.Row{
		Name: "saga-inputs", Unit: unitInput, Less: true,
		Title: fmt.Sprintf("Input %s of one instance", figures.Short(float64(s.Inputs))),
		Does:  fmt.Sprintf("signals to one instance, %d appended at once, not synced: what the last ones take; x-first is that to the first ones", inputsOnce),
		Contestants: []delivery.Contestant{
			{Name: penstock, Promise: "record and an event handed to the operating system", Run: inputs(s.Inputs)},
		},
	}
}

func killedRow(s Sizes) delivery.Row {
	return delivery.Row{
		Name: "saga-killed", Unit: unitResumed, Less: true, Title: "Sagas resumed after a kill",
		Does: fmt.Sprintf("a process is killed with the first step of %s sagas in flight, %s in DBOS: from opening what it leaves until that step of each was attempted again, for each; ended-ms until the last step of each was",
			figures.Short(float64(s.Killed)), figures.Short(float64(s.KilledOthers))),
		Contestants: []delivery.Contestant{
			{Name: penstock, Durable: true, Promise: promisePenstock, Run: killed("penstock", s.Killed)},
			{Name: dbosFull, Durable: true, Promise: promiseDBOS, Run: killed("dbos", s.KilledOthers)},
		},
	}
}
