package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-io/penstock/examples/protobuf/shoppb"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// runAsMain makes the test binary behave as the program.
const runAsMain = "PROTOBUF_RUN_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runAsMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestAnOrderIsTakenOnceHoweverOftenItIsSent(t *testing.T) {
	dir := t.TempDir()
	for _, first := range []string{"false", "true"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], dir)
		cmd.Env = append(os.Environ(), runAsMain+"=1", "GORACE=atexit_sleep_ms=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		require.NoError(t, err)
		require.Equal(t, strings.Join([]string{
			"order:1 is event 1 duplicate: " + first,
			"order:1 is event 1 duplicate: true",
			"order:1@shop order.placed in protobuf of 37 bytes: lamp 1999",
			"stock:lamp@shop stock.reserved in protobuf of 9 bytes: order:1",
			"",
		}, "\n"), string(out))
	}
}

func TestAMapIsEncodedAlikeInEachRetry(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	for i := range 50 {
		receipt, err := take(t.Context(), st, "order:1")
		require.NoError(t, err)
		require.Equal(t, i > 0, receipt.Duplicate)
	}
}

func TestStockIsReservedForTheOrder(t *testing.T) {
	r := reactor.New("reserve-stock", reactor.On(reserve))
	got := reactortest.React(t, r, reactortest.At(store.At("order:7", "shop"), Placed{&shoppb.Placed{Sku: "desk"}}))
	require.Len(t, got, 1)
	require.Equal(t, store.At("stock:desk", "shop"), got[0].At)
	require.True(t, proto.Equal(&shoppb.Reserved{Order: "order:7"}, got[0].Payload.(Reserved)))
}

// A field that gets another number or type makes this fail, before a log cannot be read.
func TestPayloadsStayReadable(t *testing.T) {
	types := reactor.NewTypes(reactor.TypeOf[Placed](), reactor.TypeOf[Reserved]())
	reactortest.Golden(t, types, "testdata/payloads",
		Placed{&shoppb.Placed{Sku: "lamp", Cents: map[string]int64{"EUR": 1999}}}, Reserved{&shoppb.Reserved{Order: "order:1"}})
}
