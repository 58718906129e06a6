package store_test

import (
	"testing"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// Of what memory keeps nearly nothing is there: everything is looked up in the log.
func TestTheLawsHoldWithCachesOfOneOverCrashes(t *testing.T) {
	store.CachesOfOne(t)
	storetest.Run(t, storetest.OnDisk(store.Options{SegmentBytes: 64 << 10}, storetest.Of))
}
