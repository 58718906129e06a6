package reactortest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// failing is a test that may fail.
type failing struct {
	testing.TB
	message string
	logs    []string
}

func (f *failing) Helper() {}

func (f *failing) Logf(format string, args ...any) {
	f.logs = append(f.logs, fmt.Sprintf(format, args...))
}

func (f *failing) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	panic(errFailed)
}

var errFailed = errors.New("the test failed")

// fails returns the message with which do fails its test, and what it logs, and fails t if it does
// not.
func fails(t *testing.T, do func(tb testing.TB)) (message string) {
	t.Helper()
	f := &failing{TB: t}
	defer func() {
		require.Equal(t, errFailed, recover())
		message = strings.Join(append(f.logs, f.message), "\n")
	}()
	do(f)
	return ""
}

func TestAReactorThatKeepsItsStateInMemoryDoesNotSurviveEveryCrash(t *testing.T) {
	message := fails(t, func(tb testing.TB) {
		reactortest.EveryCrash(tb, func() supervision.Child {
			count := 0
			return reactor.New("counter", reactor.On(func(_ context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
				count++
				out.Append(store.At("count", "shop"), numbered{N: count})
				return nil
			}))
		}, func(run *reactortest.Run) {
			run.Given(order(1))
			run.Settle()
			run.Given(order(2))
			run.Settle()
		})
	})
	require.Contains(t, message, "with the power cut at operation")
	require.Contains(t, message, `- count@shop for order:2@shop: in.numbered {"N":2}`)
	require.Contains(t, message, `+ count@shop for order:2@shop: in.numbered {"N":3}`)
	require.NotContains(t, message, "order.placed", "what is the same is only counted")
}

func TestThenReportsWhatWasEmittedInstead(t *testing.T) {
	message := fails(t, func(tb testing.TB) {
		run := reactortest.Start(tb, shop(&warehouse{}))
		run.Given(order(1))
		run.Settle()
		run.Then(reactortest.At(store.At("stock:chair", "shop"), reserved{"order:1"}), billed{"order:1"})
	})
	require.Contains(t, message, `stock.reserved at stock:lamp@shop {"Order":"order:1"}`)
	require.Contains(t, message, `stock.reserved at stock:chair@shop {"Order":"order:1"}`)
	require.NotContains(t, message, "order.billed", "that one is as wanted")
}

func TestWhatCannotRunFailsTheTest(t *testing.T) {
	for want, tree := range map[string]supervision.Child{
		"no routes":      reactor.New("empty"),
		"is neither":     plain{},
		"duplicate name": supervision.Group{Name: "g", Children: []supervision.Child{reactor.New("x", reactor.On(bill)), reactor.New("x", reactor.On(bill))}},
		"invalid Name":   supervision.Group{},
		`name: "x"`: supervision.Group{Name: "g", Children: []supervision.Child{
			reactor.New("x", reactor.On(bill)), supervision.Group{Name: "below", Children: []supervision.Child{reactor.New("x", reactor.On(bill))}},
		}},
		"named \"absent\"": nil,
	} {
		message := fails(t, func(tb testing.TB) {
			if tree == nil {
				reactortest.Start(tb, shop(&warehouse{})).Step("absent")
			}
			reactortest.Start(tb, tree)
		})
		require.Contains(t, message, want)
	}
}

func TestAHandlerMayNotDriveItsRun(t *testing.T) {
	message := fails(t, func(tb testing.TB) {
		var run *reactortest.Run
		run = reactortest.Start(tb, reactor.New("r", reactor.On(
			func(context.Context, reactor.Event[ordered], *reactor.Reactions) error {
				run.Settle()
				return nil
			})))
		run.Given(order(1))
		run.Settle()
		tb.Fatalf("%v", run.Status("r").Reason)
	})
	require.Contains(t, message, errFailed.Error())
}
