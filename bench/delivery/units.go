package delivery

// Units, which are the names of figures.
const (
	unitCheckpoints = "ckpt/s"
	unitEvents      = "ev/s"
	unitP50         = "p50-us"
	unitP99         = "p99-us"
	unitHop         = "ns/event"
	unitIdle        = "bytes/worker"
)
