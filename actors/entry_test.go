package actors_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// broken is a worker that fails at the first input as often as it is allowed to, and then parks it.
func broken(fail func() error) cursor.Worker {
	w := handling("w", func(context.Context, *cursor.Batch) error { return fail() })
	w.Policy = supervision.Policy{Attempts: 3, Outage: supervision.OutagePolicy{Off: true}}
	return w
}

func TestLevelsOfEntriesAreSettings(t *testing.T) {
	const other = zapcore.InfoLevel
	for entry, level := range map[actors.LogEntry]zapcore.Level{
		actors.LogRetry: zapcore.WarnLevel, actors.LogPark: zapcore.ErrorLevel,
	} {
		for _, levels := range []map[actors.LogEntry]zapcore.Level{nil, {entry: other}} {
			want := level
			if levels != nil {
				want = other
			}
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zapcore.DebugLevel)
				st := memory(t, store.Options{})
				startWith(t, st, actors.Options{Logger: zap.New(core), Levels: levels}, broken(func() error { return errBroken }))
				appendInputs(t, st, 1)
				time.Sleep(time.Hour)
				entries := logs.FilterMessage(entry.String()).All()
				require.NotEmpty(t, entries, "%v of %v", entry, logs.All())
				require.Equal(t, want, entries[0].Level)
			})
		}
	}
}

func TestALevelThatEndsTheProgramIsRefusedAndSoIsAnUnknownEntry(t *testing.T) {
	st := memory(t, store.Options{})
	for _, levels := range []map[actors.LogEntry]zapcore.Level{
		{actors.LogPark: zapcore.FatalLevel},
		{actors.LogPark: zapcore.PanicLevel},
		{actors.LogPark: zapcore.InvalidLevel},
		{actors.LogEntry(200): zapcore.InfoLevel},
	} {
		_, err := actors.Start(t.Context(), st, actors.Options{Levels: levels}, tree(reacting("w")))
		require.ErrorIs(t, err, actors.ErrOptions)
	}
	require.Equal(t, "LogEntry(200)", actors.LogEntry(200).String())
}

// formatted is an error that has more to say of itself with %+v.
type formatted struct{ error }

func (f formatted) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "%s\ngoroutine 1:\nmain.go:1", f.Error())
}

func TestALogForDevelopmentHasAStackForAPanicAlone(t *testing.T) {
	for name, c := range map[string]struct {
		fail   func() error
		stacks int
	}{
		"error": {func() error { return formatted{errBroken} }, 0},
		"panic": {func() error { panic(errBroken) }, 3}, // one for each of its attempts
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var text bytes.Buffer
				encoder := zapcore.NewJSONEncoder(zap.NewDevelopmentEncoderConfig())
				log := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(&text), zapcore.DebugLevel),
					zap.Development(), zap.AddStacktrace(zapcore.WarnLevel))
				st := memory(t, store.Options{})
				sys := startWith(t, st, actors.Options{Logger: log}, broken(c.fail))
				appendInputs(t, st, 1)
				time.Sleep(time.Hour)
				require.NoError(t, sys.Stop(t.Context()))
				require.Equal(t, c.stacks, strings.Count(text.String(), `"stack":"goroutine `))
				require.NotContains(t, text.String(), `"S":`, "of the goroutine that logs")
				require.NotContains(t, text.String(), "errorVerbose")
			})
		})
	}
}
