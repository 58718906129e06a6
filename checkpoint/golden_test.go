package checkpoint

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// What lies beside the checkpoints of existing stores, as it was written. Records have theirs in
// record_test.go.
const (
	goldenPass = "505350410101000000000000000000000002000000000000000700000001000000000000000100000003000000000000" +
		"008403000000000000100000000101610000000002036b2e78036b2e790304a802d80402000000000000000000000001" +
		"0000000000000003000000000000000000000000010000f8fb0756"
	goldenParked = "5053504b012c01000000000000070000006f726465723a31010101010600000062726f6b656e070000007b68e5cf8b01" +
		"00001c445090"
	goldenDoubt = "5053504b022c01000000000000070000006f726465723a31010101010600000062726f6b656e070000007b68e5cf8b01" +
		"00002ee66050"
	goldenNewer = "5053504b032c01000000000000070000006f726465723a31010101010600000062726f6b656e070000007b68e5cf8b01" +
		"0000010c0000006f726465722e70726963656401026ec5dc3a"
	goldenPauseBy = "5053505a027b68e5cf8b0100000028d3ed7cc7ffff050000006c756e636803000000616e6e3a62166e"
	goldenNewName = "5053524e010700000064656c69766572d5b6ddb6"
	goldenFile    = "5053434601cc0000000000000000000000000000dd5053435004aa0000000000000000000000000000bb010402ac" +
		"02a80201720100016b000000010700f931f9e022d8b053"
	goldenHiddenFile = "5053434602cc0000000000000000000000000000dd12000000332d30303131323233333434353536366666505343" +
		"5004aa0000000000000000000000000000bb010402ac02a80201720100016b000000010700f931f9e01355efc1"
	goldenPause = "5053505a017b68e5cf8b01000040e6eacf8b010000050000006c756e6368941ba2b0"
)

func TestTheFormatsOfWhatLiesBesideACheckpointStayAsTheyAre(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	handled := layer{
		from: 3, upTo: 900, region: store.Region{Entity: "a", Kinds: []string{"k.x", "k.y"}}, except: []store.Position{4, 300, 900},
	}
	pass := Pass{skip: []layer{{upTo: 2}}, handled: []layer{handled}, emit: []span{{upTo: 1}, {from: 3, upTo: 1 << 40}}}
	require.Equal(t, goldenPass, hex.EncodeToString(pass.encode()))
	gotPass, err := decodePass(fromHex(t, goldenPass))
	require.NoError(t, err)
	require.Equal(t, pass, gotPass)

	parked := Parked{
		Position: 300, Key: "order:1", Held: true, Replaying: true, Replay: true, EmitAgain: true,
		Error: "broken", Attempts: 7, Since: at,
	}
	require.Equal(t, goldenParked, hex.EncodeToString(parked.Write("w").Value))
	gotParked, err := decodeParked(fromHex(t, goldenParked))
	require.NoError(t, err)
	require.Equal(t, parked, gotParked)

	parked.Doubt = true
	require.Equal(t, goldenDoubt, hex.EncodeToString(parked.Write("w").Value))
	gotParked, err = decodeParked(fromHex(t, goldenDoubt))
	require.NoError(t, err)
	require.Equal(t, parked, gotParked)

	parked.Newer = Schema{Kind: "order.priced", Version: 513}
	require.Equal(t, goldenNewer, hex.EncodeToString(parked.Write("w").Value))
	gotParked, err = decodeParked(fromHex(t, goldenNewer))
	require.NoError(t, err)
	require.Equal(t, parked, gotParked)
	parked.Doubt = false
	gotParked, err = decodeParked(parked.Write("w").Value)
	require.NoError(t, err)
	require.Equal(t, parked, gotParked)

	pause := Pause{Since: at, Until: time.UnixMilli(1_700_000_360_000).UTC(), Reason: "lunch"}
	require.Equal(t, goldenPause, hex.EncodeToString(pause.Write("w").Value))
	gotPause, err := decodePause(fromHex(t, goldenPause))
	require.NoError(t, err)
	require.Equal(t, pause, gotPause)

	pause = Pause{Since: at, Reason: "lunch", By: "ann"}
	require.Equal(t, goldenPauseBy, hex.EncodeToString(pause.Write("w").Value))
	gotPause, err = decodePause(fromHex(t, goldenPauseBy))
	require.NoError(t, err)
	require.Equal(t, "ann", gotPause.By)

	require.Equal(t, goldenNewName, hex.EncodeToString(forward("ship", "deliver").Value))
	name, err := decodeRenamed(fromHex(t, goldenNewName))
	require.NoError(t, err)
	require.Equal(t, ID("deliver"), name)
}

// A file is what Save writes: the event that it ends with, what is hidden, and the record. In
// version 1 it did not say what is hidden.
func TestTheFormatOfAFileStaysAsItIs(t *testing.T) {
	r := Record{
		Origin: store.Origin{Store: uuid.UUID{0: 0xaa, 15: 0xbb}, Incarnation: 1},
		Region: "r", Kinds: []string{"k"}, Epoch: 2, Scanned: 300, Delivered: 4, Pending: []store.Position{7}, Clean: true,
	}
	anchor := store.Anchor{Store: r.Origin.Store, Position: 300, Event: uuid.UUID{0: 0xcc, 15: 0xdd}}
	for version, golden := range map[byte]string{1: goldenFile, 2: goldenHiddenFile} {
		if version == 2 {
			anchor.Hidden = "3-00112233445566ff"
			require.Equal(t, golden, hex.EncodeToString(encodeFile(r, anchor)))
		} else {
			anchor.Hidden = ""
		}
		got, at, err := decodeFile(fromHex(t, golden))
		require.NoError(t, err)
		require.Equal(t, r, got)
		require.Equal(t, anchor, at)
	}

	_, _, err := decodeFile(encodeFile(r, store.Anchor{Hidden: "0"}))
	require.ErrorIs(t, err, ErrCorrupt, "a position without an event")
	_, _, err = decodeFile(encodeFile(Record{}, anchor))
	require.ErrorIs(t, err, ErrCorrupt, "an event without a position")
	_, _, err = decodeFile(encodeFile(Record{}, store.Anchor{Hidden: "0"}))
	require.ErrorIs(t, err, ErrCorrupt, "what is hidden without a position")
	anchor.Hidden = strings.Repeat("0", store.MaxHiddenBytes+1)
	_, _, err = decodeFile(encodeFile(r, anchor))
	require.ErrorIs(t, err, ErrCorrupt, "too long")
}

func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}
