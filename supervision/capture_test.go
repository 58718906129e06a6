package supervision_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/supervision"
)

// counted is an error that counts the calls of its methods.
type counted struct{ calls *int }

func (c counted) Error() string { *c.calls++; return "counted" }
func (c counted) Unwrap() error { *c.calls++; return supervision.Park(nil) }

func TestACapturedErrorIsJudgedAndShownWithoutACallOfItsMethods(t *testing.T) {
	calls := 0
	err := supervision.Capture(fmt.Errorf("order 7: %w", counted{&calls}), nil)
	require.Positive(t, calls)
	calls = 0
	v := supervision.NewJudge(supervision.Spec{Name: "w"}, nil).Failed(time.Now(), supervision.Failure{Err: err, Event: 7})
	require.Equal(t, supervision.ActionPark, v.Action)
	require.EqualError(t, v.Reason, "event 7, attempt 1: order 7: counted")
	require.Zero(t, calls)

	var mine counted
	require.ErrorAs(t, v.Reason, &mine, "callers find it all the same")
	require.NoError(t, supervision.Capture(nil, nil))
}

func TestACapturedTextIsRedactedAsAWholeAndThenCutBetweenCharacters(t *testing.T) {
	long := strings.Repeat("ä", supervision.MaxErrorBytes) // of two bytes
	var seen []string
	redact := func(text string) string {
		seen = append(seen, text)
		return "x" + text
	}
	err := supervision.Capture(errors.New(long), redact)
	require.Equal(t, []string{long}, seen)
	require.Len(t, err.Error(), supervision.MaxErrorBytes-1)
	require.True(t, utf8.ValidString(err.Error()))
	require.Same(t, err, supervision.Capture(err, redact), "it is redacted once")
	require.Len(t, seen, 1)

	broken := strings.Repeat("\x80", 2*supervision.MaxErrorBytes)
	require.LessOrEqual(t, len(supervision.Capture(errors.New(broken), nil).Error()), supervision.MaxErrorBytes)
}

// quoted is an error with a document in it.
type quoted struct {
	document string
	err      error
}

func (q quoted) Error() string { return q.document }
func (q quoted) Unwrap() error { return q.err }

func TestOfAnErrorWithALongTextOnlyWhatIsShortIsKept(t *testing.T) {
	var (
		down = errors.New("down")
		long = strings.Repeat("x", supervision.MaxErrorBytes+1)
		cut  = long[:supervision.MaxErrorBytes]
	)
	for name, err := range map[string]error{
		"below":        quoted{long, fmt.Errorf("order 7: %w", down)},
		"far below":    quoted{long, quoted{long, errors.Join(quoted{long, nil}, down)}},
		"among others": errors.Join(quoted{long, nil}, down),
	} {
		got := supervision.Capture(err, nil)
		require.Equal(t, cut, got.Error(), name)
		require.ErrorIs(t, got, down, name)
		require.NotErrorAs(t, got, new(quoted), name)
	}
	many := make([]error, 100)
	for i := range many {
		many[i] = errors.New(long[:100])
	}
	joined, ok := errors.Unwrap(supervision.Capture(errors.Join(many...), nil)).(interface{ Unwrap() []error })
	require.True(t, ok)
	require.Less(t, len(joined.Unwrap()), 20)

	v := supervision.NewJudge(supervision.Spec{Name: "w"}, nil).Failed(time.Now(), supervision.Failure{
		Err: supervision.Capture(quoted{long, supervision.Park(down)}, nil), Event: 7,
	})
	require.Equal(t, supervision.ActionPark, v.Action, "what it decides is known before")
	require.NoError(t, errors.Unwrap(supervision.Capture(errors.New(long), nil)))
}
