package actors_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

const secret = "jane@example.org"

var errSecret = errors.New("no account of " + secret)

// traces is everything in which the text of an error can be found after a system has run, the files
// of the store included.
func traces(t *testing.T, redact cursor.Redact, w cursor.Worker) string {
	t.Helper()
	var text, logged bytes.Buffer
	dir := filepath.Join(t.TempDir(), "data")
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(dir, store.Options{SegmentBytes: 64 << 10, Sync: store.SyncNever})
		require.NoError(t, err)
		defer st.Close()
		appendInputs(t, st, 3)
		encoder := zapcore.NewJSONEncoder(zap.NewDevelopmentEncoderConfig())
		log := zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(&logged)), zapcore.DebugLevel), zap.Development())
		sys, err := actors.Start(t.Context(), st, actors.Options{Logger: log, Redact: redact}, tree(w))
		if err != nil {
			text.WriteString(err.Error())
			return
		}
		var seen []actors.Transition
		watched := make(chan struct{})
		transitions := sys.Watch(t.Context(), actors.FromNow)
		go func() {
			defer close(watched)
			for one := range transitions {
				seen = append(seen, one)
			}
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		status := sys.Status()
		for one, err := range sys.Parked("w") {
			fmt.Fprint(&text, one, err)
		}
		fmt.Fprint(&text, status, sys.Err(), sys.Stop(t.Context()))
		<-watched
		fmt.Fprint(&text, seen)
		require.NoError(t, json.NewEncoder(&text).Encode(status))
	})
	text.Write(logged.Bytes()) // all goroutines have ended
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, name := range files {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		text.Write(content)
	}
	return text.String()
}

// leaks are workers of which each shows errSecret, unless that is redacted.
func leaks() map[string]cursor.Worker {
	failing := func(fail func(b *cursor.Batch) error) cursor.Worker {
		w := handling("w", func(_ context.Context, b *cursor.Batch) error { return fail(b) })
		w.Policy = supervision.Policy{Attempts: 2}
		return w
	}
	keyed, placed := reacting("w"), reacting("w")
	keyed.Lanes = 2
	keyed.Key = func(store.Event) string { panic(errSecret) }
	placed.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) { return 0, errSecret }
	return map[string]cursor.Worker{
		"error":    failing(func(*cursor.Batch) error { return errSecret }),
		"wrapped":  failing(func(*cursor.Batch) error { return fmt.Errorf("charge: %w", errSecret) }),
		"named":    failing(func(*cursor.Batch) error { return cursor.FailedAt(1, errSecret) }),
		"park":     failing(func(*cursor.Batch) error { return cursor.FailedAt(0, supervision.Park(errSecret)) }),
		"skip":     failing(func(*cursor.Batch) error { return cursor.FailedAt(0, supervision.Skip(errSecret)) }),
		"wait":     failing(func(*cursor.Batch) error { return supervision.Wait(errSecret) }),
		"halt":     failing(func(*cursor.Batch) error { return supervision.Halt(errSecret) }),
		"panic":    failing(func(*cursor.Batch) error { panic(errSecret) }),
		"text":     failing(func(*cursor.Batch) error { panic(errSecret.Error()) }),
		"key":      keyed,
		"position": placed,
		"reaction": failing(func(b *cursor.Batch) error {
			b.React(0, store.At("out:"+secret+"\x00", "test"), reacted{})
			return nil
		}),
	}
}

func TestWhatIsRedactedIsNeitherShownNorKeptAnywhere(t *testing.T) {
	redact := func(text string) string { return strings.ReplaceAll(text, secret, "(mail)") }
	for name, w := range leaks() {
		t.Run(name, func(t *testing.T) {
			require.True(t, strings.Contains(traces(t, nil, w), secret), "the test can fail")
			text := traces(t, redact, w)
			require.False(t, strings.Contains(text, secret))
			require.True(t, strings.Contains(text, "(mail)"), "the rest of the text is there")
		})
	}
}

func TestATextThatCannotBeRedactedIsNotShown(t *testing.T) {
	for name, redact := range map[string]cursor.Redact{
		"panic":  func(text string) string { panic(text) },
		"goexit": func(string) string { runtime.Goexit(); return "" },
	} {
		for kind, w := range leaks() {
			t.Run(name+" "+kind, func(t *testing.T) {
				text := traces(t, redact, w)
				require.False(t, strings.Contains(text, secret))
				require.True(t, strings.Contains(text, "an error that could not be redacted"))
			})
		}
	}
}

func TestTheTextOfAnErrorIsCutWhereverItIsShown(t *testing.T) {
	const size = 1 << 20
	w := handling("w", func(context.Context, *cursor.Batch) error {
		return errors.New(strings.Repeat("x", size)) //nolint:err113 // its length is what matters
	})
	w.Policy = supervision.Policy{Attempts: 2, Outage: supervision.OutagePolicy{Off: true}}
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		appendInputs(t, st, 3)
		sys := start(t, st, w)
		time.Sleep(time.Hour)
		synctest.Wait()
		parked := 0
		for one, err := range sys.Parked("w") {
			require.NoError(t, err)
			require.LessOrEqual(t, len(one.Error), 4096)
			parked++
		}
		require.Equal(t, 3, parked)
		chosen, err := sys.Replay(t.Context(), "w", cursor.ParkedFilter{All: true}, checkpoint.Request{DryRun: true})
		require.NoError(t, err)
		require.Len(t, chosen, 3)
		for _, one := range chosen {
			require.LessOrEqual(t, len(one.Error), 4096)
		}
		for e, err := range checkpoint.Audits(t.Context(), st, "w", 0) {
			require.NoError(t, err)
			require.Less(t, len(e.Payload), 5000)
		}
	})
}
