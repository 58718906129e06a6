package store

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// anchors returns the anchors of all positions, from 0 to the head.
func anchors(t *testing.T, s *Store) (list []Anchor) {
	t.Helper()
	for p := range s.Head() + 1 {
		a, err := s.AnchorAt(t.Context(), p)
		require.NoError(t, err)
		list = append(list, a)
	}
	return list
}

func TestAnAnchorIsValidInEveryCopyThatHasItsEvent(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, Options{})
	for range 3 {
		put(t, s, "a")
	}
	require.NoError(t, s.Close())
	copied := disk.Image(vfs.KeepAll)
	s = openLog(t, disk, Options{})
	for range 3 {
		put(t, s, "a")
	}
	list := anchors(t, s)
	require.Equal(t, Anchor{Store: s.Origin().Store}, list[0])
	for i, e := range all(t, s, Region{}) {
		require.Equal(t, Anchor{Store: s.Origin().Store, Position: e.Position, Event: e.ID, Hidden: "0"}, list[i+1])
	}
	_, err := s.AnchorAt(t.Context(), 7)
	require.ErrorIs(t, err, ErrNotFound)

	other := openLog(t, copied, Options{})
	require.Equal(t, s.Origin(), other.Origin(), "the incarnation does not tell the two apart")
	for range 2 { // the second time the copy has other events where the log continued
		for p, a := range list {
			require.NoError(t, s.CheckAnchor(t.Context(), a))
			err := other.CheckAnchor(t.Context(), a)
			if p <= 3 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ErrForeignHistory, "position %d", p)
			}
		}
		for range 5 {
			put(t, other, "b")
		}
	}
	for p, a := range anchors(t, other) {
		require.Equal(t, p <= 3, s.CheckAnchor(t.Context(), a) == nil, "position %d", p)
	}
	require.NoError(t, reopen(t, s).CheckAnchor(t.Context(), list[6]))
}

func TestAnAnchorOfAnotherStoreOrOfNoEventIsForeign(t *testing.T) {
	s, other := memoryLog(t), memoryLog(t)
	put(t, s, "a")
	put(t, other, "a")
	for _, a := range append(anchors(t, other), Anchor{}, Anchor{Store: s.Origin().Store, Position: 1}) {
		require.ErrorIs(t, s.CheckAnchor(t.Context(), a), ErrForeignHistory, "%+v", a)
	}
}

func TestTheAnchorOfAReceiptIsItsLastEvent(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, Options{})
	keyed := Batch{IdempotencyKey: "once", Events: eventsOf("a", "b")}
	r := write(t, s, keyed)
	want, err := s.AnchorAt(t.Context(), 2)
	require.NoError(t, err)
	want.Hidden = "" // fences may be open when it is made
	require.Equal(t, want, r.Anchor())
	put(t, s, "c")
	s = reopen(t, s)
	require.Equal(t, want, write(t, s, keyed).Anchor(), "that of the stored receipt")
	require.Equal(t, Anchor{Store: s.Origin().Store}, write(t, s, Batch{Sides: []SideWrite{{Key: "k"}}}).Anchor())
}

// Receipts may be kept as JSON. Each has always had the ids of its events.
func TestAReceiptThatWasKeptByAnOlderVersionIsJudgedByItsEvents(t *testing.T) {
	s := diskLog(t, goldenDir(t), Options{ReadOnly: true})
	second := all(t, s, Region{})[1].ID.String()
	kept := func(incarnation, id string) (r Receipt) {
		require.NoError(t, json.Unmarshal([]byte(`{"Origin":{"Store":"11223344-5566-4788-99aa-bbccddeeff01","Incarnation":`+incarnation+
			`},"Sequence":2,"Events":[{"ID":"`+id+`","Position":2,"Version":1}],"Sync":0,"Duplicate":false}`), &r))
		return r
	}
	for _, incarnation := range []string{"1", "7"} {
		require.NoError(t, s.CheckAnchor(t.Context(), kept(incarnation, second).Anchor()))
		lost := kept(incarnation, uuid.NewString()).Anchor()
		require.ErrorIs(t, s.CheckAnchor(t.Context(), lost), ErrForeignHistory)
	}
}

// The reader learns from the beacon how far it may read: an old one hides what the writer added.
func TestAReaderWaitsForThePositionOfAnAnchorAndThenDecides(t *testing.T) {
	for name, foreign := range map[string]bool{"its event": false, "another event": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := vfs.NewMemory()
				w := openLog(t, disk, Options{})
				put(t, w, "a")
				old := disk.Bytes(logDir + "/" + beaconName)
				r := openLog(t, disk, Options{ReadOnly: true})
				a := put(t, w, "b").Anchor()
				now := disk.Bytes(logDir + "/" + beaconName)
				if foreign {
					a.Event = uuid.New()
				}
				overwriteBeacon(t, disk, old)
				require.Equal(t, Position(1), r.Head())

				ended, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				err := r.CheckAnchor(ended, a)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.NotErrorIs(t, err, ErrForeignHistory, "nothing is known of it")
				require.Equal(t, time.Minute, time.Since(began))

				answer := make(chan error, 1)
				go func() { answer <- r.CheckAnchor(t.Context(), a) }()
				time.Sleep(time.Second)
				require.Empty(t, answer)
				overwriteBeacon(t, disk, now)
				if err := <-answer; foreign {
					require.ErrorIs(t, err, ErrForeignHistory)
				} else {
					require.NoError(t, err)
				}
			})
		})
	}
}

// A copy of files may leave the status file of another store, which speaks of more than there is.
func TestAReaderDoesNotBelieveTheBeaconOfAnotherStore(t *testing.T) {
	disk, other := vfs.NewMemory(), vfs.NewMemory()
	w, o := openLog(t, disk, Options{}), openLog(t, other, Options{})
	put(t, w, "a")
	for range 5 {
		put(t, o, "a")
	}
	r := openLog(t, disk, Options{ReadOnly: true})
	overwriteBeacon(t, disk, other.Bytes(logDir+"/"+beaconName))
	require.Equal(t, Position(1), r.Head())
	_, err := r.GetAt(t.Context(), 1)
	require.NoError(t, err)
	put(t, w, "b") // which writes its own
	require.Equal(t, Position(2), r.Head())
}

// In a copy the status file may be newer than the log, and a writer that begins overwrites it only
// at the end of its opening.
func TestAReaderDoesNotTakeACopyForDamagedWhileItsWriterBegins(t *testing.T) {
	disk := vfs.NewMemory()
	w := openLog(t, disk, Options{})
	put(t, w, "a")
	copied := disk.Image(vfs.KeepAll)
	for range 5 {
		put(t, w, "a")
	}
	overwriteBeacon(t, copied, disk.Bytes(logDir+"/"+beaconName))
	r := openLog(t, copied, Options{ReadOnly: true})
	require.Equal(t, Position(1), r.Head())

	dir, err := copied.OpenDir(logDir, 0o700)
	require.NoError(t, err)
	lock, err := dir.Lock(lockName) // all that a writer has done when it begins
	require.NoError(t, err)
	require.Equal(t, Position(1), r.Head())
	_, err = r.GetAt(t.Context(), 1)
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	put(t, openLog(t, copied, Options{}), "b")
	require.Equal(t, Position(2), r.Head())
	require.Equal(t, []string{"a", "b"}, entities(all(t, r, Region{})))
}

func overwriteBeacon(t *testing.T, disk *vfs.Memory, content []byte) {
	t.Helper()
	file, err := disk.Open(logDir+"/"+beaconName, false)
	require.NoError(t, err)
	_, err = file.WriteAt(content, 0)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

func TestAReaderWithoutAWriterDoesNotWaitForAPositionAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMemory()
		w := openLog(t, disk, Options{})
		put(t, w, "a")
		r := openLog(t, disk, Options{ReadOnly: true})
		after := Anchor{Store: w.Origin().Store, Position: 2, Event: uuid.New()}
		answer := make(chan error, 1)
		go func() { answer <- r.CheckAnchor(t.Context(), after) }()
		time.Sleep(time.Second)
		require.Empty(t, answer, "the writer may be about to add it")
		require.NoError(t, w.Close())
		require.ErrorIs(t, <-answer, ErrForeignHistory)
		began := time.Now()
		require.ErrorIs(t, r.CheckAnchor(t.Context(), after), ErrForeignHistory)
		require.Zero(t, time.Since(began))
		require.NoError(t, r.Close())
		require.ErrorIs(t, r.CheckAnchor(t.Context(), after), ErrClosed)
	})
}
