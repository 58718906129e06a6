package delivery

import "slices"

const eventsPerSecond = "events/s"

// Rows are the rows of the table.
func Rows() []Row {
	return []Row{
		checkpoints(64, 100_000), checkpoints(1000, 200_000),
		{
			Name: "catch up", What: "one worker handles a whole log of orders, with a checkpoint per 256", Figures: []string{eventsPerSecond},
			Contestants: slices.Concat([]Contestant{penstockCatchUp(), penstockByHand()}, jetStreamCatchUp(), []Contestant{sqlBacklog(false)}),
			Targets:     []Target{{Against: "jetstream", Relation: ">=", Bound: 5}},
		},
		{
			Name: "react", What: "one reactor handles a log of orders: JSON in, one reaction per event, JSON out", Figures: []string{eventsPerSecond},
			Contestants: slices.Concat([]Contestant{limitReactor(), penstockReactor("penstock", 0), penstockReactor("penstock, batches of 4096", 4096)},
				jetStreamReactor(), []Contestant{sqlBacklog(true), channelReactor(), protoactorReactor()}),
			Targets: []Target{
				{Relation: ">=", Bound: 200_000},
				{Against: "jetstream", Relation: ">=", Bound: 10},
				{Against: "jetstream, sync always", Relation: ">=", Bound: 10},
			},
		},
		{
			Name: "react when idle", What: "from the start of an append to its durable reaction, in an idle process",
			Figures: []string{"p50 µs", "p99 µs"}, LessIsMore: true,
			Contestants: slices.Concat([]Contestant{limitReaction(), penstockReaction()}, jetStreamReaction(), []Contestant{sqlReaction()}),
			Targets:     []Target{{Against: "limit", Relation: "<=", Bound: 1.25}},
		},
		{
			Name: "idle workers", What: "10,000 workers that wait", Figures: []string{"bytes each", "goroutines in all"}, LessIsMore: true,
			Contestants: []Contestant{penstockIdle(), protoactorIdle(), goroutineIdle()},
			Targets:     []Target{{Relation: "<=", Bound: 6144}},
		},
		{
			Name: "hop", What: "protoactor itself: a message one way, a question and its answer", Figures: []string{"tell ns", "round trip µs"},
			LessIsMore: true, Contestants: []Contestant{protoactorHop()},
		},
	}
}

func checkpoints(workers int, wanted float64) Row {
	return Row{
		Name:        "checkpoints, " + map[int]string{64: "64 workers", 1000: "1000 workers"}[workers],
		What:        "each worker handles one event, waits for its durable checkpoint, and goes on",
		Figures:     []string{"checkpoints/s"},
		Contestants: slices.Concat([]Contestant{limitCheckpoints(workers), penstockCheckpoints(workers), pebbleCheckpoints(workers)}, jetStreamCheckpoints(workers)),
		Targets:     []Target{{Relation: ">=", Bound: wanted}},
	}
}
