package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

type ordered struct {
	Item string `json:"item"`
	Card string `json:"card"`
}

func (ordered) Kind() string { return "order.placed" }

type billed struct {
	Item string `json:"item"`
}

func (billed) Kind() string { return "order.billed" }

var errCard = errors.New("the card was refused")

// shop is a program: order 2 is parked.
type shop struct {
	dir string
	st  *store.Store
	sys *actors.System
}

func opened(t *testing.T, dir string) *shop {
	t.Helper()
	st, err := store.Open(dir, store.Options{})
	require.NoError(t, err)
	bill := reactor.New("bill", reactor.On(func(_ context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
		if e.Body.Card == "" {
			return supervision.Park(errCard)
		}
		out.Append(e.Coordinate, billed{e.Body.Item})
		return nil
	}))
	sys, err := actors.Start(t.Context(), st, actors.Options{Build: "v7"}, supervision.Group{Name: "shop", Children: []supervision.Child{bill}})
	require.NoError(t, err)
	s := &shop{dir: dir, st: st, sys: sys}
	t.Cleanup(s.end)
	return s
}

func (s *shop) end() {
	if s.st != nil {
		_ = s.sys.Stop(context.Background())
		_ = s.st.Close()
	}
	s.st = nil
}

func (s *shop) order(t *testing.T, id, card string) store.Receipt {
	t.Helper()
	r, err := s.st.Append(t.Context(), store.At("order:"+id, "shop"), store.Any, ordered{"lamp " + id, card})
	require.NoError(t, err)
	return r
}

// sold is a shop that has handled two orders.
func sold(t *testing.T) *shop {
	t.Helper()
	s := opened(t, filepath.Join(t.TempDir(), "data"))
	_, err := s.st.Commit(t.Context(), store.Batch{Events: []store.Proposal{
		{At: store.At("order:1", "shop"), Payload: ordered{"lamp 1", "4711"}}, {At: store.At("order:2", "shop"), Payload: ordered{"lamp 2", ""}},
	}})
	require.NoError(t, err)
	require.ErrorIs(t, s.sys.WaitCaughtUp(t.Context(), "bill"), actors.ErrParked)
	require.Eventually(t, func() bool {
		w := s.sys.Status().Workers[0]
		return w.State == actors.Idle && w.Lag == 0 && w.Parked == 1 && s.st.Head() >= 4
	}, 10*time.Second, time.Millisecond)
	return s
}

func all[T any](t *testing.T, seq func(func(T, error) bool)) (list []T) {
	t.Helper()
	for v, err := range seq {
		require.NoError(t, err)
		list = append(list, v)
	}
	return list
}

func surfaceOf(t *testing.T, target string) *admin.Surface {
	t.Helper()
	s, err := admin.Open(t.Context(), target, admin.OpenOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func listening(t *testing.T, s *shop) *admin.Server {
	t.Helper()
	server, err := admin.Listen(admin.New(s.st, s.sys, admin.Options{}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// modes runs a test in each mode, over a shop with two orders.
func modes(t *testing.T, test func(t *testing.T, mode admin.Mode, s *admin.Surface)) {
	t.Helper()
	t.Run("live", func(t *testing.T) {
		s := sold(t)
		listening(t, s)
		test(t, admin.Live, surfaceOf(t, s.dir))
	})
	t.Run("in the process", func(t *testing.T) {
		s := sold(t)
		test(t, admin.Live, admin.New(s.st, s.sys, admin.Options{}))
	})
	t.Run("beside", func(t *testing.T) { test(t, admin.Beside, surfaceOf(t, sold(t).dir)) })
	t.Run("cold", func(t *testing.T) {
		s := sold(t)
		s.end()
		test(t, admin.Cold, surfaceOf(t, s.dir))
	})
}

func TestEachModeSaysTheSameAndWhichItIs(t *testing.T) {
	modes(t, func(t *testing.T, mode admin.Mode, s *admin.Surface) {
		status, err := s.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, mode, status.View.Mode)
		require.Equal(t, mode == admin.Cold, status.View.Owner == nil)
		require.GreaterOrEqual(t, status.Head, store.Position(4), "two orders, a bill, and an audit event")
		require.Equal(t, status.Head, status.View.AsOf)
		require.Len(t, status.Workers, 1)
		w := status.Workers[0]
		require.Equal(t, mode == admin.Live, w.Running != nil)
		if w.Running != nil {
			require.Equal(t, "shop/bill", w.Running.Path)
			require.Equal(t, "idle", w.Running.State)
			require.Nil(t, w.Running.Reason)
			require.Contains(t, string(w.Running.Definition), `"build":"v7"`)
			require.Equal(t, []admin.Group{{Path: "shop", Strategy: "OneForOne", Budget: status.Groups[0].Budget}}, status.Groups)
		}
		require.Equal(t, "bill", w.Name)
		require.Equal(t, 1, w.Parked)
		require.Equal(t, []string{"order.placed"}, w.Kinds)
		require.Zero(t, w.Lag)
		require.Empty(t, w.Error)
		require.False(t, w.Healthy(), "an event is parked")

		parked := all(t, s.Parked(t.Context(), admin.ParkedQuery{Worker: "bill", Events: true}))
		require.Len(t, parked, 1)
		require.Equal(t, "order:2", parked[0].Key)
		require.Contains(t, parked[0].Error, errCard.Error())
		require.JSONEq(t, `{"item":"lamp 2","card":""}`, string(parked[0].Event.JSON))
	})
}

func TestEventsAreFoundFromEitherEndAndByTheirLineage(t *testing.T) {
	modes(t, func(t *testing.T, _ admin.Mode, s *admin.Surface) {
		orders := all(t, s.Events(t.Context(), admin.EventQuery{Entity: "order"}))
		require.Len(t, orders, 3)
		last := all(t, s.Events(t.Context(), admin.EventQuery{Entity: "order", Backward: true, Limit: 1}))
		require.Equal(t, orders[2:], last)
		after := all(t, s.Events(t.Context(), admin.EventQuery{Kinds: []string{"order.placed"}, From: "1"}))
		require.Len(t, after, 1)
		require.Equal(t, "order:2", after[0].Entity)
		require.Len(t, all(t, s.Events(t.Context(), admin.EventQuery{From: "1h"})), 3)

		i := 0
		for orders[i].Kind != "order.billed" {
			i++
		}
		bill := orders[i]
		require.Equal(t, &admin.Emitter{Worker: "bill", Build: "v7", Epoch: bill.Emitter.Epoch, Attempt: 1}, bill.Emitter)
		same, err := s.Event(t.Context(), bill.ID.String())
		require.NoError(t, err)
		require.Equal(t, bill, same)
		raw, err := s.Payload(t.Context(), bill.ID.String())
		require.NoError(t, err)
		require.JSONEq(t, `{"item":"lamp 1"}`, string(raw))
		for _, direction := range []admin.Direction{admin.Why, admin.Effects, admin.Trace} {
			of := bill.ID.String()
			if direction == admin.Effects {
				of = bill.Cause.String()
			}
			forest, err := s.Lineage(t.Context(), admin.LineageQuery{Event: of, Direction: direction})
			require.NoError(t, err)
			require.Len(t, forest.Nodes, 2, direction)
		}
		require.Len(t, all(t, s.History(t.Context(), "order:1")), 2)
	})
}

func TestWhatCannotBeAnsweredHasACode(t *testing.T) {
	modes(t, func(t *testing.T, _ admin.Mode, s *admin.Surface) {
		ctx := t.Context()
		first := func(seq func(func(admin.Event, error) bool)) (err error) {
			for _, err = range seq {
				break
			}
			return err
		}
		_, nothing := s.Event(ctx, "99999")
		_, unknown := s.Event(ctx, uuid.NewString())
		_, wrong := s.Event(ctx, "x")
		_, direction := s.Lineage(ctx, admin.LineageQuery{Event: "1", Direction: "up"})
		_, trace := s.Lineage(ctx, admin.LineageQuery{Event: uuid.NewString(), Direction: admin.Trace})
		for err, code := range map[error]admin.Code{
			nothing: admin.NotFound, unknown: admin.NotFound, wrong: admin.Usage, direction: admin.Usage, trace: admin.NotFound,
			first(s.Events(ctx, admin.EventQuery{From: "then"})):                             admin.Usage,
			first(s.Events(ctx, admin.EventQuery{Kinds: []string{"a.b"}, Category: "a"})):    admin.Usage,
			s.Pause(ctx, admin.PauseRequest{Worker: "bill"}):                                 admin.Usage,
			s.Pause(ctx, admin.PauseRequest{Worker: "tyop", Act: admin.Act{Reason: "test"}}): admin.NotFound,
			s.Resume(ctx, admin.ResumeRequest{Act: admin.Act{Reason: "test"}}):               admin.Usage,
		} {
			var e *admin.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, code, e.Code, "%v", err)
		}
		for _, err := range s.Parked(ctx, admin.ParkedQuery{Worker: "tyop"}) {
			require.ErrorContains(t, err, `no worker is called "tyop": there are: bill`)
		}
	})
}

func TestADirectoryThatIsNotThereIsNotMade(t *testing.T) {
	top := t.TempDir()
	for _, target := range []string{top, filepath.Join(top, "tyop")} {
		_, err := admin.Open(t.Context(), target, admin.OpenOptions{})
		require.Equal(t, admin.NotFound, admin.CodeOf(err), "%v", err)
	}
	entries, err := os.ReadDir(top)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestAPauseThroughTheSocketIsAnAuditEventThatSaysWho(t *testing.T) {
	s := sold(t)
	listening(t, s)
	surface := surfaceOf(t, s.dir)
	act := admin.Act{Reason: "the bank is down", By: "ann"}
	require.NoError(t, surface.Pause(t.Context(), admin.PauseRequest{Worker: "bill", Act: act}))
	status, err := surface.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, "paused", status.Workers[0].Running.State)
	require.Equal(t, "the bank is down", status.Workers[0].Pause.Reason)
	require.Equal(t, "ann", status.Workers[0].Pause.By)
	require.NoError(t, surface.Resume(t.Context(), admin.ResumeRequest{Worker: "bill", Act: act}))
	kinds := all(t, surface.Events(t.Context(), admin.EventQuery{Scope: store.ReservedScope}))
	require.Equal(t, "penstock.resumed", kinds[len(kinds)-1].Kind)
	require.Contains(t, string(kinds[len(kinds)-1].JSON), `"by":"ann"`)
}

func TestNothingIsChangedBesideAWriter(t *testing.T) {
	s := sold(t)
	err := surfaceOf(t, s.dir).Pause(t.Context(), admin.PauseRequest{Worker: "bill", Act: admin.Act{Reason: "test"}})
	require.Equal(t, admin.Refused, admin.CodeOf(err))
	require.ErrorContains(t, err, "nothing is changed beside it")
}

func TestTheModeFollowsWhatHappensToTheDirectory(t *testing.T) {
	s := sold(t)
	server := listening(t, s)
	require.NoError(t, server.Close())
	surface := surfaceOf(t, s.dir)
	mode := func() admin.Mode {
		v, err := surface.View(t.Context())
		require.NoError(t, err)
		return v.Mode
	}
	require.Equal(t, admin.Beside, mode(), "the server has ended")
	s.end()
	require.Equal(t, admin.Cold, mode())
	again := opened(t, s.dir)
	require.Equal(t, admin.Beside, mode())
	require.NoError(t, again.sys.WaitApplied(t.Context(), "bill", again.order(t, "3", "1")))
	require.Len(t, all(t, surface.Events(t.Context(), admin.EventQuery{Entity: "order:3"})), 2)
}

func TestAProcessThatDoesNotAnswerIsReadBeside(t *testing.T) {
	s := sold(t)
	require.NoError(t, store.Announce(s.st, "unix:"+filepath.Join(t.TempDir(), "gone")))
	v, err := surfaceOf(t, s.dir).View(t.Context())
	require.NoError(t, err)
	require.Equal(t, admin.Beside, v.Mode)
	require.Contains(t, v.Note, "does not answer")
}

func TestFollowingSeesWhatIsAppended(t *testing.T) {
	s := sold(t)
	listening(t, s)
	surface := surfaceOf(t, s.dir)
	s.order(t, "3", "1")
	ctx, leave := context.WithCancel(t.Context())
	seen := 0
	for e, err := range surface.Events(ctx, admin.EventQuery{Entity: "order:3", Follow: true, From: "3"}) {
		if seen++; seen == 3 {
			require.ErrorIs(t, err, context.Canceled)
			break
		}
		require.NoError(t, err)
		require.Equal(t, "order:3", e.Entity)
		if seen == 2 {
			leave()
		}
	}
	leave()
	require.Equal(t, 3, seen)
}

func TestSocketsAndTokensAreForTheUserAlone(t *testing.T) {
	s := sold(t)
	server := listening(t, s)
	owner, err := store.OwnerOf(s.dir)
	require.NoError(t, err)
	path := strings.TrimPrefix(owner.Admin, "unix:")
	info, err := os.Stat(filepath.Dir(path))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	entries, err := os.ReadDir(s.dir)
	require.NoError(t, err)
	for _, e := range entries {
		require.True(t, e.Type().IsRegular(), e.Name())
	}
	require.NoError(t, server.Close())
	_, err = os.Stat(filepath.Dir(path))
	require.ErrorIs(t, err, os.ErrNotExist)

	// A path that is too long for a socket.
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	require.NoError(t, os.Mkdir(long, 0o700))
	t.Setenv("XDG_RUNTIME_DIR", long)
	listening(t, s)
	owner, err = store.OwnerOf(s.dir)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(owner.Admin, "tcp:127.0.0.1:"), owner.Admin)
	v, err := surfaceOf(t, s.dir).View(t.Context())
	require.NoError(t, err)
	require.Equal(t, admin.Live, v.Mode)
	address, token, _ := strings.Cut(strings.TrimPrefix(owner.Admin, "tcp:"), ",")
	info, err = os.Stat(token)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	response, err := http.Get("http://" + address + "/v1/status")
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
}

func requested(t *testing.T, h http.Handler, method, url string, body io.Reader, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, url, body)
	r.RemoteAddr = net.JoinHostPort("127.0.0.1", "1")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAHandlerWithoutAnAuthorizerAnswersTheMachineAlone(t *testing.T) {
	s := sold(t)
	surface := admin.New(s.st, s.sys, admin.Options{})
	reads, controls := admin.Handler(surface, admin.HandlerOptions{}), admin.Handler(surface, admin.HandlerOptions{Control: true})
	pause := `{"worker":"bill","reason":"test"}`
	for name, c := range map[string]struct {
		handler        http.Handler
		method, target string
		change         func(*http.Request)
		code           int
	}{
		"itself":          {reads, "GET", "http://localhost/admin/v1/status", nil, 200},
		"by address":      {reads, "GET", "http://127.0.0.1:8080/v1/status", nil, 200},
		"another machine": {reads, "GET", "http://localhost/v1/status", func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }, 401},
		"another name":    {reads, "GET", "http://evil.test/v1/status", nil, 401},
		"no control":      {reads, "POST", "http://localhost/v1/pause", nil, 403},
		"control":         {controls, "POST", "http://localhost/v1/pause", nil, 200},
		"by GET":          {controls, "GET", "http://localhost/v1/pause", nil, 405},
		"a foreign page": {controls, "POST", "http://localhost/v1/pause", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, 403},
		"a foreign origin": {controls, "POST", "http://localhost/v1/pause", func(r *http.Request) {
			r.Header.Set("Origin", "http://evil.test")
		}, 403},
		"nothing":       {reads, "GET", "http://localhost/v1/tyop", nil, 404},
		"not below v1":  {reads, "GET", "http://localhost/status", nil, 404},
		"bad parameter": {reads, "GET", "http://localhost/v1/events?tyop=1", nil, 400},
		"bad number":    {reads, "GET", "http://localhost/v1/events?limit=x", nil, 400},
		"bad q":         {reads, "GET", "http://localhost/v1/events?q={", nil, 400},
	} {
		t.Run(name, func(t *testing.T) {
			w := requested(t, c.handler, c.method, c.target, strings.NewReader(pause), c.change)
			require.Equal(t, c.code, w.Code, w.Body.String())
		})
	}
}

func TestReadersSeeNoPayload(t *testing.T) {
	s := sold(t)
	may := admin.Read
	h := admin.Handler(admin.New(s.st, s.sys, admin.Options{
		Redact: func(store.Event) []byte { return []byte(`{"card":"***"}`) },
	}), admin.HandlerOptions{Authorize: func(*http.Request) (string, admin.Access, error) { return "ann", may, nil }})
	for _, target := range []string{"/v1/events?entity=order", "/v1/event?event=1", "/v1/parked?worker=bill&events=true", "/v1/history?entity=order:1"} {
		require.NotContains(t, requested(t, h, "GET", target, nil, nil).Body.String(), `"json":`, target)
	}
	require.Equal(t, http.StatusForbidden, requested(t, h, "GET", "/v1/payload?event=1", nil, nil).Code)
	may = admin.Payloads
	require.Contains(t, requested(t, h, "GET", "/v1/events?entity=order", nil, nil).Body.String(), `"json":{"card":"***"}`)

	may = admin.Control
	body := strings.NewReader(`{"worker":"bill","reason":"test","by":"bob"}`)
	require.Equal(t, http.StatusOK, requested(t, h, "POST", "/v1/pause", body, nil).Code)
	status, err := admin.New(s.st, s.sys, admin.Options{}).Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, "ann", status.Workers[0].Pause.By, "the authorizer knows better")
}

func TestAListIsServerSentEventsForThoseThatWantThem(t *testing.T) {
	s := sold(t)
	h := admin.Handler(admin.New(s.st, s.sys, admin.Options{}), admin.HandlerOptions{})
	w := requested(t, h, "GET", "http://localhost/v1/events?entity=order:2", nil, func(r *http.Request) { r.Header.Set("Accept", "text/event-stream") })
	require.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
	lines := bufio.NewScanner(w.Body)
	require.True(t, lines.Scan())
	data, ok := strings.CutPrefix(lines.Text(), "data: ")
	require.True(t, ok)
	require.True(t, json.Valid([]byte(data)))
	require.True(t, lines.Scan())
	require.Empty(t, lines.Text())
	require.True(t, lines.Scan())
	require.Equal(t, `data: {"end":true}`, lines.Text())
}

func TestASurfaceOfAURL(t *testing.T) {
	s := sold(t)
	h := admin.Handler(admin.New(s.st, s.sys, admin.Options{}), admin.HandlerOptions{
		Authorize: func(r *http.Request) (string, admin.Access, error) {
			if r.Header.Get("Authorization") != "Bearer secret" {
				return "", admin.NoAccess, errors.New("who are you?")
			}
			return "ann", admin.Control, nil
		},
	})
	server := httptest.NewServer(h)
	defer server.Close()
	_, err := admin.Open(t.Context(), server.URL, admin.OpenOptions{})
	require.Equal(t, admin.Forbidden, admin.CodeOf(err), "%v", err)
	surface, err := admin.Open(t.Context(), server.URL+"/admin/v1/", admin.OpenOptions{Token: "secret"})
	require.NoError(t, err)
	require.Len(t, all(t, surface.Events(t.Context(), admin.EventQuery{Entity: "order"})), 3)
	server.Close()
	err = surface.Pause(t.Context(), admin.PauseRequest{Worker: "bill", Act: admin.Act{Reason: "test"}})
	require.Equal(t, admin.Unknown, admin.CodeOf(err), "%v", err)
	_, err = surface.Status(t.Context())
	require.Equal(t, admin.Unreachable, admin.CodeOf(err), "%v", err)
	ctx, done := context.WithTimeout(t.Context(), time.Nanosecond)
	defer done()
	_, err = surface.Status(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
