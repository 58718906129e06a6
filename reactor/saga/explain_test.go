package saga_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
)

func TestAnInstanceIsExplained(t *testing.T) {
	p := play(t)
	p.given(placed("42"), stockReserved{"42"})
	p.Advance(5 * time.Minute)
	text, err := p.s.In(p.Store()).Explain("42")
	require.NoError(t, err)
	require.Equal(t, `checkout 42 (run 1, version 0): running in "paying" for 5m0s, since its start for 5m0s
  nothing is in flight: it waits for an event or a timer
  timer "pay-by" is due in 10m0s
  is found by payment = pay-42
  to undo, in this order: release
  an operator can call: Cancel, Fire("pay-by"), Suspend, Abandon
`, text)
	p.Advance(10 * time.Minute)
	text, err = p.s.In(p.Store()).Explain("42")
	require.NoError(t, err)
	require.Equal(t, `checkout 42 (run 1, version 0): compensated at 2000-01-01T00:15:00Z, after 15m0s
  because: saga: not paid in time
  is found by payment = pay-42
`, text)
	_, err = p.s.In(p.Store()).Explain("43")
	require.ErrorIs(t, err, saga.ErrNotFound)
}

func TestAnUndoInFlightIsExplained(t *testing.T) {
	w := newWorld()
	s, run := outage(t, w)
	text, err := s.In(run.Store()).Explain("42")
	require.NoError(t, err)
	require.Equal(t, `checkout 42 (run 1, version 1): compensating after "dispatch", since its start for 2h0m0s
  because: saga: step "label": refused: the service is down
  in flight: undo charge (key checkout/42.1/charge.1/undo)
  attempts, their last error and the next one: see the status of checkout.do
  to undo, in this order: charge, reserve
  an operator can call: Retry, SkipUndo, SettleDone("undo charge"), Suspend, Abandon
`, text)
	_, err = s.In(run.Store()).Suspend(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	text, err = s.In(run.Store()).Explain("42")
	require.NoError(t, err)
	require.Contains(t, text, "\n  an operator can call: Resume, Abandon\n")
}

func TestATimerThatIsOverdueAndOneHeldInputAreExplained(t *testing.T) {
	p := play(t)
	p.given(placed("42"), stockReserved{"42"})
	in := p.s.In(p.Store())
	_, err := in.Suspend(t.Context(), "42", ana)
	require.NoError(t, err)
	p.given(orderCancelled{"42"})
	p.Pause("checkout", time.Time{})
	p.Advance(65 * time.Minute)
	text, err := in.Explain("42")
	require.NoError(t, err)
	require.Contains(t, text, `  timer "pay-by" is overdue for 50m0s
  is found by payment = pay-42
  1 input is held
`)
}

// A handler that fails for good has its input parked: nothing moves the instance any more.
func TestWhatBlocksAnInstanceIsExplained(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	s.Policy.Attempts, s.MaxState = 1, 80
	run := reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")), reactortest.At(at("43"), placed("43")))
	run.Settle()
	run.Advance(time.Hour)
	in := s.In(run.Store())
	parked := run.Parked("checkout")
	require.NotEmpty(t, parked)
	o, err := in.Get("42")
	require.NoError(t, err)
	require.ErrorContains(t, o.Blocked, "which checkout has parked: ")
	text, err := in.Explain("42")
	require.NoError(t, err)
	require.Contains(t, text, fmt.Sprintf("  saga: blocked by event %d, which checkout has parked: ", parked[0].Position))
	require.Contains(t, text, ", at most 80\n")
	require.Contains(t, text, "\n  once that is mended: System.Replay or System.Discard of the event\n")
}

func TestWhatIsUndoneIsExplainedAndDrawn(t *testing.T) {
	w := newWorld()
	w.fails["label"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	run := begun(t, s)
	text, err := s.In(run.Store()).Explain("42")
	require.NoError(t, err)
	require.Equal(t, `checkout 42 (run 1, version 1): compensated at 2000-01-01T00:00:00Z, after 0s
  because: saga: step "label": refused: the service is down
  undone: charge, reserve
`, text)
	one, err := s.In(run.Store()).Picture("42")
	require.NoError(t, err)
	var drawn strings.Builder
	require.NoError(t, one.Text(&drawn))
	require.Equal(t, `(order.placed)
└─ reserve  has an undo  undone
   └─ charge  has an undo  undone
      ├─ label  has an undo  refused
      │  └─ ship  no way back
      │     └─ compensated
      └─ invoice  done
invoice → ship  no way back
`, drawn.String())
}

func TestASagaIsDrawn(t *testing.T) {
	w := newWorld()
	w.fails["charge"] = []error{saga.Refuse(errDown)}
	w.fails["undo reserve"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	run := begun(t, s)
	whole, err := s.Picture()
	require.NoError(t, err)
	one, err := s.In(run.Store()).Picture("42")
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, whole.Text(&text))
	require.NoError(t, one.Text(&text))
	require.Equal(t, `(order.placed)
└─ reserve  has an undo
   └─ charge  has an undo
      ├─ label  has an undo
      │  └─ ship  no way back
      │     └─ completed
      └─ invoice
invoice → ship  no way back
(order.placed)
└─ reserve  has an undo  done  stuck: the service is down
   └─ charge  has an undo  refused
      ├─ label  has an undo
      │  └─ ship  no way back
      │     └─ completed
      └─ invoice
invoice → ship  no way back
`, text.String())
}

func TestThePhasesOfAManagerAreDrawn(t *testing.T) {
	p := play(t)
	p.given(placed("42"))
	one, err := p.s.In(p.Store()).Picture("42")
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, one.Mermaid(&text))
	require.Equal(t, `flowchart LR
    n0["order.placed"]:::dashed
    n1["reserving<br/>running"]:::strong
    n2["order.cancelled"]:::faint
    n3["paying"]
    n4["shipping"]
    n5["parcel.shipped"]:::faint
    n6["stock.refused"]:::faint
    n7["timer pay-by"]:::faint
    n0 --> n1
    n1 --> n2
    n3 --> n2
    n4 --> n5
    n3 -->|"payment.taken"| n4
    n1 --> n6
    n1 -->|"stock.reserved"| n3
    n3 --> n7
    classDef faint color:#777,stroke:#aaa
    classDef dashed stroke-dasharray:4
    classDef strong stroke-width:3px
`, text.String())
}
