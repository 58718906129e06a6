package delivery

import (
	"fmt"

	"github.com/penstock-io/penstock/bench/figures"
)

// Sizes of the rows.
type Sizes struct {
	Workers [2]int // that write checkpoints
	Events  int    // of the large log to catch up with
	Orders  int    // that a reactor answers
	Idle    int    // workers of Penstock and actors
	Clients int    // idle workers of contestants that need several goroutines for each
}

// Full is what the rows are meant for.
func Full() Sizes {
	return Sizes{Workers: [2]int{64, 1000}, Events: 1_000_000, Orders: 100_000, Idle: 10_000, Clients: 300}
}

// Quick is what shows that they work.
func Quick() Sizes {
	return Sizes{Workers: [2]int{4, 16}, Events: 20_000, Orders: 4000, Idle: 500, Clients: 50}
}

// smallLog is what a worker catches up with beside the large log.
const smallLog = 10_000

// slowLog is what contestants get that would not come to the end of the large log in their turn.
const slowLog = 300_000

// Names of contestants.
const (
	limit          = "limit"
	penstock       = "Penstock"
	penstockSynced = "Penstock, synced"
	penstockSmall  = "Penstock, small log"
	jsAlways       = "JetStream, sync always"
	jsDefault      = "JetStream, default"
	jsKV           = "JetStream KV, sync always"
	wmMemory       = "Watermill, memory"
	wmSQLite       = "Watermill, SQLite"
	pebbleDB       = "Pebble"
	boltDB         = "bbolt, Batch"
	actorsOne      = "protoactor"
)

// Promises that several contestants make.
const (
	promiseLimit = "synced: one write and fdatasync for all that wait"
	promiseAck   = "the server has noted the acknowledgement in memory; it writes a file per consumer, ten times a second at most"
	promiseMem   = "none: what is under way is lost with the process"
)

// Rows are all rows.
func Rows(s Sizes) []Row {
	return []Row{
		checkpointRow("checkpoints", s.Workers[0]), checkpointRow("checkpoints-many", s.Workers[1]),
		catchUpRow(s.Events), reactorRow(s.Orders), reactionRow(), idleRow(s),
	}
}

func checkpointRow(name string, workers int) Row {
	return Row{
		Name: name, Unit: unitCheckpoints,
		Title: fmt.Sprintf("Checkpoints, %d workers", workers),
		Does:  "each worker handles an event, waits for its checkpoint, takes the next; the others only write 64 bytes",
		Contestants: []Contestant{
			{Name: limit, Durable: true, Promise: promiseLimit, Run: LimitCheckpoints(workers)},
			{
				Name: penstock, Durable: true, Run: PenstockCheckpoints(workers),
				Promise: "checkpoint synced, in the log of the events (`SyncCheckpoints`); the whole actor path",
			},
			{Name: pebbleDB, Durable: true, Promise: "value synced (`pebble.Sync`)", Run: PebbleCheckpoints(workers)},
			{Name: boltDB, Durable: true, Promise: "transaction synced", Run: BoltCheckpoints(workers)},
			{Name: jsKV, Durable: true, Promise: "position synced, by a sync of its own", Run: JetStream{Always: true}.KeyValueCheckpoints(workers)},
		},
	}
}

func catchUpRow(events int) Row {
	def := JetStream{}
	theirs := min(events, slowLog)
	shelf := fmt.Sprintf("watermill-%d", theirs)
	const later = "the position is handed to the operating system at once, and synced within 10 ms"
	return Row{
		Name: "catch-up", Unit: unitEvents,
		Title: fmt.Sprintf("Catching up, %s events", figures.Short(float64(events))),
		Does:  "one worker handles the whole log, 256 bytes each, a checkpoint per 256; limit is Penstock's own Read; the small log has 10 k events",
		Contestants: []Contestant{
			{Name: limit, Durable: true, Promise: "nothing to remember", Prepare: PreparePenstock(events), Run: PenstockRead(events)},
			{Name: penstock, Promise: later, Prepare: PreparePenstock(events), Run: PenstockCatchUp(events, false)},
			{
				Name: penstockSmall, Promise: later, Prepare: PreparePenstock(smallLog), Run: PenstockCatchUp(smallLog, false),
			},
			{
				Name: penstockSynced, Durable: true, Promise: "checkpoint synced per batch of 256 (`SyncCheckpoints`)",
				Prepare: PreparePenstock(events), Run: PenstockCatchUp(events, true),
			},
			{Name: jsDefault, Promise: promiseAck + ", and syncs every two minutes", Prepare: def.PrepareCatchUp(theirs), Run: def.CatchUp(theirs)},
			{
				Name: wmSQLite, Durable: true, Promise: "offset committed and synced per batch of 256",
				Prepare: PrepareWatermill(shelf, theirs, eventPayload), Run: WatermillCatchUp(shelf, theirs),
			},
		},
	}
}

func reactorRow(events int) Row {
	const size = pageEvents
	always, def := JetStream{Always: true}, JetStream{}
	const shelf = "watermill-orders"
	return Row{
		Name: "reactor", Unit: unitEvents,
		Title: fmt.Sprintf("One reactor with JSON, batches of %d", size),
		Does:  "one reaction per event, 250 bytes of JSON in and out, in order; one that is slow is stopped after two turns' time",
		Contestants: []Contestant{
			{
				Name: limit, Durable: true, Promise: "a bare loop with the same JSON: one write and fdatasync per batch",
				Run: LimitReactor(events, size),
			},
			{
				Name: penstock, Durable: true, Run: PenstockReactor(events, size),
				Promise: "a batch of reactions and its checkpoint in one synced write: exactly once",
			},
			{
				Name: jsAlways, Durable: true, Prepare: always.PrepareReactor(events), Run: always.Reactor(events, size),
				Promise: "reactions synced as an atomic batch; the acknowledgement of the input comes after, from memory: at least once",
			},
			{
				Name: jsDefault, Prepare: def.PrepareReactor(events), Run: def.Reactor(events, size),
				Promise: "reactions handed to the operating system, synced every two minutes: at least once",
			},
			{
				Name: wmSQLite, Durable: true, Promise: "a batch of reactions and its offset in one synced transaction: exactly once",
				Prepare: PrepareWatermill(shelf, events, orderPayload), Run: WatermillReactor(shelf, events, size),
			},
			{Name: wmMemory, Promise: promiseMem, Run: WatermillMemory(events)},
		},
	}
}

func reactionRow() Row {
	return Row{
		Name: "reaction", Unit: UnitP50, Less: true, Title: "Append to durable reaction, idle",
		Does: "an order is appended in an idle process; the time until its reaction is acknowledged",
		Contestants: []Contestant{
			{Name: limit, Durable: true, Promise: "two bare writes with an fdatasync each", Run: LimitReaction},
			{Name: penstock, Durable: true, Promise: "order synced; reaction and checkpoint synced, and seen by a reader", Run: PenstockReaction},
			{Name: jsAlways, Durable: true, Promise: "order and reaction synced", Run: JetStream{Always: true, Pipe: true}.Reaction},
			{Name: jsDefault, Promise: "order and reaction handed to the operating system", Run: JetStream{Pipe: true}.Reaction},
			{Name: wmSQLite, Durable: true, Promise: "order synced; reaction and offset synced; polls every ms", Run: WatermillReaction},
		},
	}
}

func idleRow(s Sizes) Row {
	return Row{
		Name: "idle", Unit: unitIdle, Less: true, Title: "An idle worker",
		Does: "workers that wait for events: heap that is reachable and stacks, per worker; x-one and x-none: an append that wakes one of them, beside one in a store with that worker alone, or without any",
		Contestants: []Contestant{
			{Name: limit, Durable: true, Promise: "a goroutine and its channel; appends are bare writes with an fdatasync", Run: LimitIdle(s.Idle)},
			{Name: actorsOne, Promise: promiseMem, Run: ActorIdle(s.Idle)},
			{Name: penstock, Durable: true, Promise: "each has a checkpoint and its supervision", Run: PenstockIdle(s.Idle)},
			{Name: jsDefault, Promise: "each has a consumer and a subscription", Run: JetStream{}.Idle(s.Clients)},
			{Name: wmMemory, Promise: promiseMem, Run: WatermillIdle(s.Clients)},
		},
	}
}
