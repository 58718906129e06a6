package wal_test

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/wal"
)

func aState() wal.State {
	return wal.State{Entity: []byte("order:42"), Position: 7, Version: 3, Time: 1 << 16, Hash: [32]byte{1, 2, 31: 9}}
}

func aReceipt() wal.Receipt {
	return wal.Receipt{
		Key: wal.Key{
			Key: []byte("key"), Events: 2, FirstPosition: 6, Sequence: 11, Digest: [32]byte{5}, Salt: [16]byte{6}, Rule: wal.RuleRetry,
		},
		Time: 2 << 16, Events: []wal.Recorded{{ID: [16]byte{7}, Version: 3}, {ID: [16]byte{8}, Version: 1}},
	}
}

// What stays of events that were dropped is the only place where it is known: these are its bytes,
// forever.
func TestWhatStaysOfDroppedEventsHasTheseBytes(t *testing.T) {
	s, r := aState(), aReceipt()
	require.Equal(t, "50000000"+"29c905e1"+"06"+"01"+"0800"+"00000000"+"0700000000000000"+"0300000000000000"+"0000010000000000"+
		hex.EncodeToString(s.Hash[:])+hex.EncodeToString(s.Entity), hex.EncodeToString(wal.AppendState(nil, &s)))
	require.Equal(t, "8b000000"+"4b9a5c55"+"07"+"01"+"0300"+"02000081"+"0600000000000000"+"0b00000000000000"+
		hex.EncodeToString(r.Key.Digest[:])+hex.EncodeToString(r.Key.Key)+hex.EncodeToString(r.Key.Salt[:])+"0000020000000000"+
		hex.EncodeToString(r.Events[0].ID[:])+"0300000000000000"+hex.EncodeToString(r.Events[1].ID[:])+"0100000000000000",
		hex.EncodeToString(wal.AppendReceipt(nil, &r)))
}

func TestWhatStaysOfDroppedEventsIsReadAsItWasWritten(t *testing.T) {
	s, r := aState(), aReceipt()
	rec, n, err := wal.ParseRecord(wal.AppendState(nil, &s))
	require.NoError(t, err)
	require.Equal(t, wal.StateSize(len(s.Entity)), n)
	gotState, err := wal.ParseState(rec)
	require.NoError(t, err)
	require.Equal(t, s, gotState)
	_, err = wal.ParseReceipt(rec)
	require.ErrorIs(t, err, wal.ErrBad)
	for cut := range len(rec) {
		_, err = wal.ParseState(rec[:cut])
		require.ErrorIs(t, err, wal.ErrBad, "%d bytes", cut)
	}

	for _, r := range []wal.Receipt{r, {Key: wal.Key{Key: []byte("k"), Erased: true}}} {
		rec, _, err = wal.ParseRecord(wal.AppendReceipt(nil, &r))
		require.NoError(t, err)
		got, err := wal.ParseReceipt(rec)
		require.NoError(t, err)
		require.Equal(t, r, got)
		_, err = wal.ParseKey(rec)
		require.ErrorIs(t, err, wal.ErrBad, "a key says that its events are there")
		_, err = wal.ParseState(rec)
		require.ErrorIs(t, err, wal.ErrBad)
		for cut := range len(rec) {
			_, err = wal.ParseReceipt(rec[:cut])
			require.ErrorIs(t, err, wal.ErrBad, "%d bytes", cut)
		}
	}
}

func TestTheHeaderOfADroppedSegmentIsReadAsItWasWritten(t *testing.T) {
	h := wal.SegmentHeader{
		Version: wal.VersionDropped, Store: [16]byte{1}, Segment: 1, Last: 40, FirstPosition: 1, FirstSequence: 1, Generation: 3,
		Rewritings: 3, Reached: 99, LastChecksum: 4, Dropped: true, LastEvent: [16]byte{5}, EndTime: 6,
	}
	b := wal.AppendSegmentHeader(nil, &h)
	got, err := wal.ParseSegmentHeader(b)
	require.NoError(t, err)
	require.Equal(t, h, got)
	b[10] = 3 // what this program does not know
	_, err = wal.ParseSegmentHeader(b)
	require.ErrorIs(t, err, wal.ErrBad)
}
