package saga_test

import (
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

func TestWhatIsUndoneIsExplainedAndDrawn(t *testing.T) {
	w := newWorld()
	w.fails["label"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	run := reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
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
	run := reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
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
