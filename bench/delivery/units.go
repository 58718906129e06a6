package delivery

// Units, which are the names of figures.
const (
	unitCheckpoints = "ckpt/s"
	unitEvents      = "ev/s"
	UnitP50         = "p50-us"
	UnitP99         = "p99-us"
	unitIdle        = "bytes/worker"
	unitCPU         = "cpu-us/op"
	unitBytes       = "alloc-B/op"
)

// pageEvents is the size of a batch, as Penstock's workers pull them.
const pageEvents = 256
