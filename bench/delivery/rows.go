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
	return Sizes{Workers: [2]int{64, 1000}, Events: 1_000_000, Orders: 200_000, Idle: 10_000, Clients: 1000}
}

// Quick is what shows that they work.
func Quick() Sizes {
	return Sizes{Workers: [2]int{4, 16}, Events: 20_000, Orders: 4000, Idle: 500, Clients: 50}
}

// smallLog is what a worker catches up with beside the large log.
const smallLog = 10_000

// Names of contestants.
const (
	limit          = "limit"
	penstock       = "Penstock"
	penstockSynced = "Penstock, synced"
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
		checkpointRow(s.Workers[0], 100_000), checkpointRow(s.Workers[1], 200_000),
		catchUpRow(smallLog), catchUpRow(s.Events),
		reactorRow(s.Orders, pageEvents), reactorRow(s.Orders, 1000), reactionRow(),
		idleRow(s), hopRow(s.Events),
	}
}

func checkpointRow(workers int, wanted float64) Row {
	always, def := JetStream{Always: true}, JetStream{}
	return Row{
		Name: fmt.Sprintf("checkpoints-%d", workers), Unit: unitCheckpoints,
		Title: fmt.Sprintf("Checkpoints, %d workers", workers),
		Does:  "each worker handles an event, waits for its checkpoint, takes the next; limit, Pebble and bbolt only write 64 bytes",
		Contestants: []Contestant{
			{Name: limit, Durable: true, Promise: promiseLimit, Run: LimitCheckpoints(workers)},
			{
				Name: penstock, Durable: true, Run: PenstockCheckpoints(workers),
				Promise: "checkpoint synced, in the log of the events (`SyncCheckpoints`); the whole actor path",
			},
			{Name: pebbleDB, Durable: true, Promise: "value synced (`pebble.Sync`)", Run: PebbleCheckpoints(workers)},
			{Name: boltDB, Durable: true, Promise: "transaction synced", Run: BoltCheckpoints(workers)},
			{Name: jsKV, Durable: true, Promise: "position synced, by a sync of its own", Run: always.KeyValueCheckpoints(workers)},
			{Name: jsAlways, Promise: promiseAck, Run: always.Checkpoints(workers)},
			{Name: jsDefault, Promise: promiseAck + ", and syncs every two minutes", Run: def.Checkpoints(workers)},
		},
		Targets: []Target{
			{Name: "Penstock " + unitCheckpoints, Relation: ">=", Bound: wanted, Of: reached(unitCheckpoints)},
			{Name: "× limit", Of: ratio(unitCheckpoints, penstock, limit)},
			{Name: "× Pebble", Of: ratio(unitCheckpoints, penstock, pebbleDB)},
			{Name: "× bbolt", Of: ratio(unitCheckpoints, penstock, boltDB)},
			{Name: "× JetStream KV, sync always", Of: ratio(unitCheckpoints, penstock, jsKV)},
		},
	}
}

func catchUpRow(events int) Row {
	always, def := JetStream{Always: true}, JetStream{}
	shelf := fmt.Sprintf("watermill-%d", events)
	const later = "the position is handed to the operating system at once, and synced within 10 ms"
	r := Row{
		Name: fmt.Sprintf("catch-up-%d", events), Unit: unitEvents,
		Title: fmt.Sprintf("Catching up, %s events", figures.Short(float64(events))),
		Does:  "one worker handles the whole log, 256 bytes each, a checkpoint per 256; limit is Penstock's own Read",
		Contestants: []Contestant{
			{Name: limit, Durable: true, Promise: "nothing to remember", Prepare: PreparePenstock(events), Run: PenstockRead(events)},
			{Name: penstock, Promise: later, Prepare: PreparePenstock(events), Run: PenstockCatchUp(events, false)},
			{
				Name: penstockSynced, Durable: true, Promise: "checkpoint synced per batch of 256 (`SyncCheckpoints`)",
				Prepare: PreparePenstock(events), Run: PenstockCatchUp(events, true),
			},
			{Name: jsAlways, Promise: promiseAck, Prepare: always.PrepareCatchUp(events), Run: always.CatchUp(events)},
			{Name: jsDefault, Promise: promiseAck + ", and syncs every two minutes", Prepare: def.PrepareCatchUp(events), Run: def.CatchUp(events)},
			{
				Name: wmSQLite, Durable: true, Promise: "offset committed and synced per batch of 256",
				Prepare: PrepareWatermill(shelf, events, eventPayload), Run: WatermillCatchUp(shelf, events),
			},
		},
		Targets: []Target{
			{Name: "× JetStream, default", Relation: ">=", Bound: 5, Of: ratio(unitEvents, penstock, jsDefault)},
			{Name: "× JetStream, sync always", Relation: ">=", Bound: 5, Of: ratio(unitEvents, penstock, jsAlways)},
			{Name: "synced × Watermill, SQLite", Of: ratio(unitEvents, penstockSynced, wmSQLite)},
			{Name: "× limit", Of: ratio(unitEvents, penstock, limit)},
		},
	}
	if events == smallLog {
		return r
	}
	small := penstock + ", small log"
	r.Contestants = append(r.Contestants, Contestant{
		Name: small, Promise: later, Prepare: PreparePenstock(smallLog), Run: PenstockCatchUp(smallLog, false),
	})
	r.Targets = append(r.Targets, Target{
		Name: fmt.Sprintf("× Penstock with %s events", figures.Short(smallLog)), Relation: ">=", Bound: 0.8, Of: ratio(unitEvents, penstock, small),
	})
	return r
}

func reactorRow(events, size int) Row {
	always, def := JetStream{Always: true}, JetStream{}
	const shelf = "watermill-orders"
	return Row{
		Name: fmt.Sprintf("reactor-%d", size), Unit: unitEvents,
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
		Targets: []Target{
			{Name: "Penstock " + unitEvents, Relation: ">=", Bound: 200_000, Of: reached(unitEvents)},
			{Name: "× JetStream, sync always", Relation: ">=", Bound: 10, Of: ratio(unitEvents, penstock, jsAlways)},
			{Name: "× JetStream, default", Of: ratio(unitEvents, penstock, jsDefault)},
			{Name: "× Watermill, SQLite", Of: ratio(unitEvents, penstock, wmSQLite)},
			{Name: "× Watermill, memory", Of: ratio(unitEvents, penstock, wmMemory)},
			{Name: "× limit", Of: ratio(unitEvents, penstock, limit)},
		},
	}
}

func reactionRow() Row {
	return Row{
		Name: "reaction", Unit: unitP50, Less: true, Title: "Append to durable reaction, idle",
		Does: "an order is appended in an idle process; the time until its reaction is acknowledged",
		Contestants: []Contestant{
			{Name: limit, Durable: true, Promise: "two bare writes with an fdatasync each", Run: LimitReaction},
			{Name: penstock, Durable: true, Promise: "order synced; reaction and checkpoint synced, and seen by a reader", Run: PenstockReaction},
			{Name: jsAlways, Durable: true, Promise: "order and reaction synced", Run: JetStream{Always: true, Pipe: true}.Reaction},
			{Name: jsDefault, Promise: "order and reaction handed to the operating system", Run: JetStream{Pipe: true}.Reaction},
			{Name: wmSQLite, Durable: true, Promise: "order synced; reaction and offset synced; polls every ms", Run: WatermillReaction},
		},
		Targets: []Target{
			{
				Name: "p50 in fdatasyncs", Relation: "<=", Bound: 2.5,
				Of: func(r Round) float64 { return 2 * r[penstock][unitP50] / r[limit][unitP50] },
			},
			{Name: "JetStream, sync always, × Penstock", Of: ratio(unitP50, jsAlways, penstock)},
			{Name: "JetStream, default, × Penstock", Of: ratio(unitP50, jsDefault, penstock)},
			{Name: "Watermill, SQLite, × Penstock", Of: ratio(unitP50, wmSQLite, penstock)},
		},
	}
}

func idleRow(s Sizes) Row {
	return Row{
		Name: "idle", Unit: unitIdle, Less: true, Title: "An idle worker",
		Does: "workers that wait for events: heap that is reachable and stacks, per worker",
		Contestants: []Contestant{
			{Name: "goroutine and channel", Promise: promiseMem, Run: ChannelIdle(s.Idle)},
			{Name: actorsOne, Promise: promiseMem, Run: ActorIdle(s.Idle)},
			{Name: penstock, Durable: true, Promise: "each has a checkpoint and its supervision", Run: PenstockIdle(s.Idle)},
			{Name: jsDefault, Promise: "each has a consumer and a subscription", Run: JetStream{}.Idle(s.Clients)},
			{Name: wmMemory, Promise: promiseMem, Run: WatermillIdle(s.Clients)},
		},
		Targets: []Target{
			{Name: "Penstock " + unitIdle, Relation: "<=", Bound: 6000, Of: reached(unitIdle)},
			{Name: "Penstock goroutines/worker", Relation: "<=", Bound: 0.01, Of: reached("goroutines/worker")},
			{
				Name: "an append beside all of them × beside one", Relation: "<=", Bound: 1.05,
				Of: func(r Round) float64 { return r[penstock]["append-us"] / r[penstock]["append-one-us"] },
			},
		},
	}
}

func hopRow(events int) Row {
	inPages := actorsOne + fmt.Sprintf(", pages of %d", pageEvents)
	return Row{
		Name: "hop", Unit: unitHop, Less: true, Title: "A hop between goroutines",
		Does: "events handed over in memory; Penstock: a worker under supervision less the same loop without actors, pages of 256",
		Contestants: []Contestant{
			{Name: "channel", Promise: promiseMem, Run: ChannelHop},
			{Name: actorsOne, Promise: promiseMem + "; Tell per event, future per question", Run: ActorHop(false)},
			{Name: inPages, Promise: promiseMem + "; a channel per question", Run: ActorHop(true)},
			{
				Name: penstock, Durable: true, Promise: "a page, its checkpoint and its answer pass through actors",
				Prepare: PreparePenstock(events), Run: PenstockHop(events),
			},
		},
		Targets: []Target{
			{Name: "Penstock ns/event", Relation: "<=", Bound: 30, Of: reached(unitHop)},
		},
	}
}
