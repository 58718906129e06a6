package admin_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// checkout is a saga whose steps do as the card says: order 1 is completed, order 2 is refused, and
// so is its undo, and order 3 waits for a bank that is down.
func checkout() *saga.Saga[ordered] {
	do := func(_ context.Context, s saga.Step[ordered]) (string, error) {
		switch s.State.Card {
		case "refused":
			return "", saga.Refuse(errCard)
		case "down":
			return "", errCard
		}
		return "secret payment", nil
	}
	return saga.Steps("checkout",
		saga.Starts(func(e ordered) string { return e.Item }, func(o *ordered, e ordered) { *o = e }),
		saga.Do("reserve", func(context.Context, saga.Step[ordered]) (string, error) { return "secret shelf", nil },
			func(context.Context, saga.Step[ordered], saga.Done[string]) error { return saga.Refuse(errCard) }),
		saga.Do("charge", do, nil))
}

// sells starts a program with the saga.
func sells(t *testing.T, dir string) *shop {
	t.Helper()
	st, err := store.Open(dir, store.Options{})
	require.NoError(t, err)
	sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{checkout()}})
	require.NoError(t, err)
	s := &shop{dir: dir, st: st, sys: sys}
	t.Cleanup(s.end)
	return s
}

// checkedOut is a program that has begun three orders.
func checkedOut(t *testing.T) *shop {
	t.Helper()
	s := sells(t, filepath.Join(t.TempDir(), "data"))
	in := checkout().In(s.st)
	for item, card := range map[string]string{"1": "secret card", "2": "refused", "3": "down"} {
		_, err := s.st.Append(t.Context(), store.At("order:"+item, "shop"), store.Any, ordered{item, card})
		require.NoError(t, err)
	}
	for _, key := range []string{"1", "2"} {
		_, err := in.Wait(t.Context(), key)
		require.NoError(t, err)
	}
	for {
		head := s.st.Head()
		if o, err := in.Get("3"); err == nil && o.Phase == "charge" {
			return s
		}
		_, err := s.st.Wait(t.Context(), head)
		require.NoError(t, err)
	}
}

// sagaModes runs a test in each mode, with the definition of the saga and without it.
func sagaModes(t *testing.T, test func(t *testing.T, mode admin.Mode, typed bool, s *admin.Surface)) {
	t.Helper()
	known := admin.Options{Sagas: []admin.Saga{admin.SagaOf(checkout())}}
	opened := func(t *testing.T, dir string, o admin.Options) *admin.Surface {
		t.Helper()
		s, err := admin.Open(t.Context(), dir, admin.OpenOptions{Options: o})
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	for name, o := range map[string]admin.Options{"typed": known, "untyped": {}} {
		typed := o.Sagas != nil
		t.Run("live "+name, func(t *testing.T) {
			s := checkedOut(t)
			server, err := admin.Listen(admin.New(s.st, s.sys, o))
			require.NoError(t, err)
			t.Cleanup(func() { _ = server.Close() })
			test(t, admin.Live, typed, opened(t, s.dir, admin.Options{}))
		})
		t.Run("in the process "+name, func(t *testing.T) {
			s := checkedOut(t)
			test(t, admin.Live, typed, admin.New(s.st, s.sys, o))
		})
		t.Run("beside "+name, func(t *testing.T) { test(t, admin.Beside, typed, opened(t, checkedOut(t).dir, o)) })
		t.Run("cold "+name, func(t *testing.T) {
			s := checkedOut(t)
			s.end()
			test(t, admin.Cold, typed, opened(t, s.dir, o))
		})
	}
}

func TestSagasAreSeenInEachMode(t *testing.T) {
	sagaModes(t, func(t *testing.T, mode admin.Mode, typed bool, s *admin.Surface) {
		ctx := t.Context()
		sagas, err := s.Sagas(ctx)
		require.NoError(t, err)
		counts := map[saga.Life]int{saga.Completed: 1, saga.Stuck: 1, saga.Running: 1}
		require.Equal(t, []admin.SagaStatus{{Name: "checkout", Untyped: !typed, Instances: counts}}, sagas)

		keys := func(q admin.InstanceQuery) (keys []string) {
			q.Saga = "checkout"
			for _, o := range all(t, s.Instances(ctx, q)) {
				require.Empty(t, o.Damage)
				require.NotEmpty(t, o.State)
				keys = append(keys, o.Key)
			}
			return keys
		}
		require.Equal(t, []string{"1", "2", "3"}, keys(admin.InstanceQuery{}))
		require.Equal(t, []string{"1", "2"}, keys(admin.InstanceQuery{Limit: 2}))
		require.Equal(t, []string{"2"}, keys(admin.InstanceQuery{Life: []string{"stuck"}}))
		require.Equal(t, []string{"1", "3"}, keys(admin.InstanceQuery{Life: []string{"completed", "running"}}))
		require.Equal(t, []string{"3"}, keys(admin.InstanceQuery{Life: []string{"running"}, Phase: "charge"}))
		require.Empty(t, keys(admin.InstanceQuery{OlderThan: admin.Duration(time.Hour)}))
		require.Empty(t, keys(admin.InstanceQuery{Unrunnable: true}))

		stuck, err := s.Instance(ctx, "checkout", "2")
		require.NoError(t, err)
		require.Equal(t, !typed, stuck.Untyped)
		require.Equal(t, saga.Stuck, stuck.Life)
		require.Contains(t, stuck.Err, errCard.Error())
		require.Equal(t, []string{"reserve"}, stuck.ToUndo)
		require.Equal(t, "done", stuck.Steps[0].Status)
		require.JSONEq(t, `"secret shelf"`, string(stuck.Steps[0].Result))
		require.JSONEq(t, `{"item":"2","card":"refused"}`, string(stuck.State))
		require.Contains(t, stuck.Explain, "an operator can call: Retry, SkipUndo")
		require.Nil(t, stuck.Ended)
		done, err := s.Instance(ctx, "checkout", "1")
		require.NoError(t, err)
		require.NotNil(t, done.Ended)

		story := all(t, s.SagaStory(ctx, "checkout", "2"))
		require.Equal(t, `order.placed {"item":"2","card":"refused"}`, story[0].Text)
		require.Equal(t, "requested reserve", story[0].Answers[0].Text)
		require.Equal(t, `done reserve "secret shelf"`, story[1].Text)
		require.Equal(t, "saga:checkout:2", story[1].Event.Entity)
		picture, err := s.SagaPicture(ctx, "checkout", "2")
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(picture.Boxes), 3)
		picture, err = s.SagaPicture(ctx, "checkout", "")
		if typed {
			require.NoError(t, err)
			require.Len(t, picture.Boxes, 4)
		} else {
			require.Equal(t, admin.Refused, admin.CodeOf(err), "%v", err)
		}
	})
}

func TestWhatFailsOfAnInstanceIsSeenWhereItRuns(t *testing.T) {
	s := checkedOut(t)
	server, err := admin.Listen(admin.New(s.st, s.sys, admin.Options{Sagas: []admin.Saga{admin.SagaOf(checkout())}}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	surface := surfaceOf(t, s.dir)
	require.Eventually(t, func() bool {
		o, err := surface.Instance(t.Context(), "checkout", "3")
		return err == nil && len(o.Failing) == 1 && o.InFlight[0].Action == "charge" && o.Failing[0].Attempt > 0
	}, 10*time.Second, time.Millisecond)
	o, err := surface.Instance(t.Context(), "checkout", "2")
	require.NoError(t, err)
	require.Empty(t, o.Failing, "it is of another one")
}

func TestWhatCannotBeAnsweredOfSagasHasACode(t *testing.T) {
	sagaModes(t, func(t *testing.T, _ admin.Mode, typed bool, s *admin.Surface) {
		ctx := t.Context()
		_, noInstance := s.Instance(ctx, "checkout", "9")
		_, noSaga := s.Instance(ctx, "tyop", "1")
		require.ErrorContains(t, noSaga, "there are: checkout")
		_, noName := s.SagaPicture(ctx, "", "1")
		last := func(seq func(func(admin.Instance, error) bool)) (err error) {
			for _, err = range seq { // the last one counts
			}
			return err
		}
		var noStory error
		for _, noStory = range s.SagaStory(ctx, "checkout", "9") { // the last one counts
		}
		call := func(q admin.SagaRequest) error {
			q.Saga = "checkout"
			_, err := s.CallSaga(ctx, q)
			return err
		}
		for name, c := range map[string]struct {
			err  error
			code admin.Code
		}{
			"no instance": {noInstance, admin.NotFound},
			"no saga":     {noSaga, admin.NotFound},
			"no name":     {noName, admin.Usage},
			"no story":    {noStory, admin.NotFound},
			"no life":     {last(s.Instances(ctx, admin.InstanceQuery{Saga: "checkout", Life: []string{"merry"}})), admin.Usage},
			"no reason":   {call(admin.SagaRequest{Key: "2", Call: admin.SagaRetry}), admin.Usage},
			"no call":     {call(admin.SagaRequest{Key: "2", Call: "jump", Act: because}), admin.Usage},
			"no key":      {call(admin.SagaRequest{Key: "9", Call: admin.SagaRetry, Act: because}), admin.NotFound},
			"does not fit": {
				call(admin.SagaRequest{Key: "1", Call: admin.SagaCancel, Act: admin.Act{DryRun: true}}), admin.Refused,
			},
		} {
			require.Equal(t, c.code, admin.CodeOf(c.err), "%s: %v", name, c.err)
		}
	})
}

func TestAnInstanceIsAskedInEachMode(t *testing.T) {
	sagaModes(t, func(t *testing.T, mode admin.Mode, typed bool, s *admin.Surface) {
		ctx := t.Context()
		before, err := s.View(ctx)
		require.NoError(t, err)
		suspend := admin.SagaRequest{Saga: "checkout", Key: "3", Call: admin.SagaSuspend, Act: admin.Act{DryRun: true}}
		would, err := s.CallSaga(ctx, suspend)
		if !typed {
			require.Equal(t, admin.Refused, admin.CodeOf(err), "%v", err)
			require.ErrorContains(t, err, "admin.Options.Sagas")
			return
		}
		require.NoError(t, err, "a dry run needs no reason, and is possible everywhere")
		require.Contains(t, would.Text, `checkout 3, running in "charge": holds its inputs, and begins no action`)
		require.Equal(t, mode != admin.Live, strings.HasSuffix(would.Text, ", once the saga runs"))
		require.Equal(t, admin.SagaResume, would.Undo)
		after, err := s.View(ctx)
		require.NoError(t, err)
		require.Equal(t, before.AsOf, after.AsOf, "nothing was written")

		suspend.Act = because
		did, err := s.CallSaga(ctx, suspend)
		if refused(t, mode, err) {
			return
		}
		require.Equal(t, would.Text, did.Text)
		e, err := s.Event(ctx, did.ID.String())
		require.NoError(t, err)
		require.Equal(t, did.Event, e.Position)
		require.Contains(t, string(e.JSON), `"reason":"a test","by":"ann"`)
		if mode == admin.Live {
			require.Eventually(t, func() bool {
				o, err := s.Instance(ctx, "checkout", "3")
				return err == nil && o.Life == saga.Suspended
			}, 10*time.Second, time.Millisecond)
		}
	})
}

// What is asked of a log that nothing has open is done by the next start.
func TestWhatIsAskedColdIsDoneByTheNextStart(t *testing.T) {
	s := checkedOut(t)
	s.end()
	known := admin.Options{Sagas: []admin.Saga{admin.SagaOf(checkout())}}
	surface, err := admin.Open(t.Context(), s.dir, admin.OpenOptions{Options: known})
	require.NoError(t, err)
	for key, q := range map[string]admin.SagaRequest{
		"2": {Call: admin.SagaSettleDone, Action: "undo reserve"},
		"3": {Call: admin.SagaAbandon},
		"1": {Call: admin.SagaPurge},
	} {
		q.Saga, q.Key, q.Act = "checkout", key, because
		_, err := surface.CallSaga(t.Context(), q)
		require.NoError(t, err)
	}
	for call, want := range map[admin.SagaCall]admin.Code{
		admin.SagaRetry: "", admin.SagaSkipUndo: "", admin.SagaCancel: admin.Refused, admin.SagaFire: admin.Refused, admin.SagaResume: admin.Refused,
		admin.SagaSettleRefused: admin.Refused,
	} {
		q := admin.SagaRequest{Saga: "checkout", Key: "2", Call: call, Act: admin.Act{DryRun: true}}
		_, err := surface.CallSaga(t.Context(), q)
		require.Equal(t, want, admin.CodeOf(err), "%s: %v", call, err)
	}
	require.NoError(t, surface.Close())
	again := sells(t, s.dir)
	in := checkout().In(again.st)
	for key, life := range map[string]saga.Life{"2": saga.Compensated, "3": saga.Failed} {
		for {
			head := again.st.Head()
			o, err := in.Get(key)
			require.NoError(t, err)
			if o.Life == life {
				break
			}
			_, err = again.st.Wait(t.Context(), head)
			require.NoError(t, err)
		}
	}
	require.Eventually(t, func() bool { _, err := in.Get("1"); return errors.Is(err, saga.ErrNotFound) }, 10*time.Second, time.Millisecond)
}

func TestReadersSeeNoPayloadOfASaga(t *testing.T) {
	s := checkedOut(t)
	may := admin.Read
	handler := func(o admin.Options) http.Handler {
		return admin.Handler(admin.New(s.st, s.sys, o), admin.HandlerOptions{
			Authorize: func(*http.Request) (string, admin.Access, error) { return "ann", may, nil },
		})
	}
	pages := []string{"/v1/instances?saga=checkout", "/v1/instance?saga=checkout&key=1", "/v1/saga-story?saga=checkout&key=1"}
	for _, o := range []admin.Options{{}, {Sagas: []admin.Saga{admin.SagaOf(checkout())}}} {
		for _, page := range pages {
			may = admin.Read
			body := requested(t, handler(o), "GET", page, nil, nil).Body.String()
			require.NotContains(t, body, "secret", page)
			require.Contains(t, body, "charge", page)
			may = admin.Payloads
			require.Contains(t, requested(t, handler(o), "GET", page, nil, nil).Body.String(), "secret", page)
			var kinds []string
			o.Redact = func(e store.Event) []byte {
				kinds = append(kinds, e.Kind)
				return []byte("***")
			}
			require.NotContains(t, requested(t, handler(o), "GET", page, nil, nil).Body.String(), "secret", page)
			require.NotEmpty(t, kinds)
			o.Redact = nil
		}
	}
	may = admin.Payloads
	body := requested(t, handler(admin.Options{}), "POST", "/v1/saga-call", strings.NewReader(`{"saga":"checkout"}`), nil)
	require.Equal(t, http.StatusForbidden, body.Code)
}

func TestPrometheusReadsHowManyInstancesThereAre(t *testing.T) {
	s := checkedOut(t)
	page := requested(t, admin.Handler(admin.New(s.st, s.sys, admin.Options{}), admin.HandlerOptions{}), "GET", "http://localhost/v1/metrics", nil, nil)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(page.Body)
	require.NoError(t, err)
	lives := make(map[string]float64)
	for _, m := range families["penstock_saga_instances"].GetMetric() {
		require.Equal(t, "checkout", m.GetLabel()[0].GetValue())
		lives[m.GetLabel()[1].GetValue()] = m.GetGauge().GetValue()
	}
	want := map[string]float64{"running": 1, "compensating": 0, "stuck": 1, "suspended": 0, "completed": 1, "compensated": 0, "failed": 0}
	require.Equal(t, want, lives)
}
