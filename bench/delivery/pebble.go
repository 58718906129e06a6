package delivery

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// silent keeps Pebble's reports out of the results.
type silent struct{}

func (silent) Infof(string, ...any)           {}
func (silent) Errorf(string, ...any)          {}
func (silent) Fatalf(format string, _ ...any) { panic("pebble: " + format) }

// pebbleCheckpoints: writers that each overwrite a small value, synced.
func pebbleCheckpoints(workers int) Contestant {
	return Contestant{Name: "pebble", Promise: "synced, after each write", Run: func(env Env) ([]float64, error) {
		cache := pebble.NewCache(256 << 20)
		defer cache.Unref()
		db, err := pebble.Open(env.Dir, &pebble.Options{Logger: silent{}, MemTableSize: 64 << 20, Cache: cache})
		if err != nil {
			return nil, err
		}
		rate, err := closedLoops(workers, env.Turn, func(w int) error {
			return db.Set(binary.BigEndian.AppendUint64(nil, uint64(w)), make([]byte, checkpointBytes), pebble.Sync)
		})
		return []float64{rate}, errors.Join(err, db.Close())
	}}
}
